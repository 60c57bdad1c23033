// Neighbouring rows are neighbours in memory, or rows are so short that one lane takes a few of them
// whole. A lane has PACK rows to itself, so no state is ever merged across lanes: one pass over the
// classes, and a second one for gradient or log-probabilities where they are too many to keep. The
// rows of a lane never straddle two images.

import shared::{params, totals, words};
@if(!KEPT) import columns::streamed;
@if(KEPT) import columns::kept;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var totals = empty_totals();
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let row = (block * WORKGROUP + index) * PACK;
        if (row < params.rows) { totals = columns(totals, row); }
    }
    write_partial(totals, index, params.partial_base + group.x);
}
