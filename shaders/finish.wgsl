// One group sums the partials of all groups and pieces, and writes the divisor for the gradient
// kernels (DIVISOR_ONLY) or the loss and what was seen in the rows.

fn read_partial(totals: Totals, slot: u32) -> Totals {
    let at = HEADER_WORDS + PARTIAL_WORDS * slot;
    var z_loss = 0.0;
#if Z_LOSS
    z_loss = bitcast<f32>(workspace[at + 10u]);
#endif
    var t = add(totals, bitcast<f32>(workspace[at]), bitcast<f32>(workspace[at + 1u]), z_loss);
    t.live += workspace[at + 2u];
    t.flags |= workspace[at + 3u];
    t.bad += workspace[at + 4u];
    t.first_bad = min(t.first_bad, workspace[at + 5u]);
    t.nonfinite += workspace[at + 8u];
    t.first_nonfinite = min(t.first_nonfinite, workspace[at + 9u]);
#if ACCURACY
    t.correct += workspace[at + 11u];
#endif
#if TOP_K
    t.top_k += workspace[at + 12u];
#endif
    return t;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) index: u32) {
    var mine = empty_totals();
    for (var slot = index; slot < params.partials; slot += WORKGROUP) {
        mine = read_partial(mine, slot);
    }
    let t = group_totals(mine, index);
#if !DIVISOR_ONLY
    // The first bad row is in one partial: its label is the result's.
    for (var slot = index; slot < params.partials; slot += WORKGROUP) {
        let at = HEADER_WORDS + PARTIAL_WORDS * slot;
        if (workspace[at + 4u] != 0u && workspace[at + 5u] == t.first_bad) {
            result[6] = workspace[at + 6u];
            result[7] = workspace[at + 7u];
        }
    }
#endif
    if (index != 0u) { return; }
    // Rows are counted as integers: an f32 counter stops at 2^24.
#if WEIGHS_ROWS
    let weight_sum = t.weight.x;
#else
    let weight_sum = f32(t.live);
#endif
#if DIVISOR_ONLY
    workspace[0] = bitcast<u32>(weight_sum);
#else
#if SUMS_WEIGHTS
    let divisor = weight_sum;
#else
    let divisor = params.divisor;
#endif
    var loss = word_of(t.loss.x / divisor, t.flags);
    if (divisor == 0.0 && (t.flags & HAS_NAN) == 0u) { loss = params.empty_mean; }
    result[0] = loss;
    result[1] = bitcast<u32>(weight_sum);
    result[2] = t.live;
    result[3] = t.flags;
    result[4] = t.bad;
    result[5] = t.first_bad;
    result[8] = t.nonfinite;
    result[9] = t.first_nonfinite;
    for (var at = 10u; at < 16u; at += 1u) { result[at] = 0u; }
#if Z_LOSS
    result[10] = word_of(t.z_loss.x / divisor, t.flags & HAS_NAN);
    if (divisor == 0.0 && (t.flags & HAS_NAN) == 0u) { result[10] = params.empty_mean; }
#endif
#if ACCURACY
    result[11] = t.correct;
#endif
#if TOP_K
    result[12] = t.top_k;
#endif
#endif
}
