// The mean's divisor, from labels and weights alone: the sum of what live rows weigh. It runs before the
// gradient kernels, which need it; a loss without gradient gathers it on the way.

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
