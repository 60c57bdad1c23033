// The gradient with respect to variances that several elements share: sums over these elements. For the variance, the
// piece is (outer, summed, inner), and each pair of outer and inner is a row. FOLD sums each row in `parts` parts. If
// rows are neighbours (inner > 1), neighbouring lanes have neighbouring rows; else they have interleaved parts of one
// row. Either way their loads coalesce. MERGE sums the parts.

import shared::{arithmetic, constants, params, tensor, totals, vectors, walk};
@if(!MERGE) import shared::{elements, formulas};

@if(!MERGE) fn take_block(block: u32, index: u32) {
    let item = block * WORKGROUP + index;
    if (item >= params.rows * params.parts) { return; }
    let apart = params.sum_inner > 1u;
    let row = select(item / params.parts, item % params.rows, apart);
    let part = select(item % params.parts, item / params.rows, apart);
    let inner = params.sum_inner;
    let start = row / inner * params.summed * inner + row % inner;
    var sum = empty_totals();
    for (var s = part; s < params.summed; s += params.parts) {
        let element = start + s * inner;
        let p = evaluate(read_logits(params.logits_origin + element).a, operands_of(element).a);
        sum = add_word(sum, slope_word(p.variance_grad, p.refused, scales_of(element).a));
    }
    let at = params.states + part * params.rows + row;
    // Earlier pieces have other elements of the same rows.
    if (params.continues != 0u) { sum = add_word(sum, workspace[at]); }
    workspace[at] = sum_word(sum);
}

@if(MERGE) {
@if(SHARED_STATES) var<workgroup> sums: array<u32, WORKGROUP>;

fn take_block(block: u32, index: u32) {
    @if(SHARED_STATES) {
        let word = merged(block, index);
        if (index == 0u && block < params.rows) { put(block, word); }
    }
    @else {
        let row = block * WORKGROUP + index;
        if (row < params.rows) { put(row, sum_word(parts_of(row, 0u, 1u))); }
    }
}

// Returns the sum of parts `first`, `first + step`, ... of a row.
fn parts_of(row: u32, first: u32, step: u32) -> Totals {
    var sum = empty_totals();
    for (var part = first; part < params.parts; part += step) {
        sum = add_word(sum, workspace[params.states + part * params.rows + row]);
    }
    return sum;
}

// Returns the sum of all parts of a row, computed by all lanes of the group.
@if(SHARED_STATES) fn merged(row: u32, index: u32) -> u32 {
    sums[index] = sum_word(parts_of(row, index, WORKGROUP));
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (index < half) {
            var sum = add_word(empty_totals(), sums[index]);
            sum = add_word(sum, sums[index + half]);
            sums[index] = sum_word(sum);
        }
        workgroupBarrier();
    }
    let word = sums[0];
    workgroupBarrier();
    return word;
}

fn put(row: u32, word: u32) {
    write_variance_grad(params.variance_grad_origin + row, pack_of(word, word));
}
}

fn add_word(sum: Totals, word: u32) -> Totals {
    let endless = (word & POS_INF) == POS_INF;
    let term = select(bitcast<f32>(word), 0.0, endless);
    var t = add(sum, Terms(term, 0.0, 0.0, 1.0, false));
    var flags = select(HAS_POS_INF, HAS_NEG_INF, word == NEG_INF);
    flags = select(flags, HAS_NAN, (word & 0x007fffffu) != 0u);
    t.flags |= select(0u, flags, endless);
    return t;
}

fn sum_word(t: Totals) -> u32 {
    let unit = select(1.0, RAISE, is_raised(t.flags));
    return word_of((t.loss.x + (t.loss.y + t.loss.z)) / unit, t.flags);
}
