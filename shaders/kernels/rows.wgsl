// LANES lanes share a row, ROWS rows are under way in a group, and groups walk over blocks of rows.
// Each element is read once, or once more where gradient or log-probabilities are wanted of rows too
// long to keep: by the same lane, so the output may be the input. A row's loads are neighbours, or
// (STRIDED: the classes' axis is not the last) `inner` apart.
//
// A few long rows would leave most of a GPU idle. Then every row is cut into `parts`, and the kernel
// runs up to three times: FOLD writes the state of each part, MERGE the state of each row and its
// loss, WRITE reads the row's state and writes what is wanted of the part.
//
// Rows that do not fit a binding are cut (CUT): then a piece has some of their classes. FOLD runs over
// one such piece after the other and takes what was folded before into its states, MERGE runs once, and
// WRITE over every piece again.

import shared::{params, totals};
@if(PAIRS) import rows::pairs;
@else import rows::block;

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
    var totals = empty_totals();
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        totals = take_block(totals, group.x * params.group_step + turn * params.turn_step, thread);
    }
    @if(COUNTS) write_partial(totals, index, params.partial_base + group.x);
}
