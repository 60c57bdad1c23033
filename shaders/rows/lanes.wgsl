// The lanes of a row: LANES, a power of two, at most WORKGROUP. Lanes of one subgroup merge by shuffles, in clusters
// of CLUSTER lanes (which divides every subgroup size of the adapter; 1 without subgroups). Clusters merge through
// workgroup memory.
//
// A row's lanes are neighbours. If neighbouring rows are neighbours in memory (STRIDED), neighbouring lanes belong to
// neighbouring rows instead, so that their loads coalesce.

const ROWS: u32 = WORKGROUP / LANES;   // rows that a group works on at a time

@if(STRIDED) {
fn lane_of(thread: u32) -> u32 { return thread / ROWS; }
fn slot_of(thread: u32) -> u32 { return thread % ROWS; }
}
@else {
fn lane_of(thread: u32) -> u32 { return thread % LANES; }
fn slot_of(thread: u32) -> u32 { return thread / LANES; }
}

const CLUSTERS: u32 = LANES / CLUSTER;   // clusters of one row

// Returns the number of the thread's cluster among those of its row. A row's clusters are ROWS apart in the
// workgroup's arrays, so a step of a tree is `half * ROWS` for every row.
fn cluster_of(thread: u32) -> u32 { return lane_of(thread) / CLUSTER; }
fn index_of_cluster(thread: u32) -> u32 { return cluster_of(thread) * ROWS + slot_of(thread); }
fn leads(thread: u32) -> bool { return lane_of(thread) % CLUSTER == 0u; }

