// Streaming rows: more classes than a lane can keep in registers.

import columns::loads;
import shared::{arithmetic, count, fold, offsets, params, row, state, tensor, totals, vectors};
@if(SCALED) import shared::logits;
@if(WRITES) import shared::writer;

fn columns(totals: Totals, row: u32) -> Totals {
    let offsets = offsets_of_rows(row);
    let stride = params.inner / PACK;
    var ra = open_rows(row, true);
    var label_keys: LabelKeys;
    @if(LABELS) let label_logit_a = label_logits(ra, offsets, stride, 0u);
    @if(RANK) label_keys.a = label_key_of(ra.class_index, label_logit_a);
    @if(EIGHT) {
        var rb = open_rows(row + HALF, true);
        @if(LABELS) let label_logit_b = label_logits(rb, offsets, stride, HALF);
        @if(RANK) label_keys.b = label_key_of(rb.class_index, label_logit_b);
    }
    let f = fold_column(offsets, stride, label_keys);
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
        write_column(w, offsets, stride);
    }
    return t;
}

// Returns the labels' logits of the rows at components `first` and on of a load.
@if(LABELS) fn label_logits(r: Row, offsets: Offsets, stride: u32, first: u32) -> RowWords {
    let c = select(RowWords(0u), r.class_index, r.kind == RowWords(LIVE));
    let at = offsets.logits + c * stride;
    @if(ROW_VECTORS) return RowWords(word_of_logits(at.x, first), word_of_logits(at.y, first + 1u),
        word_of_logits(at.z, first + 2u), word_of_logits(at.w, first + 3u));
    @else return word_of_logits(at, 0u);
}

fn fold_column(offsets: Offsets, stride: u32, label_keys: LabelKeys) -> Folds {
    @if(CHUNKS) {
        var whole = empty_folds(label_keys);
        for (var c = 0u; c < params.classes; c += CHUNK) {
            whole = merge_folds(whole, fold_chunk(offsets, stride, c, min(params.classes, c + CHUNK), label_keys));
        }
        return whole;
    }
    @else return fold_chunk(offsets, stride, 0u, params.classes, label_keys);
}

// Returns class `c` for every row of the lane.
fn classes_of(c: u32) -> Pack {
    var classes: Pack;
    @for(h in HALVES) classes.{h} = Words(c);
    return classes;
}

fn read_class(offsets: Offsets, at: u32) -> Pack { return read_logits(offsets.logits + at); }

// Folds classes `start` to `end`.
fn fold_chunk(offsets: Offsets, stride: u32, start: u32, end: u32, label_keys: LabelKeys) -> Folds {
    var f = empty_folds(label_keys);
    var c = start;
    var at = start * stride;
    // Issues four independent loads before the first exp.
    @if(FOURS) for (; c + 3u < end; c += 4u) {
        let w = read_class(offsets, at);
        let x = read_class(offsets, at + stride);
        let y = read_class(offsets, at + 2u * stride);
        let z = read_class(offsets, at + 3u * stride);
        f = accumulate(f, w, weights_of(offsets, c, at), classes_of(c));
        f = accumulate(f, x, weights_of(offsets, c + 1u, at + stride), classes_of(c + 1u));
        f = accumulate(f, y, weights_of(offsets, c + 2u, at + 2u * stride), classes_of(c + 2u));
        f = accumulate(f, z, weights_of(offsets, c + 3u, at + 3u * stride), classes_of(c + 3u));
        at += 4u * stride;
    }
    for (; c < end; c += 1u) {
        f = accumulate(f, read_class(offsets, at), weights_of(offsets, c, at), classes_of(c));
        at += stride;
    }
    return f;
}

@if(WRITES) fn write_column(w: Writers, offsets: Offsets, stride: u32) {
    @if(CHUNKS) for (var c = 0u; c < params.classes; c += CHUNK) {
        write_chunk(w, offsets, stride, c, min(params.classes, c + CHUNK));
    }
    @else write_chunk(w, offsets, stride, 0u, params.classes);
}

@if(WRITES) fn write_chunk(w: Writers, offsets: Offsets, stride: u32, start: u32, end: u32) {
    var c = start;
    var at = start * stride;
    @if(FOURS) for (; c + 3u < end; c += 4u) {
        write_class(w, offsets, c, at);
        write_class(w, offsets, c + 1u, at + stride);
        write_class(w, offsets, c + 2u, at + 2u * stride);
        write_class(w, offsets, c + 3u, at + 3u * stride);
        at += 4u * stride;
    }
    for (; c < end; c += 1u) {
        write_class(w, offsets, c, at);
        at += stride;
    }
}

@if(WRITES) fn write_class(w: Writers, offsets: Offsets, c: u32, at: u32) {
    write_pack(w, offsets, at, read_class(offsets, at), classes_of(c), weights_of(offsets, c, at));
}
