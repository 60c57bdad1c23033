// The lanes of a row: LANES of them, a power of two, LANES <= WORKGROUP. Lanes that share a
// subgroup merge by shuffles in clusters of CLUSTER (which divides every subgroup size the adapter
// may use; 1 without subgroups), clusters merge through workgroup memory.
//
// A row's lanes are neighbours; but where neighbouring rows are neighbours in memory (STRIDED), the
// lanes that are neighbours belong to neighbouring rows, so that their loads coalesce.

const ROWS: u32 = WORKGROUP / LANES;   // rows under way in a group

#if STRIDED
fn lane_of(thread: u32) -> u32 { return thread / ROWS; }
fn slot_of(thread: u32) -> u32 { return thread % ROWS; }
#else
fn lane_of(thread: u32) -> u32 { return thread % LANES; }
fn slot_of(thread: u32) -> u32 { return thread / LANES; }
#endif

const CLUSTERS: u32 = LANES / CLUSTER;   // clusters of one row

#if SUBGROUPS
fn shuffled(s: State, mask: u32) -> State {
    var other: State;
    other.top = subgroupShuffleXor(s.top, mask);
    other.excess = subgroupShuffleXor(s.excess, mask);
    other.flags = subgroupShuffleXor(s.flags, mask);
    other.hit = subgroupShuffleXor(s.hit, mask);
#if SPREAD
    other.gap = subgroupShuffleXor(s.gap, mask);
    other.mass = subgroupShuffleXor(s.mass, mask);
#endif
    return other;
}
#endif

#if SHARED_STATES
var<workgroup> shared_states: array<State, WORKGROUP / CLUSTER>;
#endif

// The state of the whole row, in each of its lanes. Every lane of the group must call it, in
// uniform control flow.
fn merge_lanes(lane_state: State, thread: u32) -> State {
    var s = lane_state;
#if SUBGROUPS
    for (var mask = 1u; mask < CLUSTER; mask *= 2u) {
        s = merge(s, shuffled(s, mask));
    }
#endif
#if SHARED_STATES
    let cluster = lane_of(thread) / CLUSTER;
    let leads = lane_of(thread) % CLUSTER == 0u;
    // A row's clusters lie ROWS apart: a step of the tree is `half * ROWS`, for every row at once.
    let place = cluster * ROWS + slot_of(thread);
    if (leads) { shared_states[place] = s; }
    workgroupBarrier();
    for (var half = CLUSTERS / 2u; half > 0u; half /= 2u) {
        if (leads && cluster < half) {
            shared_states[place] = merge(shared_states[place], shared_states[place + half * ROWS]);
        }
        workgroupBarrier();
    }
    s = shared_states[slot_of(thread)];
    workgroupBarrier();
#endif
    return s;
}
