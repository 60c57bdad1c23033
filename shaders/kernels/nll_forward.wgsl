// nll: loss = -w_t x_t. A lane per row, which reads one element.

import shared::{arithmetic, constants, count, params, row, tensor, totals, walk};

fn take_block(totals: Totals, block: u32, index: u32) -> Totals {
    let row = block * WORKGROUP + index;
    if (row >= params.rows) { return totals; }
    var r = open_rows(row, true);
    @if(CUT) if (!is_counted_here(r)) { return totals; }
    if (r.kind == LIVE) {
        let first = row / params.inner * params.classes * params.inner + row % params.inner;
        let at = params.logits_origin + first + r.class_index * params.inner;
        r = weighted_loss(r, read_logits(at).a);
    }
    return count_rows(totals, r, row);
}

fn weighted_loss(opened: Row, word: u32) -> Row {
    var r = opened;
    let infinite = (word & POS_INF) == POS_INF;
    if (infinite && (word & 0x007fffffu) != 0u) {
        r.flags |= HAS_NAN;
    } else if (r.label_weight == 0.0) {
        r.loss = 0.0;   // a class without weight contributes 0, even at -inf
    } else if (infinite) {
        let positive = (r.label_weight > 0.0) == (word == NEG_INF);
        r.flags |= select(HAS_NEG_INF, HAS_POS_INF, positive);
    } else {
        r.loss = -r.label_weight * bitcast<f32>(word);
    }
    @if(ROW_WEIGHTS) r.loss *= r.factor;
    @if(ROW_WEIGHTS) r.flags = weighed_flags(r.flags, r.factor);
    return r;
}
