// Labels of any integer type of LABEL_BYTES bytes, read from words. If they start on a load, the labels of four
// neighbouring rows come in one load or two (LABEL_PACKS).

import shared::{arithmetic, constants, params, vectors};

struct Labels {
    low: RowWords,    // the labels as 64-bit numbers, sign-extended
    high: RowWords,
}

// Returns the 64 bits of the label of one row.
@if(LABEL_8_BYTES) fn label_words(row: u32) -> vec2<u32> {
    @if(LABEL_PACKS) {
        let pair = labels[params.labels_origin + row / 2u];
        return select(pair.xy, pair.zw, row % 2u == 1u);
    }
    @else {
        let at = params.labels_origin + 2u * row;   // they may start at any word
        return vec2<u32>(labels[at], labels[at + 1u]);
    }
}
@else fn label_words(row: u32) -> vec2<u32> {
    @if(LABEL_PACKS) let pack = labels[params.labels_origin + row / 4u];
    @if(LABEL_PACKS && LABEL_4_BYTES) return extended(pack[row % 4u], 0u);
    @elif(LABEL_PACKS && LABEL_2_BYTES) return extended(pack[row % 4u / 2u], 16u * (row % 2u));
    @elif(LABEL_PACKS) return extended(pack, 8u * (row % 4u));
    @else {
        let at = params.labels_origin + row;
        let per_word = 4u / LABEL_BYTES;
        return extended(labels[at / per_word], 8u * LABEL_BYTES * (at % per_word));
    }
}

// Returns the label that starts at bit `shift` of a word.
@if(!LABEL_8_BYTES) fn extended(word: u32, shift: u32) -> vec2<u32> {
    @if(LABEL_SIGNED) {
        let low = bitcast<u32>(extractBits(bitcast<i32>(word), shift, 8u * LABEL_BYTES));
        return vec2<u32>(low, select(0u, 0xffffffffu, low > 0x7fffffffu));
    }
    @else return vec2<u32>(extractBits(word, shift, 8u * LABEL_BYTES), 0u);
}

// Returns the labels of a lane's rows, the first of which is `row`.
@if(!ROW_VECTORS) fn read_labels(row: u32) -> Labels {
    let words = label_words(row);
    return Labels(words.x, words.y);
}
@elif(!LABEL_PACKS) fn read_labels(row: u32) -> Labels {
    let a = label_words(row);
    let b = label_words(row + 1u);
    let c = label_words(row + 2u);
    let d = label_words(row + 3u);
    return Labels(RowWords(a.x, b.x, c.x, d.x), RowWords(a.y, b.y, c.y, d.y));
}
@elif(LABEL_8_BYTES) fn read_labels(row: u32) -> Labels {
    let at = params.labels_origin + row / 2u;
    let a = labels[at];
    let b = labels[at + 1u];
    return Labels(RowWords(a.xz, b.xz), RowWords(a.yw, b.yw));
}
@else fn read_labels(row: u32) -> Labels {
    let pack = labels[params.labels_origin + row / 4u];
    // Shifts each label to the upper end of a word, and down again.
    @if(LABEL_2_BYTES) {
        let words = pack.xxyy;
        let shifts = RowWords(16u, 0u, 16u, 0u);
    }
    @elif(!LABEL_4_BYTES) {
        let words = RowWords(pack);
        let shifts = RowWords(24u, 16u, 8u, 0u);
    }
    let down = RowWords(32u - 8u * LABEL_BYTES);
    @if(LABEL_4_BYTES) let low = pack;
    @elif(LABEL_SIGNED) let low = bitcast<RowWords>(bitcast<RowInts>(words << shifts) >> down);
    @else let low = (words << shifts) >> down;
    @if(LABEL_SIGNED) return Labels(low, select(RowWords(0u), RowWords(0xffffffffu), low > RowWords(0x7fffffffu)));
    @else return Labels(low, RowWords(0u));
}

// Returns the kinds of rows with these labels.
fn kinds_of(l: Labels) -> RowWords {
    @if(CUT) let is_class = below(l, params.all_classes_low, params.all_classes_high);
    @else let is_class = (l.high == RowWords(0u)) & (l.low < RowWords(params.classes));
    var ignored = (l.low == RowWords(params.ignore_low)) & (l.high == RowWords(params.ignore_high));
    // A u64 past the range of i64 has the bits of a negative i64.
    @if(!LABEL_SIGNED) ignored &= l.high <= RowWords(0x7fffffffu);
    return select(select(RowWords(BAD), RowWords(LIVE), is_class), RowWords(IGNORED), ignored);
}

// Returns true if a label is below a number, both of 64 bits.
@if(CUT) fn below(l: Labels, low: u32, high: u32) -> bool {
    return l.high < high || (l.high == high && l.low < low);
}

// Returns the number of the label's class among those of the piece, or NO_CLASS.
@if(CUT) fn class_in_piece(l: Labels) -> u32 {
    if (below(l, params.class_base_low, params.class_base_high)) { return NO_CLASS; }
    let distance = l.low - params.class_base_low;
    let wraps = select(0u, 1u, l.low < params.class_base_low);
    let far = l.high - params.class_base_high != wraps || distance >= params.classes;
    return select(distance, NO_CLASS, far);
}
