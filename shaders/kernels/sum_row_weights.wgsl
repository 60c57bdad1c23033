// The mean's divisor, the sum of the live rows' weights. It runs before the gradient kernels, which divide by it; a loss
// without gradient sums the weights in its own kernel.

import shared::{arithmetic, params, row, totals, walk, weigh};

fn take_block(totals: Totals, block: u32, index: u32) -> Totals {
    var t = totals;
    // Lanes read neighbouring labels, and each has several of them under way: rows that are not there are read as the
    // last one, and not counted.
    let first = block * SUMMED_ROWS * WORKGROUP + index;
    @for(k in SUMMED) let row_{k} = first + {k}u * WORKGROUP;
    @for(k in SUMMED) var r_{k} = open_rows(min(row_{k}, params.rows - 1u), true);
    @for(k in SUMMED) t = weigh(t, present(r_{k}, row_{k} < params.rows));
    return t;
}

fn present(opened: Row, is_there: bool) -> Row {
    var r = opened;
    r.kind = select(ABSENT, r.kind, is_there);
    return r;
}
