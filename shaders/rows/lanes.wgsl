// The lanes of a row: LANES of them, a power of two, LANES <= WORKGROUP. Lanes that share a
// subgroup merge by shuffles in clusters of CLUSTER (which divides every subgroup size the adapter
// may use; 1 without subgroups), clusters merge through workgroup memory.
//
// A row's lanes are neighbours; but where neighbouring rows are neighbours in memory (STRIDED), the
// lanes that are neighbours belong to neighbouring rows, so that their loads coalesce.

const ROWS: u32 = WORKGROUP / LANES;   // rows under way in a group

@if(STRIDED) {
fn lane_of(thread: u32) -> u32 { return thread / ROWS; }
fn slot_of(thread: u32) -> u32 { return thread % ROWS; }
}
@else {
fn lane_of(thread: u32) -> u32 { return thread % LANES; }
fn slot_of(thread: u32) -> u32 { return thread / LANES; }
}

const CLUSTERS: u32 = LANES / CLUSTER;   // clusters of one row

// The number of the thread's cluster among those of its row. A row's clusters lie ROWS apart in the
// workgroup's arrays, so one step of a tree is `half * ROWS` for every row at once.
fn cluster_of(thread: u32) -> u32 { return lane_of(thread) / CLUSTER; }
fn index_of_cluster(thread: u32) -> u32 { return cluster_of(thread) * ROWS + slot_of(thread); }
fn leads(thread: u32) -> bool { return lane_of(thread) % CLUSTER == 0u; }

