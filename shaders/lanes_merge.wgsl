// States over the lanes of a row.

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
    let place = place_of_cluster(thread);
    if (leads(thread)) { shared_states[place] = s; }
    workgroupBarrier();
    for (var half = CLUSTERS / 2u; half > 0u; half /= 2u) {
        if (leads(thread) && cluster_of(thread) < half) {
            shared_states[place] = merge(shared_states[place], shared_states[place + half * ROWS]);
        }
        workgroupBarrier();
    }
    s = shared_states[slot_of(thread)];
    workgroupBarrier();
#endif
    return s;
}
