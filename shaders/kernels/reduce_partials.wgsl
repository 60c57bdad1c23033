// One group sums the partials of all groups and pieces. It leaves the divisor for the gradient kernels, or the loss and the
// counts of rows.

import shared::{constants, outcome, params, totals};

fn read_partial(totals: Totals, slot: u32) -> Totals {
    var z_loss = 0.0;
    @if(Z_LOSS) z_loss = bitcast<f32>(partial(Z_LOSS_AT, slot));
    let loss = bitcast<f32>(partial(LOSS_AT, slot));
    var weight = 0.0;
    @if(WEIGHS_ROWS) weight = bitcast<f32>(partial(WEIGHT_AT, slot));
    let flags = partial(FLAGS_AT, slot);
    var t = add(totals, Terms(loss, weight, z_loss, 1.0, is_raised(flags)));
    t.live += partial(LIVE_AT, slot);
    t.flags |= flags;
    t.bad += partial(BAD_AT, slot);
    t.first_bad = min(t.first_bad, partial(FIRST_BAD_AT, slot));
    t.nonfinite += partial(NONFINITE_AT, slot);
    t.first_nonfinite = min(t.first_nonfinite, partial(FIRST_NONFINITE_AT, slot));
    @if(ACCURACY) t.correct += partial(CORRECT_AT, slot);
    @if(TOP_K) t.top_k += partial(TOP_K_AT, slot);
    return t;
}

fn partial(word: u32, slot: u32) -> u32 { return workspace[partial_at(word, slot)]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) index: u32) {
    var mine = empty_totals();
    for (var slot = index; slot < params.partials; slot += WORKGROUP) {
        mine = read_partial(mine, slot);
    }
    let t = group_totals(mine, index);
    // One partial has the first bad row: its label goes into the result.
    @if(RESULT) {
        let last = select(params.partials, 0u, t.bad == 0u);
        for (var slot = index; slot < last; slot += WORKGROUP) {
            if (partial(BAD_AT, slot) != 0u && partial(FIRST_BAD_AT, slot) == t.first_bad) {
                write_bad(partial(BAD_VALUE_AT, slot), partial(BAD_OPERAND_AT, slot), slot);
            }
        }
    }
    if (index == 0u) { write_outcome(t); }
}
