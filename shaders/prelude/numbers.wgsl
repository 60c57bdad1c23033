// Numbers. WGSL may assume NaN and infinity away and has no literal for them, so both are decided
// and written as words: the bits of an f32.

const LOWEST: f32 = -0x1.fffffep+127f;   // lowest finite f32: the maximum of no classes
const POS_INF: u32 = 0x7f800000u;
const NEG_INF: u32 = 0xff800000u;
const NAN: u32 = 0x7fc00000u;

// What a row or a sum of rows has met; or-ed together.
const HAS_NAN: u32 = 1u;
const HAS_POS_INF: u32 = 2u;
const HAS_NEG_INF: u32 = 4u;

// log(1 + u) for u >= 0, to a few ulp. WGSL has no log1p, and its log is only good to 2^-21
// absolute around 1. There, log1p(u) = 2 atanh(z) with z = u / (2 + u) <= 1/3, by its odd series;
// the first term left out is z^14 / 15 < 2^-26 of the sum.
fn log1p(u: f32) -> f32 {
    if (u > 1.0) { return log(1.0 + u); }
    let z = u / (2.0 + u);
    let q = z * z;
    let tail = fma(q, fma(q, fma(q, fma(q, fma(q, 1.0 / 13.0, 1.0 / 11.0), 1.0 / 9.0), 1.0 / 7.0),
        0.2), 1.0 / 3.0);
    return 2.0 * fma(z * q, tail, z);
}

// A finite number, or what the flags say instead of it.
fn word_of(value: f32, flags: u32) -> u32 {
    let both = HAS_POS_INF | HAS_NEG_INF;
    if ((flags & HAS_NAN) != 0u || (flags & both) == both) { return NAN; }
    if ((flags & HAS_POS_INF) != 0u) { return POS_INF; }
    if ((flags & HAS_NEG_INF) != 0u) { return NEG_INF; }
    return bitcast<u32>(value);
}
