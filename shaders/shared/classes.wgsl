// Sums over the rows of each class. Groups add to them in any order, so they are integers, which have the same bits
// in every run. A sum of losses is a 128-bit number in units of 2^-56: exact for every loss of 2^-32 and above, and
// large enough for 2^32 of the largest losses. Losses of 2^39 and above, and infinities, set a flag instead.

import shared::{arithmetic, constants, params};

struct Wide {
    low: u32,
    middle: u32,
    high: u32,
}

// Returns |x| in units, for a finite number below 2^39, truncated to whole units.
fn units(word: u32) -> Wide {
    let exponent = (word >> 23u) & 255u;
    let fraction = select(0x800000u, 0u, exponent == 0u) | (word & 0x7fffffu);
    // |x| is fraction * 2^(exponent - 150); numbers below 2^-126 are 0 here.
    let shift = i32(exponent) - 150 + i32(CLASS_UNIT);
    if (shift <= -24) { return Wide(0u, 0u, 0u); }
    if (shift < 0) { return Wide(fraction >> u32(-shift), 0u, 0u); }
    let up = u32(shift);
    let bits = up % 32u;
    let low = fraction << bits;
    let high = select(fraction >> (32u - bits), 0u, bits == 0u);
    if (up < 32u) { return Wide(low, high, 0u); }
    if (up < 64u) { return Wide(0u, low, high); }
    return Wide(0u, 0u, low);
}

// Adds a word and a carry to a word of a sum; returns the carry to the next word.
@for(s in CLASS_SUMS) fn add_word_to_{s}(at: u32, word: u32, carry: u32) -> u32 {
    let sum = word + carry;
    // Either both are 0, or the word of ones and the carry add up to 2^32: only the carry goes on.
    if (sum == 0u) { return carry; }
    let after = atomicAdd(&{s}[at], sum) + sum;
    return select(0u, 1u, after < sum);
}

// Adds the loss of a live row, as a word, to its class.
fn count_class(class_index: u32, loss: u32, correct: bool) {
    @if(GROUP_SUMS) let at = CLASS_WORDS * class_index;
    @else let at = params.classes_origin + CLASS_WORDS * class_index;
    atomicAdd(&{COUNTED}[at + CLASS_ROWS_AT], 1u);
    if (correct) { atomicAdd(&{COUNTED}[at + CLASS_CORRECT_AT], 1u); }
    if ((loss & 0x7fffffffu) >= (127u + 39u) << 23u) {
        let infinite = select(HAS_POS_INF, HAS_NEG_INF, loss > 0x7fffffffu);
        atomicOr(&{COUNTED}[at + CLASS_FLAGS_AT], select(infinite, HAS_NAN, (loss & 0x7fffffffu) > POS_INF));
        return;
    }
    let n = units(loss);
    // -n is the complement of n, plus 1.
    let turned = select(0u, 0xffffffffu, loss > 0x7fffffffu);
    var carry = turned & 1u;
    carry = add_word_to_{COUNTED}(at, n.low ^ turned, carry);
    carry = add_word_to_{COUNTED}(at + 1u, n.middle ^ turned, carry);
    carry = add_word_to_{COUNTED}(at + 2u, n.high ^ turned, carry);
    add_word_to_{COUNTED}(at + 3u, turned, carry);
}

// If a group has many rows of each class, it adds them up by itself, since many rows wait for each other at the words
// of a few classes.
@if(GROUP_SUMS) {
var<workgroup> group_classes: array<atomic<u32>, CLASS_WORDS * GROUP_CLASSES>;

// Every lane of the group must call it.
fn clear_group_classes(index: u32) {
    for (var at = index; at < CLASS_WORDS * params.all_classes_low; at += WORKGROUP) {
        atomicStore(&group_classes[at], 0u);
    }
    workgroupBarrier();   // before any lane counts a row
}

// Adds the group's sums to the tensor's. Every lane of the group must call it.
fn add_group_classes(index: u32) {
    workgroupBarrier();   // all lanes have counted their rows
    for (var c = index; c < params.all_classes_low; c += WORKGROUP) {
        let own = CLASS_WORDS * c;
        let rows = atomicLoad(&group_classes[own + CLASS_ROWS_AT]);
        if (rows == 0u) { continue; }
        let at = params.classes_origin + own;
        atomicAdd(&classes[at + CLASS_ROWS_AT], rows);
        let correct = atomicLoad(&group_classes[own + CLASS_CORRECT_AT]);
        if (correct != 0u) { atomicAdd(&classes[at + CLASS_CORRECT_AT], correct); }
        let flags = atomicLoad(&group_classes[own + CLASS_FLAGS_AT]);
        if (flags != 0u) { atomicOr(&classes[at + CLASS_FLAGS_AT], flags); }
        var carry = 0u;
        for (var word = 0u; word < 4u; word += 1u) {
            carry = add_word_to_classes(at + word, atomicLoad(&group_classes[own + word]), carry);
        }
    }
}
}
