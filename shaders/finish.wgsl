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

#if !DIVISOR_ONLY
// Writes a word of the result.
fn put(at: u32, word: u32) { result[params.result_origin + at] = word; }
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) index: u32) {
    var mine = empty_totals();
    for (var slot = index; slot < params.partials; slot += WORKGROUP) {
        mine = read_partial(mine, slot);
    }
    let t = group_totals(mine, index);
#if !DIVISOR_ONLY
    // The first bad row is in one partial: its label is the result's.
    let last = select(params.partials, 0u, t.bad == 0u);
    for (var slot = index; slot < last; slot += WORKGROUP) {
        let at = HEADER_WORDS + PARTIAL_WORDS * slot;
        if (workspace[at + 4u] != 0u && workspace[at + 5u] == t.first_bad) {
            put(6u, workspace[at + 6u]);
            put(7u, workspace[at + 7u]);
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
    put(0u, loss);
    put(1u, bitcast<u32>(weight_sum));
    put(2u, t.live);
    put(3u, t.flags);
    put(4u, t.bad);
    put(5u, t.first_bad);
    if (t.bad == 0u) {
        // Otherwise the lane that found the first bad row's label has written it.
        put(6u, 0u);
        put(7u, 0u);
    }
    put(8u, t.nonfinite);
    put(9u, t.first_nonfinite);
    for (var at = 10u; at < 16u; at += 1u) { put(at, 0u); }
#if Z_LOSS
    put(10u, word_of(t.z_loss.x / divisor, t.flags & HAS_NAN));
    if (divisor == 0.0 && (t.flags & HAS_NAN) == 0u) { put(10u, params.empty_mean); }
#endif
#if ACCURACY
    put(11u, t.correct);
#endif
#if TOP_K
    put(12u, t.top_k);
#endif
#endif
}
