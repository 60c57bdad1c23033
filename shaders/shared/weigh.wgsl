// The weights of rows, whose sum divides the mean, from labels and weights alone.

import shared::{arithmetic, row, totals, vectors};

// Adds the weights of a lane's rows, and counts those that are live.
fn weigh(totals: Totals, r: Row) -> Totals {
    let live = r.kind == RowWords(LIVE);
    @if(CUT) let counts = live && is_counted_here(r);
    @else let counts = live;
    let weight = share_of_total(select(RowReals(0.0), r.weight, counts));
    var t = add(totals, Terms(0.0, weight, 0.0, ROW_SHARE, false));
    t.live += total_words(select(RowWords(0u), RowWords(1u), counts));
    return t;
}
