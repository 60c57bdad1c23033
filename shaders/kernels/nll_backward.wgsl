// The gradient of nll: -w_t times the scale at the label, 0 elsewhere. The input is not read.
//
// A lane writes a store of 16 bytes, PACK elements: two integer divisions at most tell the first one's row and class, and
// counting those of the others. Classes of a row are neighbours in memory, or rows are (NEIGHBOURS). A tensor or a
// piece that such stores do not fit is written word by word (!WIDE).

import shared::{arithmetic, constants, halves, params, row, vectors, walk};

fn take_block(block: u32, index: u32) { write_store(block * WORKGROUP + index); }

// The elements of a row: bits of the gradient's type.
struct RowGradient {
    class_index: u32,   // the label's class in the piece, or NO_CLASS
    at_label: u32,
    elsewhere: u32,
}

// Without branches, so that a lane reads the labels of several rows at a time.
fn gradient_of_row(row: u32) -> RowGradient {
    let r = open_rows(row, true);
    let value = bitcast<u32>(-r.label_weight * row_scale(r, row));
    let lost = r.flags != 0u;   // its weight is NaN or infinite
    return RowGradient(
        select(NO_CLASS, r.class_index, r.kind == LIVE),
        element_of(select(value, NAN, lost)),
        select(0u, element_of(NAN), r.kind == BAD),
    );
}

// Returns an f32 in the gradient's type.
fn element_of(word: u32) -> u32 {
    @if(GRAD_HALVES && WIDE) return narrowed_{GRAD_TYPE}(Words(word)).x;
    @elif(GRAD_HALVES) return narrowed_{GRAD_TYPE}(word);
    @else return word;
}

// The store that is number `store` from the one with the piece's first element on.
@if(WIDE) fn write_store(store: u32) {
    // Elements of the first store that are not the piece's.
    @if(RAGGED) let lead = params.grad_origin % PACK;
    @else let lead = 0u;
    // Below 2^31 + PACK: elements of a piece have two bytes at least.
    let end = lead + params.rows * params.classes;
    let at = store * PACK;
    if (at >= end) { return; }
    let start = max(at, lead) - at;
    let item = at + start - lead;
    let words = words_of(elements_from(item, start));
    @if(RAGGED) put(params.grad_origin / PACK + store, words, start, min(end - at, PACK));
    @elif(NEIGHBOURS) grad[(params.grad_origin + offset_of(item)) / PACK] = words;
    @else grad[params.grad_origin / PACK + store] = words;
}

// Returns the elements of a store from the piece's element `item` on, which is its component `start`: those of one row
// after the other, as far as the row has classes in the store.
@if(WIDE && !NEIGHBOURS) fn elements_from(item: u32, start: u32) -> Pack {
    var elements: Pack;
    var row = item / params.classes;
    // The component of the row's first class; before the store it wraps around.
    var first = start + row * params.classes - item;
    for (; row < params.rows && bitcast<i32>(first) < i32(PACK); row += 1u) {
        let g = gradient_of_row(row);
        elements.a = with_row(elements.a, g, Words(0u, 1u, 2u, 3u) - first);
        @if(EIGHT) elements.b = with_row(elements.b, g, Words(4u, 5u, 6u, 7u) - first);
        first += params.classes;
    }
    return elements;
}

// Replaces the elements that are a row's. `classes` wrap around before its first one.
@if(WIDE && !NEIGHBOURS) fn with_row(elements: Words, g: RowGradient, classes: Words) -> Words {
    let row = select(Words(g.elsewhere), Words(g.at_label), classes == Words(g.class_index));
    return select(elements, row, classes < Words(params.classes));
}

// Returns the elements of a store, each of another row.
@if(WIDE && NEIGHBOURS) fn elements_from(item: u32, start: u32) -> Pack {
    var elements: Pack;
    var p = place_of(item, start);
    @for(h in HALVES) @for(c in COMPONENTS) {
        elements.{h}.{c} = element_at(p);
        @if(RAGGED) p = next(p);
        @else p.row += 1u;   // stores do not cross the ends of planes
    }
    return elements;
}

