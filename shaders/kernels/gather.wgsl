// nll: loss = -w_t x_t. A lane per row; one element of the row is read.

import shared::{constants, count, numbers, params, row, tensor, totals};

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var totals = empty_totals();
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let row = block * WORKGROUP + index;
        if (row < params.rows) { totals = gather(totals, row); }
    }
    write_partial(totals, index, params.partial_base + group.x);
}

fn gather(totals: Totals, row: u32) -> Totals {
    var r = open_rows(row, true);
    @if(CUT) if (!is_counted_here(r)) { return totals; }
    if (r.kind == LIVE) {
        let first = row / params.inner * params.classes * params.inner + row % params.inner;
        let at = params.logits_origin + first + r.class_index * params.inner;
        r = weigh_in(r, read_logits(at).a);
    }
    return count_rows(totals, r, row);
}

fn weigh_in(opened: Row, word: u32) -> Row {
    var r = opened;
    let infinite = (word & POS_INF) == POS_INF;
    if (infinite && (word & 0x007fffffu) != 0u) {
        r.flags |= HAS_NAN;
    } else if (r.own == 0.0) {
        r.loss = 0.0;   // a class without weight contributes 0, even at -inf
    } else if (infinite) {
        let positive = (r.own > 0.0) == (word == NEG_INF);
        r.flags |= select(HAS_NEG_INF, HAS_POS_INF, positive);
    } else {
        r.loss = -r.own * bitcast<f32>(word);
    }
    @if(ROW_WEIGHTS) r.loss *= r.factor;
    @if(ROW_WEIGHTS) r.flags = weighed_flags(r.flags, r.factor);
    return r;
}
