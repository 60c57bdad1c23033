// The mean's divisor in kernels of few rows: each group computes it from the labels and weights of all of them, which
// saves the dispatches that would compute it first.

import shared::{outcome, params, row, totals, vectors, weigh};

@if(PACKED_ROWS) const ROWS_OF_LANE: u32 = HALF;
@else const ROWS_OF_LANE: u32 = 1u;

// Every lane of the group must call it.
fn find_divisor(index: u32) {
    var mine = empty_totals();
    for (var row = ROWS_OF_LANE * index; row < params.rows; row += ROWS_OF_LANE * WORKGROUP) {
        mine = weigh(mine, open_rows(row, true));
    }
    let t = group_totals(mine, index);
    own_divisor = bitcast<f32>(weights_word(raised_weights(t), t));
    // The memory of the totals is used again for the losses.
    workgroupBarrier();
}
