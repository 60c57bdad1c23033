// The labels' logits of rows that are cut, kept in the workspace: to count the classes in front of a label,
// every piece has to know its logit, which one of them has. A lane per row.

import shared::{constants, numbers, params, row, tensor};
@if(SCALED) import shared::logits;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let row = block * WORKGROUP + index;
        if (row < params.rows) { mark(row); }
    }
}

fn mark(row: u32) {
    let r = open_rows(row, true);
    if (r.kind != LIVE || r.class_index == NO_CLASS) { return; }
    let first = row / params.inner * params.classes * params.inner + row % params.inner;
    let at = params.logits_origin + first + r.class_index * params.inner;
    workspace[place_of_mark(row)] = read_logits(at).a;
}
