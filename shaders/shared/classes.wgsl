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
fn add_word(at: u32, word: u32, carry: u32) -> u32 {
    let sum = word + carry;
    // Either both are 0, or the word of ones and the carry add up to 2^32: only the carry goes on.
    if (sum == 0u) { return carry; }
    let after = atomicAdd(&classes[at], sum) + sum;
    return select(0u, 1u, after < sum);
}

// Adds the loss of a live row, as a word, to its class.
fn count_class(class_index: u32, loss: u32, correct: bool) {
    let at = params.classes_origin + CLASS_WORDS * class_index;
    atomicAdd(&classes[at + CLASS_ROWS_AT], 1u);
    if (correct) { atomicAdd(&classes[at + CLASS_CORRECT_AT], 1u); }
    if ((loss & 0x7fffffffu) >= (127u + 39u) << 23u) {
        let infinite = select(HAS_POS_INF, HAS_NEG_INF, loss > 0x7fffffffu);
        atomicOr(&classes[at + CLASS_FLAGS_AT], select(infinite, HAS_NAN, (loss & 0x7fffffffu) > POS_INF));
        return;
    }
    let n = units(loss);
    // -n is the complement of n, plus 1.
    let turned = select(0u, 0xffffffffu, loss > 0x7fffffffu);
    var carry = turned & 1u;
    carry = add_word(at, n.low ^ turned, carry);
    carry = add_word(at + 1u, n.middle ^ turned, carry);
    carry = add_word(at + 2u, n.high ^ turned, carry);
    add_word(at + 3u, turned, carry);
}
