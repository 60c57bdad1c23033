// Stores the labels' logits of cut rows in the workspace: to count the classes that come before a label, every piece
// needs its logit, which only one piece has. A lane per row.

import shared::{arithmetic, constants, params, row, tensor, walk};
@if(SCALED) import shared::logits;

fn take_block(block: u32, index: u32) {
    let row = block * WORKGROUP + index;
    if (row >= params.rows) { return; }
    let r = open_rows(row, true);
    if (r.kind != LIVE || r.class_index == NO_CLASS) { return; }
    let first = row / params.inner * params.classes * params.inner + row % params.inner;
    let at = params.logits_origin + first + r.class_index * params.inner;
    workspace[label_logit_index(row)] = read_logits(at).a;
}
