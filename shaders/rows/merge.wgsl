// Merges over the lanes of a row: states of streaming rows, or sums of resident rows. `Merged` is either of these
// types, with its functions `merge` (of two) and `shuffled` (a neighbour's).

import rows::lanes;
@if(!RESIDENT) import rows::states;
@if(RESIDENT) import rows::sums;

@if(SHARED_STATES) var<workgroup> shared_merged: array<Merged, WORKGROUP / CLUSTER>;

// Returns the whole row's value in each of its lanes. Every lane of the group must call it, in uniform control flow.
fn merge_lanes(of_lane: Merged, thread: u32) -> Merged {
    var m = of_lane;
    @if(SUBGROUPS && REDUCTIONS) m = reduced(m);
    @if(SUBGROUPS && !REDUCTIONS) for (var mask = 1u; mask < CLUSTER; mask *= 2u) {
        m = merge(m, shuffled(m, mask));
    }
    @if(SHARED_STATES) {
        let at = index_of_cluster(thread);
        if (leads(thread)) { shared_merged[at] = m; }
        workgroupBarrier();
        for (var half = CLUSTERS / 2u; half > 0u; half /= 2u) {
            if (leads(thread) && cluster_of(thread) < half) {
                shared_merged[at] = merge(shared_merged[at], shared_merged[at + half * ROWS]);
            }
            workgroupBarrier();
        }
        @if(SUBGROUPS && REDUCTIONS) m = whole_of(shared_merged[slot_of(thread)], m);
        @else m = shared_merged[slot_of(thread)];
        workgroupBarrier();
    }
    return m;
}
