// Numbers. WGSL allows compilers to assume that NaN and infinity do not occur, and has no literal for them, so both
// are tested and written as words: the bits of an f32.

import shared::{constants, params, vectors};

const LOWEST: f32 = -0x1.fffffep+127f;   // lowest finite f32: the maximum of no classes
const POS_INF: u32 = 0x7f800000u;
const NEG_INF: u32 = 0xff800000u;
const NAN: u32 = 0x7fc00000u;

// exp(-FAR) is 0, so distances from the maximum are limited to FAR.
const FAR: f32 = 200.0;

// Kinds of rows, by their labels.
const LIVE: u32 = 0u;      // a class
const IGNORED: u32 = 1u;   // ignore_index, whether or not it is a class
const BAD: u32 = 2u;       // neither
const ABSENT: u32 = 3u;    // no row here: past the end of the piece

// Returns x, rounded to f32 before it is used. WGSL allows a compiler to reassociate a sum and to fuse a product or a
// quotient with the sum that it is added to, each kernel in a different way. The xor prevents both: its bits are 0,
// since a group has fewer than 2^31 turns, but no compiler can prove that.
fn rounded(x: Reals) -> Reals {
    return bitcast<Reals>(bitcast<Words>(x) ^ Words(params.turns >> 31u));
}

fn rounded_of_rows(x: RowReals) -> RowReals {
    return bitcast<RowReals>(bitcast<RowWords>(x) ^ RowWords(params.turns >> 31u));
}

fn rounded_number(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ (params.turns >> 31u));
}

// log(1 + u) for u >= 0, to a few ulp. WGSL has no log1p, and around 1 its log has an absolute error of up to 2^-21.
// There, log1p(u) = 2 atanh(z) with z = u / (2 + u) <= 1/3, by its odd series;
// the first term left out is z^14 / 15 < 2^-26 of the sum.
fn log1p(u: RowReals) -> RowReals {
    let z = u / (2.0 + u);
    let q = z * z;
    var tail = fma(q, RowReals(1.0 / 13.0), RowReals(1.0 / 11.0));
    tail = fma(q, tail, RowReals(1.0 / 9.0));
    tail = fma(q, tail, RowReals(1.0 / 7.0));
    tail = fma(q, tail, RowReals(0.2));
    tail = fma(q, tail, RowReals(1.0 / 3.0));
    return select(2.0 * fma(z * q, tail, z), log(1.0 + u), u > RowReals(1.0));
}

// Returns the word of a finite number, or the infinity or NaN that the flags ask for.
fn word_of(value: RowReals, flags: RowWords) -> RowWords {
    let up = (flags & RowWords(HAS_POS_INF)) != RowWords(0u);
    let down = (flags & RowWords(HAS_NEG_INF)) != RowWords(0u);
    let lost = ((flags & RowWords(HAS_NAN)) != RowWords(0u)) | (up & down);
    var word = select(bitcast<RowWords>(value), RowWords(POS_INF), up);
    word = select(word, RowWords(NEG_INF), down);
    return select(word, RowWords(NAN), lost);
}
