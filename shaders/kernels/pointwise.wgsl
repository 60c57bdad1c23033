// Losses of single elements. A lane reads a load of the input and of its operands, evaluates the formula, writes
// losses and gradients, and adds to its totals. Another dispatch computes the elements that fill no load, one by one.

import shared::{arithmetic, constants, elements, formulas, params, tensor, totals, vectors, walk};

@if(REFUSES) {
// The load with a lane's first refused value, and which operands the values are.
var<private> refused_words: Words;
var<private> refused_operands: Words;

// Adds the first refused value to the group's partial, or to the result. The lane that read it has kept it, since the
// gradient may have overwritten it.
@if(COUNTS) fn report_refused(totals: Totals, slot: u32) {
    if (totals.bad == 0u || totals.first_bad != atomicLoad(&group_first_bad)) { return; }
    let k = (totals.first_bad - params.row_base) % HALF;
    write_bad(component(refused_words, k), component(refused_operands, k), slot);
}

// Returns component k. An index would place the variables in memory.
fn component(words: Words, k: u32) -> u32 {
    @if(WIDE) {
        let low = select(words.x, words.y, k == 1u);
        return select(low, select(words.z, words.w, k == 3u), k >= 2u);
    }
    @else return words;
}
}

fn take_block(totals: Totals, block: u32, index: u32) -> Totals {
    let load = block * WORKGROUP + index;
    if (load >= params.loads) { return totals; }
    let at = params.first_load + load;
    let x = read_logits(params.logits_origin + at);
    let o = operands_of(at);
    let a = evaluate(x.a, o.a);
    var b: Point;
    @if(EIGHT) b = evaluate(x.b, o.b);
    var t = totals;
    @if(COUNTS) {
        @if(EIGHT) {
            let share = 0.5 * ROW_SHARE;
            let sums = fma(finite_loss(b), Reals(share), rounded(finite_loss(a) * share));
            t = add(t, Terms(total(sums), 0.0, 0.0, share, false));
        }
        @else t = add(t, Terms(share_of_total(finite_loss(a)), 0.0, 0.0, ROW_SHARE, false));
        t = count(t, a, x.a, o.a, at * PACK);
        @if(EIGHT) t = count(t, b, x.b, o.b, at * PACK + HALF);
    }
    @if(ROW_LOSS) write_row_loss(params.row_loss_origin + at, pack_of(loss_word(a), loss_word(b)));
    @if(ANY_GRAD) let scale = scales_of(at);
    @if(GRAD) write_grad(params.grad_origin + at, slopes(a, b, a.grad, b.grad, scale));
    @if(TARGET_GRAD) write_target_grad(params.target_grad_origin + at,
        slopes(a, b, a.target_grad, b.target_grad, scale));
    @if(VARIANCE_GRAD) write_variance_grad(params.variance_grad_origin + at,
        slopes(a, b, a.variance_grad, b.variance_grad, scale));
    return t;
}

// Returns a gradient for both halves of a load.
@if(ANY_GRAD) fn slopes(a: Point, b: Point, of_a: Slope, of_b: Slope, scale: PackReals) -> Pack {
    var out: Pack;
    out.a = slope_word(of_a, a.refused, scale.a);
    @if(EIGHT) out.b = slope_word(of_b, b.refused, scale.b);
    return out;
}

@if(COUNTS) fn loss_word(p: Point) -> Words {
    var word = select(bitcast<Words>(p.loss), Words(POS_INF), p.up);
    word = select(word, Words(NEG_INF), p.down);
    return select(word, Words(NAN), p.lost | p.refused);
}

@if(COUNTS) fn finite_loss(p: Point) -> Reals {
    return select(p.loss, Reals(0.0), p.up | p.down | p.lost | p.refused);
}

// Returns a bit for each component, from which follow their count and the first one.
@if(WIDE) {
fn component_bits(which: Bools) -> u32 {
    let bits = select(Words(0u), Words(1u, 2u, 4u, 8u), which);
    return (bits.x | bits.y) | (bits.z | bits.w);
}
fn some(which: Bools) -> bool { return any(which); }
}
@else {
fn component_bits(which: Bools) -> u32 { return select(0u, 1u, which); }
fn some(which: Bools) -> bool { return which; }
}

// Adds counts of the elements from `first` on to the totals.
@if(COUNTS) fn count(totals: Totals, p: Point, x: Words, o: Operands, first: u32) -> Totals {
    var t = totals;
    let number = params.row_base + first;
    let lost = component_bits(p.lost & !p.refused);
    t.flags |= select(0u, HAS_POS_INF, some(p.up));
    t.flags |= select(0u, HAS_NEG_INF, some(p.down));
    t.flags |= select(0u, HAS_NAN, lost != 0u);
    t.nonfinite += countOneBits(lost);
    let first_lost = number + firstTrailingBit(lost);
    t.first_nonfinite = min(t.first_nonfinite, select(NO_ROW, first_lost, lost != 0u));
    t.live += HALF;
    @if(REFUSES) {
        // A lane reads its elements in ascending order.
        let bad = component_bits(p.refused);
        let fresh = t.bad == 0u && bad != 0u;
        t.flags |= select(0u, HAS_NAN, bad != 0u);
        t.live -= countOneBits(bad);
        t.bad += countOneBits(bad);
        t.first_bad = select(t.first_bad, number + firstTrailingBit(bad), fresh);
    }
    @if(REFUSES && VARIANCE) {
        refused_words = select(refused_words, o.variance, fresh);
        refused_operands = Words(REFUSED_VARIANCE);
    }
    @elif(REFUSES) {
        refused_words = select(refused_words, select(o.target_word, x, p.by_input), fresh);
        let operands = select(Words(REFUSED_TARGET), Words(REFUSED_INPUT), p.by_input);
        refused_operands = select(refused_operands, operands, fresh);
    }
    return t;
}
