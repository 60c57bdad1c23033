// One group sums the partials of all groups and pieces. It writes the divisor for the gradient kernels
// (DIVISOR_ONLY), or the loss and the counts of rows.

import shared::{arithmetic, constants, params, totals, vectors};

fn read_partial(totals: Totals, slot: u32) -> Totals {
    let at = HEADER_WORDS + TOTALS_WORDS * slot;
    var z_loss = 0.0;
    @if(Z_LOSS) z_loss = bitcast<f32>(workspace[at + Z_LOSS_AT]);
    let loss = bitcast<f32>(workspace[at + LOSS_AT]);
    var weight = 0.0;
    @if(WEIGHS_ROWS) weight = bitcast<f32>(workspace[at + WEIGHT_AT]);
    let flags = workspace[at + FLAGS_AT];
    var t = add(totals, Terms(loss, weight, z_loss, 1.0, is_raised(flags)));
    t.live += workspace[at + LIVE_AT];
    t.flags |= flags;
    t.bad += workspace[at + BAD_AT];
    t.first_bad = min(t.first_bad, workspace[at + FIRST_BAD_AT]);
    t.nonfinite += workspace[at + NONFINITE_AT];
    t.first_nonfinite = min(t.first_nonfinite, workspace[at + FIRST_NONFINITE_AT]);
    @if(ACCURACY) t.correct += workspace[at + CORRECT_AT];
    @if(TOP_K) t.top_k += workspace[at + TOP_K_AT];
    return t;
}

// Writes a word of the result.
@if(!DIVISOR_ONLY) fn put(at: u32, word: u32) { result[params.result_origin + at] = word; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) index: u32) {
    var mine = empty_totals();
    for (var slot = index; slot < params.partials; slot += WORKGROUP) {
        mine = read_partial(mine, slot);
    }
    let t = group_totals(mine, index);
    // One partial has the first bad row: its label goes into the result.
    @if(!DIVISOR_ONLY) let last = select(params.partials, 0u, t.bad == 0u);
    @if(!DIVISOR_ONLY) for (var slot = index; slot < last; slot += WORKGROUP) {
        let at = HEADER_WORDS + TOTALS_WORDS * slot;
        if (workspace[at + BAD_AT] != 0u && workspace[at + FIRST_BAD_AT] == t.first_bad) {
            put(BAD_VALUE_AT, workspace[at + BAD_VALUE_AT]);
            put(BAD_OPERAND_AT, workspace[at + BAD_OPERAND_AT]);
        }
    }
    if (index != 0u) { return; }
    @if(DIVISOR_ONLY) workspace[0] = weights_word(raised_weights(t), t);
    @else write_result(t);
}

// Returns the sum of the weights in the unit of the totals. Rows are counted as integers: an f32 counter stops at
// 2^24.
fn row_weight_sum(t: Totals) -> f32 {
    @if(WEIGHS_ROWS) return t.weight.x;
    @else return f32(t.live) * unit_of(t);
}

// Returns the unit of the totals. The rounding prevents a compiler from dividing by it first, which may overflow.
fn unit_of(t: Totals) -> f32 { return rounded(Reals(select(1.0, RAISE, is_raised(t.flags)))); }

fn raised_weights(t: Totals) -> f32 { return row_weight_sum(t) * (RAISE / unit_of(t)); }

fn weights_word(raised: f32, t: Totals) -> u32 {
    return or_infinite(bitcast<u32>(row_weight_sum(t) / unit_of(t)), raised);
}

@if(!DIVISOR_ONLY) fn write_result(t: Totals) {
    @if(SUMS_WEIGHTS) let divisor = row_weight_sum(t);
    @else let divisor = rounded(Reals(params.divisor * unit_of(t)));
    // A mean over a divisor of 2^63 and more is within the range of f32.
    let raised_divisor = rounded(Reals(clamp(divisor, -0x1p+63f, 0x1p+63f) / RAISE));
    let raised_loss = t.loss.x / raised_divisor;
    let raised_weights = raised_weights(t);
    put(LOSS_AT, mean_word(or_infinite(bitcast<u32>(t.loss.x / divisor), raised_loss), divisor, t.flags));
    put(WEIGHT_AT, weights_word(raised_weights, t));
    put(LIVE_AT, t.live);
    put(FLAGS_AT, t.flags & ~RAISED);
    put(BAD_AT, t.bad);
    put(FIRST_BAD_AT, t.first_bad);
    if (t.bad == 0u) {
        // Otherwise the lane that found the first bad row's label has written these words.
        put(BAD_VALUE_AT, 0u);
        put(BAD_OPERAND_AT, 0u);
    }
    put(NONFINITE_AT, t.nonfinite);
    put(FIRST_NONFINITE_AT, t.first_nonfinite);
    for (var at = Z_LOSS_AT; at < TOTALS_WORDS; at += 1u) { put(at, 0u); }
    // Loss, weight and z-loss again, times RAISE, for hosts whose numbers have a wider range than f32.
    put(RAISED_LOSS_AT, bitcast<u32>(raised_loss));
    put(RAISED_WEIGHT_AT, bitcast<u32>(raised_weights));
    @if(Z_LOSS) {
        let raised_z_loss = t.z_loss.x / raised_divisor;
        let z_loss = or_infinite(bitcast<u32>(t.z_loss.x / divisor), raised_z_loss);
        put(Z_LOSS_AT, mean_word(z_loss, divisor, t.flags & HAS_NAN));
        put(RAISED_Z_LOSS_AT, bitcast<u32>(raised_z_loss));
    }
    @if(ACCURACY) put(CORRECT_AT, t.correct);
    @if(TOP_K) put(TOP_K_AT, t.top_k);
}

// Returns a number, or an infinity if it is out of the range of f32. `raised` is the number times RAISE.
fn or_infinite(number: u32, raised: f32) -> u32 {
    let infinite = select(POS_INF, NEG_INF, raised < 0.0);
    return select(number, infinite, abs(raised) >= 0x1p+64f);
}

// Returns the word of a mean. A mean over nothing is the host's `empty_mean`, unless there is a NaN.
@if(!DIVISOR_ONLY) fn mean_word(mean: u32, divisor: f32, flags: u32) -> u32 {
    let empty = divisor == 0.0 && (flags & HAS_NAN) == 0u;
    return select(word_of(bitcast<f32>(mean), flags), params.empty_mean, empty);
}
