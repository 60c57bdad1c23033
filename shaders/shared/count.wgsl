// Adds rows to the totals, and writes their records and their own losses.

import shared::{arithmetic, constants, params, row, totals, vectors};
@if(CLASS_LOSSES) import shared::classes;
@if(RECORD) import shared::record;

// Adds live rows to the sums of their labels' classes.
@if(CLASS_LOSSES) fn count_classes(r: Row) {
    let words = word_of(r.loss, r.flags);
    var right = RowBools(false);
    @if(ACCURACY) {
        let lost = (r.flags & RowWords(HAS_NAN)) != RowWords(0u);
        right = (r.argmax == r.label) & !lost;
    }
    @if(ROW_VECTORS) for (var k = 0u; k < 4u; k += 1u) {
        if (r.kind[k] == LIVE) { count_class(r.label[k], words[k], right[k]); }
    }
    @else if (r.kind == LIVE) { count_class(r.label, words, right); }
}

// Adds the rows to the totals, and writes their own losses where reduction none asks for them.
fn count_rows(totals: Totals, r: Row, row: u32) -> Totals {
    let live = r.kind == RowWords(LIVE);
    let bad = r.kind == RowWords(BAD);
    let lost = live & ((r.flags & RowWords(HAS_NAN)) != RowWords(0u));
    let number = numbered(params.row_base + row);
    let one = RowWords(1u);
    let none = RowWords(0u);
    let loss = select(RowReals(0.0), r.loss, live & (r.flags == none));
    var weight = 0.0;
    @if(WEIGHS_ROWS) weight = share_of_total(select(RowReals(0.0), r.weight, live));
    var z_loss = 0.0;
    @if(Z_LOSS) z_loss = share_of_total(select(RowReals(0.0), r.z_loss, live & !lost));
    var t = add(totals, Terms(share_of_total(loss), weight, z_loss, ROW_SHARE, false));
    t.live += total_words(select(none, one, live));
    t.flags |= all_bits(select(none, r.flags, live) | select(none, RowWords(HAS_NAN), bad));
    t.bad += total_words(select(none, one, bad));
    t.first_bad = min(t.first_bad, lowest(select(RowWords(NO_ROW), number, bad)));
    t.nonfinite += total_words(select(none, one, lost));
    t.first_nonfinite = min(t.first_nonfinite, lowest(select(RowWords(NO_ROW), number, lost)));
    @if(ACCURACY) t.correct += total_words(select(none, one, live & !lost & (r.argmax == r.label)));
    @if(TOP_K) t.top_k += total_words(select(none, one, live & !lost & (r.label_rank < RowWords(params.top_k))));
    @if(CLASS_LOSSES) count_classes(r);
    @if(RECORD) write_records(r, row);
    @if(ROW_LOSS) {
        let word = select(select(none, word_of(r.loss, r.flags), live), RowWords(NAN), bad);
        let at = params.row_loss_origin + row;
        @if(ROW_VECTORS) {
            row_loss[at] = word.x;
            row_loss[at + 1u] = word.y;
            row_loss[at + 2u] = word.z;
            row_loss[at + 3u] = word.w;
        }
        @else row_loss[at] = word;
    }
    return t;
}
