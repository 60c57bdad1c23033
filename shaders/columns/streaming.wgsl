// Streaming rows: more classes than a lane can keep in registers.

import columns::loads;
@if(FOURS) import shared::fours;
import shared::{arithmetic, count, fold, offsets, params, row, state, tensor, totals, vectors};
@if(SCALED) import shared::logits;
@if(WRITES) import shared::writer;

fn columns(totals: Totals, row: u32) -> Totals {
    let offsets = offsets_of_rows(row);
    var ra = open_rows(row, true);
    var label_keys: LabelKeys;
    @if(LABELS) let label_logit_a = label_logits(ra, offsets, 0u);
    @if(RANK) label_keys.a = label_key_of(ra.class_index, label_logit_a);
    @if(EIGHT) {
        var rb = open_rows(row + HALF, true);
        @if(LABELS) let label_logit_b = label_logits(rb, offsets, HALF);
        @if(RANK) label_keys.b = label_key_of(rb.class_index, label_logit_b);
    }
    let f = fold_column(offsets, label_keys);
    var sa = state_of(f.a);
    @if(LABELS) sa.label_logit = label_logit_a;
    ra = close_rows(ra, sa, row);
    var t = count_rows(totals, ra, row);
    @if(EIGHT) {
        var sb = state_of(f.b);
        @if(LABELS) sb.label_logit = label_logit_b;
        rb = close_rows(rb, sb, row + HALF);
        t = count_rows(t, rb, row + HALF);
    }
    @if(WRITES) {
        var w: Writers;
        w.a = writer(ra);
        @if(EIGHT) w.b = writer(rb);
        @if(PLAIN_GRAD) w.plain = are_plain(w);
        write_column(w, offsets);
    }
    return t;
}

// Returns the labels' logits of the rows at components `first` and on of a load.
@if(LABELS) fn label_logits(r: Row, offsets: Offsets, first: u32) -> RowWords {
    let c = select(RowWords(0u), r.class_index, r.kind == RowWords(LIVE));
    let at = offsets.logits + c * (params.inner / PACK);
    @if(ROW_VECTORS) return RowWords(word_of_logits(at.x, first), word_of_logits(at.y, first + 1u),
        word_of_logits(at.z, first + 2u), word_of_logits(at.w, first + 3u));
    @else return word_of_logits(at, 0u);
}

fn fold_column(offsets: Offsets, label_keys: LabelKeys) -> Folds {
    @if(CHUNKS) {
        var whole = empty_folds(label_keys);
        for (var c = 0u; c < params.classes; c += CHUNK) {
            whole = merge_folds(whole, fold_chunk(offsets, c, min(params.classes, c + CHUNK), label_keys));
        }
        return whole;
    }
    @else return fold_chunk(offsets, 0u, params.classes, label_keys);
}

// Folds classes `start` to `end`.
fn fold_chunk(offsets: Offsets, start: u32, end: u32, label_keys: LabelKeys) -> Folds {
    var f = empty_folds(label_keys);
    var c = start;
    @if(FOURS) for (; c + 3u < end; c += 4u) { f = fold_four(f, offsets, c); }
    for (; c < end; c += 1u) {
        f = accumulate(f, read_whole(offsets, c), weights_of(offsets, c), classes_of(offsets, c));
    }
    return f;
}

@if(WRITES) fn write_column(w: Writers, offsets: Offsets) {
    @if(CHUNKS) for (var c = 0u; c < params.classes; c += CHUNK) {
        write_chunk(w, offsets, c, min(params.classes, c + CHUNK));
    }
    @else write_chunk(w, offsets, 0u, params.classes);
}

@if(WRITES) fn write_chunk(w: Writers, offsets: Offsets, start: u32, end: u32) {
    var c = start;
    @if(FOURS) for (; c + 3u < end; c += 4u) { write_four(w, offsets, c); }
    for (; c < end; c += 1u) {
        write_pack(w, offsets, offset_of(c), read_whole(offsets, c), classes_of(offsets, c), weights_of(offsets, c));
    }
}
