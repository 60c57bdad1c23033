// Sums over the rows of each class. Groups add to them in any order, so they are integers: a sum of losses
// is a 128-bit number in units of 2^-56, exact for every loss of 2^-32 and above, and the same bits in every
// run; 2^32 of the largest losses do not fill it. Losses from 2^39 on and infinities leave a flag instead.

import shared::{arithmetic, constants, params};

struct Wide {
    low: u32,
    middle: u32,
    high: u32,
}

// |x| in units, of a finite number below 2^39. What is below a unit is cut off.
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

// Adds words of a sum, with the carry from the one before, and tells whether they carry.
fn add_word(at: u32, word: u32, carry: u32) -> u32 {
    let sum = word + carry;
    // Nothing to add, but what a word of ones and a carry make of the next one.
    if (sum == 0u) { return carry; }
    let after = atomicAdd(&classes[at], sum) + sum;
    return select(0u, 1u, after < sum);
}

// Adds the loss of a row that counts, as a word, to its class.
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
    // -n is all bits turned around, and one.
    let turned = select(0u, 0xffffffffu, loss > 0x7fffffffu);
    var carry = turned & 1u;
    carry = add_word(at, n.low ^ turned, carry);
    carry = add_word(at + 1u, n.middle ^ turned, carry);
    carry = add_word(at + 2u, n.high ^ turned, carry);
    add_word(at + 3u, turned, carry);
}
