// What becomes of the totals of a group that has those of all rows: the result (RESULT), or the divisor for the gradient
// kernels. Either one group sums all partials, or one group has done all of the work.

import shared::{arithmetic, constants, params, totals, vectors};

// Writes a word of the result.
@if(RESULT) fn set_result(at: u32, word: u32) { result[params.result_origin + at] = word; }

// Writes the first bad label or value.
@if(RESULT) fn write_bad(value: u32, operand: u32, slot: u32) {
    set_result(BAD_VALUE_AT, value);
    set_result(BAD_OPERAND_AT, operand);
}

// Returns the sum of the weights in the unit of the totals. Rows are counted as integers: an f32 counter stops at
// 2^24.
fn row_weight_sum(t: Totals) -> f32 {
    @if(WEIGHS_ROWS) return t.weight.x;
    @else return f32(t.live) * unit_of(t);
}

// Returns the unit of the totals. The rounding prevents a compiler from dividing by it first, which may overflow.
fn unit_of(t: Totals) -> f32 { return rounded_number(select(1.0, RAISE, is_raised(t.flags))); }

fn raised_weights(t: Totals) -> f32 { return row_weight_sum(t) * (RAISE / unit_of(t)); }

fn weights_word(raised: f32, t: Totals) -> u32 {
    return or_infinite(bitcast<u32>(row_weight_sum(t) / unit_of(t)), raised);
}

@if(DIVISOR) fn write_outcome(t: Totals) { workspace[0] = weights_word(raised_weights(t), t); }

@if(RESULT) fn write_outcome(t: Totals) {
    @if(SUMS_WEIGHTS) let divisor = row_weight_sum(t);
    @else let divisor = rounded_number(params.divisor * unit_of(t));
    // A mean over a divisor of 2^63 and more is within the range of f32.
    let raised_divisor = rounded_number(clamp(divisor, -0x1p+63f, 0x1p+63f) / RAISE);
    let raised_loss = t.loss.x / raised_divisor;
    let raised_weights = raised_weights(t);
    set_result(LOSS_AT, mean_word(or_infinite(bitcast<u32>(t.loss.x / divisor), raised_loss), divisor, t.flags));
    set_result(WEIGHT_AT, weights_word(raised_weights, t));
    set_result(LIVE_AT, t.live);
    set_result(FLAGS_AT, t.flags & ~RAISED);
    set_result(BAD_AT, t.bad);
    set_result(FIRST_BAD_AT, t.first_bad);
    if (t.bad == 0u) {
        // Otherwise the lane that knows the first bad row's label writes these words.
        set_result(BAD_VALUE_AT, 0u);
        set_result(BAD_OPERAND_AT, 0u);
    }
    set_result(NONFINITE_AT, t.nonfinite);
    set_result(FIRST_NONFINITE_AT, t.first_nonfinite);
    for (var at = Z_LOSS_AT; at < TOTALS_WORDS; at += 1u) { set_result(at, 0u); }
    // Loss, weight and z-loss again, times RAISE, for hosts whose numbers have a wider range than f32.
    set_result(RAISED_LOSS_AT, bitcast<u32>(raised_loss));
    set_result(RAISED_WEIGHT_AT, bitcast<u32>(raised_weights));
    @if(Z_LOSS) {
        let raised_z_loss = t.z_loss.x / raised_divisor;
        let z_loss = or_infinite(bitcast<u32>(t.z_loss.x / divisor), raised_z_loss);
        set_result(Z_LOSS_AT, mean_word(z_loss, divisor, t.flags & HAS_NAN));
        set_result(RAISED_Z_LOSS_AT, bitcast<u32>(raised_z_loss));
    }
    @if(ACCURACY) set_result(CORRECT_AT, t.correct);
    @if(TOP_K) set_result(TOP_K_AT, t.top_k);
}

// Returns a number, or an infinity if it is out of the range of f32. `raised` is the number times RAISE.
fn or_infinite(number: u32, raised: f32) -> u32 {
    let infinite = select(POS_INF, NEG_INF, raised < 0.0);
    return select(number, infinite, abs(raised) >= 0x1p+64f);
}

// Returns the word of a mean. A mean over nothing is the host's `empty_mean`, unless there is a NaN.
@if(RESULT) fn mean_word(mean: u32, divisor: f32, flags: u32) -> u32 {
    let empty = divisor == 0.0 && (flags & HAS_NAN) == 0u;
    return select(lowest(word_of(RowReals(bitcast<f32>(mean)), RowWords(flags))), params.empty_mean, empty);
}
