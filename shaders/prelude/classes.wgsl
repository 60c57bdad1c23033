// Sums over the rows of each class. Groups add to them in any order, so they are integers: a sum of losses
// is a 96-bit number in units of 2^-56, exact for every loss of 2^-32 and above, and the same bits in every
// run. Losses from 2^39 on and infinities leave a flag instead.

const CLASS_WORDS: u32 = 6u;   // the sum from its low word up, rows, rows predicted right, flags
const UNIT: i32 = 56;          // 2^-UNIT is one

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
    let shift = i32(exponent) - 150 + UNIT;
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

fn negated(n: Wide) -> Wide {
    let low = ~n.low + 1u;
    let middle = ~n.middle + select(0u, 1u, low == 0u);
    return Wide(low, middle, ~n.high + select(0u, 1u, low == 0u && middle == 0u));
}

// Adds a word and tells whether it carries.
fn add_word(at: u32, word: u32) -> u32 {
    let sum = atomicAdd(&classes[at], word) + word;
    return select(0u, 1u, sum < word);
}

// Adds the loss of a row that counts, as a word, to its class.
fn count_class(class_index: u32, loss: u32, correct: bool) {
    let at = params.classes_origin + CLASS_WORDS * class_index;
    atomicAdd(&classes[at + 3u], 1u);
    if (correct) { atomicAdd(&classes[at + 4u], 1u); }
    if ((loss & 0x7fffffffu) >= (127u + 39u) << 23u) {
        let infinite = select(HAS_POS_INF, HAS_NEG_INF, loss > 0x7fffffffu);
        atomicOr(&classes[at + 5u], select(infinite, HAS_NAN, (loss & 0x7fffffffu) > POS_INF));
        return;
    }
    var n = units(loss);
    if (loss > 0x7fffffffu) { n = negated(n); }
    var carry = add_word(at, n.low);
    // A word of ones and a carry are a carry and nothing to add.
    let middle = n.middle + carry;
    carry &= select(0u, 1u, middle == 0u);
    carry += add_word(at + 1u, middle);
    add_word(at + 2u, n.high + carry);
}
