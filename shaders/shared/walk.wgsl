// The walk of a group over its blocks of work: in turn t, group g takes block g * group_step + t * turn_step. The
// kernel defines the work of a block as `take_block`.

import shared::params;
@if(SUMS) import shared::totals;
@if(LONE) import shared::lone;
@if(OWN_DIVISOR) import shared::divisor;
@if(GROUP_SUMS) import shared::classes;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @if(SUBGROUPS) @builtin(subgroup_id) subgroup: u32,
    @if(SUBGROUPS) @builtin(subgroup_size) subgroup_size: u32,
    @if(SUBGROUPS) @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    @if(SUBGROUPS) let thread = subgroup * subgroup_size + subgroup_lane;
    @else let thread = index;
    @if(SUMS) var totals = empty_totals();
    @if(GROUP_SUMS) clear_group_classes(index);
    @if(OWN_DIVISOR) find_divisor(index);
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        @if(SUMS) totals = take_block(totals, block, thread);
        @else take_block(block, thread);
    }
    @if(GROUP_SUMS) add_group_classes(index);
    @if(LONE) write_outcome_of_group(totals, index);
    @elif(SUMS && COUNTS) write_partial(totals, index, params.partial_base + group.x);
    @if(SUMS && COUNTS && REFUSES) report_refused(totals, params.partial_base + group.x);
}
