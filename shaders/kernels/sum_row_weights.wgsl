// The mean's divisor, the sum of the live rows' weights, from labels and weights alone. It runs before the gradient
// kernels, which divide by it; a loss without gradient sums the weights in its own kernel.

import shared::{arithmetic, params, row, totals, walk};

fn take_block(totals: Totals, block: u32, index: u32) -> Totals {
    let row = block * WORKGROUP + index;
    if (row >= params.rows) { return totals; }
    let r = open_rows(row, true);
    @if(CUT) let counts = r.kind == LIVE && is_counted_here(r);
    @else let counts = r.kind == LIVE;
    if (!counts) { return totals; }
    var t = add(totals, Terms(0.0, r.weight, 0.0, 1.0, false));
    t.live += 1u;
    return t;
}
