// Four loads of a lane at a time, STEP apart: load p of its row (or rows), and the next three. All are issued before the
// first exp. None of them has elements of other lanes' rows. Where loads are, `loads.wgsl` of rows and columns says.
//
// Nearly always none of their elements is NaN or infinite, and none of the label's class. That takes one look at words
// as they lie in memory, and spares a third of the instructions of each class: FINITE_PATH where they are folded,
// PLAIN_GRAD where gradients are written. Otherwise the four are read again, one by one, from a cache. Drivers that
// compute both sides of a branch would do all of it, so for them there is neither.

import shared::{fold, offsets, state, tensor, vectors};
@if(WRITES) import shared::writer;

@if(FINITE_PATH) {
struct Four {
    a: Loaded_logits,
    b: Loaded_logits,
    c: Loaded_logits,
    d: Loaded_logits,
}

fn read_four(offsets: Offsets, p: u32) -> Four {
    return Four(load_whole(offsets, p), load_whole(offsets, p + STEP),
        load_whole(offsets, p + 2u * STEP), load_whole(offsets, p + 3u * STEP));
}

fn load_whole(offsets: Offsets, p: u32) -> Loaded_logits { return load_logits(offsets.logits + offset_of(p)); }

fn are_finite(four: Four) -> bool {
    return is_finite_logits(
        carries_logits(four.a) | carries_logits(four.b) | carries_logits(four.c) | carries_logits(four.d));
}

fn fold_four(folds: Folds, offsets: Offsets, p: u32) -> Folds {
    let four = read_four(offsets, p);
    var f = folds;
    if (are_finite(four)) {
        f = fold_finite(f, offsets, p, four.a);
        f = fold_finite(f, offsets, p + STEP, four.b);
        f = fold_finite(f, offsets, p + 2u * STEP, four.c);
        f = fold_finite(f, offsets, p + 3u * STEP, four.d);
    } else {
        for (var k = 0u; k < 4u; k += 1u) { f = fold_load(f, offsets, p + k * STEP, read_whole(offsets, p + k * STEP)); }
    }
    return f;
}

fn fold_finite(folds: Folds, offsets: Offsets, p: u32, loaded: Loaded_logits) -> Folds {
    return accumulate_finite(folds, widened_logits(loaded), weights_of(offsets, p), classes_of(offsets, p));
}
}
@elif(!BY_CLASS) fn fold_four(folds: Folds, offsets: Offsets, p: u32) -> Folds {
    let a = read_whole(offsets, p);
    let b = read_whole(offsets, p + STEP);
    let c = read_whole(offsets, p + 2u * STEP);
    let d = read_whole(offsets, p + 3u * STEP);
    var f = fold_load(folds, offsets, p, a);
    f = fold_load(f, offsets, p + STEP, b);
    f = fold_load(f, offsets, p + 2u * STEP, c);
    return fold_load(f, offsets, p + 3u * STEP, d);
}

@if(!BY_CLASS) fn fold_load(folds: Folds, offsets: Offsets, p: u32, pack: Pack) -> Folds {
    return accumulate(folds, pack, weights_of(offsets, p), classes_of(offsets, p));
}

@if(PLAIN_GRAD) {
fn write_four(w: Writers, offsets: Offsets, p: u32) {
    let four = read_four(offsets, p);
    if (w.plain && !has_label(w.a, offsets, p) && are_finite(four)) {
        write_finite(w, offsets, p, four.a);
        write_finite(w, offsets, p + STEP, four.b);
        write_finite(w, offsets, p + 2u * STEP, four.c);
        write_finite(w, offsets, p + 3u * STEP, four.d);
    } else {
        for (var k = 0u; k < 4u; k += 1u) { write_load(w, offsets, p + k * STEP, read_whole(offsets, p + k * STEP)); }
    }
}

// Returns true if one of the four may have the label's class. Rows that a lane has side by side have labels of their own:
// there each class is compared.
fn has_label(w: Writer, offsets: Offsets, p: u32) -> bool {
    @if(PACKED_ROWS) return false;
    @else {
        let ahead = label_load_of(w.class_index.x, offsets) - p;
        return ahead < 4u * STEP && ahead % STEP == 0u;
    }
}

fn write_finite(w: Writers, offsets: Offsets, p: u32, loaded: Loaded_logits) {
    let plain = plain_gradients(w, widened_logits(loaded));
    @if(PACKED_ROWS) let out = with_label(w, plain, classes_of(offsets, p));
    @else let out = plain;
    write_finite_grad(offsets.grad + offset_of(p), out);
}
}
@elif(WRITES) fn write_four(w: Writers, offsets: Offsets, p: u32) {
    let a = read_whole(offsets, p);
    let b = read_whole(offsets, p + STEP);
    let c = read_whole(offsets, p + 2u * STEP);
    let d = read_whole(offsets, p + 3u * STEP);
    write_load(w, offsets, p, a);
    write_load(w, offsets, p + STEP, b);
    write_load(w, offsets, p + 2u * STEP, c);
    write_load(w, offsets, p + 3u * STEP, d);
}

@if(WRITES) fn write_load(w: Writers, offsets: Offsets, p: u32, pack: Pack) {
    write_pack(w, offsets, offset_of(p), pack, classes_of(offsets, p), weights_of(offsets, p));
}
