// Labels of any integer type, read in the type they come in: LABEL_BYTES wide, from words.

struct Label {
    kind: u32,
    class_index: u32,
    low: u32,    // the label as a 64-bit number, sign-extended
    high: u32,
}

fn read_label(row: u32) -> Label {
    var label: Label;
#if LABEL_8_BYTES
    let at = params.label_origin + 2u * row;   // labels of two words may start at any word
    label.low = labels[at];
    label.high = labels[at + 1u];
#else
    let at = params.label_origin + row;
    let per_word = 4u / LABEL_BYTES;
    let bits = 8u * LABEL_BYTES;
    let word = labels[at / per_word];
    let shift = bits * (at % per_word);
#if LABEL_SIGNED
    label.low = bitcast<u32>(extractBits(bitcast<i32>(word), shift, bits));
    label.high = select(0u, 0xffffffffu, label.low > 0x7fffffffu);
#else
    label.low = extractBits(word, shift, bits);
#endif
#endif
    label.class_index = label.low;
    let ignored = label.low == params.ignore_low && label.high == params.ignore_high;
#if LABEL_SIGNED
    let comparable = true;
#else
    // A u64 past the range of i64 has the bits of a negative number, but is none.
    let comparable = label.high <= 0x7fffffffu;
#endif
    if (ignored && comparable) {
        label.kind = IGNORED;
    } else if (label.high == 0u && label.low < params.classes) {
        label.kind = LIVE;
    } else {
        label.kind = BAD;
    }
    return label;
}
