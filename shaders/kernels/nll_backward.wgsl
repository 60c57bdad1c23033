// The gradient of nll: -w_t times the scale at the label, 0 elsewhere. A lane per word that is
// written, so that writes coalesce; the input is not read.

import shared::{arithmetic, halves, params, row, walk};

fn take_block(block: u32, index: u32) { write_word(block * WORKGROUP + index); }

// Writes two elements to a word, over stretches of consecutive elements: all of the piece, or each class's elements
// if it has some positions of one step of the outer axis. One half of the first and of the last word of a stretch may
// belong to another piece, and is preserved.
@if(GRAD_HALVES) fn write_word(item: u32) {
    let positions = min(params.rows, params.inner);
    let whole = positions == params.inner;
    let length = select(positions, params.rows * params.classes, whole);
    let words = length / 2u + 1u;
    let stretch = item / words;
    if (stretch >= select(params.classes, 1u, whole)) { return; }
    let start = params.grad_origin + stretch * params.inner;
    let word = start / 2u + item % words;
    // The positions of the word's halves in the stretch; before its start they wrap around.
    let low = 2u * word - start;
    let high = low + 1u;
    var value = 0u;
    var mask = 0u;
    if (low < length) {
        value = narrowed_{GRAD_TYPE}(gradient_of(stretch * positions + low));
        mask = 0xffffu;
    }
    if (high < length) {
        value |= narrowed_{GRAD_TYPE}(gradient_of(stretch * positions + high)) << 16u;
        mask |= 0xffff0000u;
    }
    if (mask == 0u) { return; }
    if (mask != 0xffffffffu) { value |= grad[word] & ~mask; }
    grad[word] = value;
}
@else fn write_word(item: u32) {
    // Below 2^31: elements of a piece have two bytes at least.
    if (item < params.rows * params.classes) {
        let positions = min(params.rows, params.inner);
        let at = item / positions * params.inner + item % positions;
        grad[params.grad_origin + at] = gradient_of(item);
    }
}

// Returns the gradient of element `item` of the piece, which has positions of one step of the outer axis, or all
// positions of several steps.
fn gradient_of(item: u32) -> u32 {
    let positions = min(params.rows, params.inner);
    let plane = item / positions;
    let row = plane / params.classes * params.inner + item % positions;
    return gradient_of_class(row, plane % params.classes);
}

fn gradient_of_class(row: u32, class_index: u32) -> u32 {
    let r = open_rows(row, true);
    if (r.kind == BAD) { return NAN; }
    if (r.kind != LIVE || r.class_index != class_index) { return 0u; }
    if (r.flags != 0u) { return NAN; }   // its weight is NaN or infinite
    return bitcast<u32>(-r.label_weight * row_scale(r, row));
}
