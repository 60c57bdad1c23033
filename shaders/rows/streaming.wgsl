// Streaming rows: a lane reads every LANES-th load of the range, in one pass for the state and in a second one for
// the results.

import rows::loads;
import shared::{fold, offsets, state};
@if(FOURS) import shared::fours;
@if(WRITES) import shared::writer;

@if(!BY_CLASS) fn fold_row(offsets: Offsets, range: Range, lane: u32, label_keys: LabelKeys) -> Folds {
    let start = range.start + lane;
    @if(CHUNKS) {
        var whole = empty_folds(label_keys);
        for (var chunk = start; chunk < range.end; chunk += CHUNK * LANES) {
            whole = merge_folds(whole, fold_chunk(offsets, chunk, min(range.end, chunk + CHUNK * LANES), label_keys));
        }
        return whole;
    }
    @else return fold_chunk(offsets, start, range.end, label_keys);
}

@if(!BY_CLASS) fn fold_chunk(offsets: Offsets, start: u32, end: u32, label_keys: LabelKeys) -> Folds {
    var f = empty_folds(label_keys);
    var turn = start;
    @if(FOURS) let whole = min(end, whole_end(offsets));
    @if(FOURS) for (; turn + 3u * LANES < whole; turn += 4u * LANES) {
        f = fold_four(f, offsets, whole_load_of(turn));
    }
    for (; turn < end; turn += LANES) {
        let p = load_of(offsets, turn);
        f = accumulate(f, read_pack(offsets, p), weights_of(offsets, p), classes_of(offsets, p));
    }
    return f;
}

@if(WRITES) fn write_row(w: Writers, offsets: Offsets, range: Range, lane: u32) {
    let start = range.start + lane;
    @if(CHUNKS) for (var chunk = start; chunk < range.end; chunk += CHUNK * LANES) {
        write_chunk(w, offsets, range, chunk, min(range.end, chunk + CHUNK * LANES));
    }
    @else write_chunk(w, offsets, range, start, range.end);
}

@if(WRITES) fn write_chunk(w: Writers, offsets: Offsets, range: Range, start: u32, end: u32) {
    var turn = start;
    @if(FOURS) let whole = min(end, whole_end(offsets));
    @if(FOURS) for (; turn + 3u * LANES < whole; turn += 4u * LANES) {
        write_four(w, offsets, whole_load_of(turn));
    }
    for (; turn < end; turn += LANES) {
        let p = load_of(offsets, turn);
        @if(PAIRS) if (p == range.left_out) { continue; }
        write_any(w, offsets, p);
    }
}

// Writes a load that may hold elements of other rows.
@if(WRITES) fn write_any(w: Writers, offsets: Offsets, p: u32) {
    let pack = read_pack(offsets, p);
    @if(PARTIAL) write_part(w, offsets, offset_of(p), pack, classes_of(offsets, p), weights_of(offsets, p));
    @else write_pack(w, offsets, offset_of(p), pack, classes_of(offsets, p), weights_of(offsets, p));
}