@if(WIDE) fn words_of(elements: Pack) -> vec4<u32> {
    @if(EIGHT) return joined_halves(elements.a, elements.b);
    @else return elements.a;
}

// Writes elements `start` to `end` of a store. The others belong to another piece or tensor: no lane writes them now.
@if(RAGGED) fn put(at: u32, words: vec4<u32>, start: u32, end: u32) {
    if (end - start == PACK) {
        grad[at] = array<u32, 4>(words.x, words.y, words.z, words.w);
        return;
    }
    @if(GRAD_HALVES) let last = (end - 1u) / 2u;
    @if(GRAD_HALVES) for (var k = start / 2u; k <= last; k += 1u) {
        let mask = mask_of(2u * k >= start, 2u * k + 1u < end);
        grad[at][k] = (words[k] & mask) | (grad[at][k] & ~mask);
    }
    @else for (var k = start; k < end; k += 1u) { grad[at][k] = words[k]; }
}

// Returns the bits of a word whose halves are written.
@if(GRAD_HALVES && (RAGGED || !WIDE)) fn mask_of(low: bool, high: bool) -> u32 {
    return select(0u, 0xffffu, low) | select(0u, 0xffff0000u, high);
}

// Writes two elements to a word, over stretches of consecutive elements: all of the piece, or each class's elements
// if it has some positions of one step of the outer axis. One half of the first and of the last word of a stretch may
// belong to another piece, and is preserved.
@if(!WIDE && GRAD_HALVES) fn write_store(item: u32) {
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
    let mask = mask_of(low < length, high < length);
    if (mask == 0u) { return; }
    let before = select(1u, 0u, low < length);
    let p = place_of(stretch * positions + low + before, before);
    var value = element_at(p) | (element_at(next(p)) << 16u);
    if (mask != 0xffffffffu) { value = (value & mask) | (grad[word] & ~mask); }
    grad[word] = value;
}
@elif(!WIDE) fn write_store(item: u32) {
    if (item < params.rows * params.classes) {
        grad[params.grad_origin + offset_of(item)] = element_at(place_of(item, 0u));
    }
}

// A piece's element by its plane, which has the positions of one class in one step of the outer axis: some of them, if
// the piece has no more, and otherwise all.
@if(NEIGHBOURS || !WIDE) {
struct Place {
    row: u32,
    class_index: u32,
    position: u32,
}

// Returns the place `before` elements before `item`, in the item's plane.
fn place_of(item: u32, before: u32) -> Place {
    let positions = min(params.rows, params.inner);
    let plane = item / positions;
    let step = plane / params.classes;
    let position = item - plane * positions - before;
    return Place(step * params.inner + position, plane - step * params.classes, position);
}

fn element_at(p: Place) -> u32 {
    // Elements outside of the piece are not written, and their rows are not read.
    let g = gradient_of_row(min(p.row, params.rows - 1u));
    return select(g.elsewhere, g.at_label, p.class_index == g.class_index);
}
}

// Returns the place of the next element: after a plane that of the next class, which has the same rows; after the last
// class that of the next step, whose rows follow.
@if(NEIGHBOURS && RAGGED || !WIDE && GRAD_HALVES) fn next(p: Place) -> Place {
    let positions = min(params.rows, params.inner);
    let ends = p.position + 1u == positions;
    let is_last = p.class_index + 1u == params.classes;
    let row = p.row + 1u - select(0u, positions, ends && !is_last);
    let class_index = select(p.class_index, select(p.class_index + 1u, 0u, is_last), ends);
    return Place(row, class_index, select(p.position + 1u, 0u, ends));
}

// Returns the distance of element `item` of the piece from its first one. Only pieces of rows that are cut have gaps.
@if(NEIGHBOURS && !RAGGED || !WIDE && !GRAD_HALVES) fn offset_of(item: u32) -> u32 {
    @if(CUT) {
        let positions = min(params.rows, params.inner);
        return item / positions * params.inner + item % positions;
    }
    @else return item;
}
