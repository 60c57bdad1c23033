// The lanes of a row: LANES of them, a power of two, LANES <= WORKGROUP. Lanes that share a
// subgroup merge by shuffles in clusters of CLUSTER (which divides every subgroup size the adapter
// may use; 1 without subgroups), clusters merge through workgroup memory.

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
    let cluster = thread / CLUSTER;
    let leads = thread % CLUSTER == 0u;
    let place = cluster % CLUSTERS;
    if (leads) { shared_states[cluster] = s; }
    workgroupBarrier();
    for (var half = CLUSTERS / 2u; half > 0u; half /= 2u) {
        if (leads && place < half) {
            shared_states[cluster] = merge(shared_states[cluster], shared_states[cluster + half]);
        }
        workgroupBarrier();
    }
    s = shared_states[cluster - place];
    workgroupBarrier();
#endif
    return s;
}
