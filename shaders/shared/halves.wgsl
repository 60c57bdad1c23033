// Elements of two bytes: two to a word, the first in the low half.

import shared::{arithmetic, params, vectors};

// Returns the words of eight halves, each in the low half of one.
@if((BF16 || F16) && EIGHT) fn joined_halves(a: Words, b: Words) -> vec4<u32> {
    return vec4<u32>(a.xz, b.xz) | (vec4<u32>(a.yw, b.yw) << vec4<u32>(16u));
}

// Returns both halves of a word as f32.
@if(BF16) fn widened_bf16(word: u32) -> vec2<u32> { return vec2<u32>(word << 16u, word & 0xffff0000u); }

// Returns the nearest bf16, ties to even, in the low half.
@if(BF16) fn narrowed_bf16(words: Words) -> Words {
    return select(nearest_bf16(words), Words(0x7fc0u), (words & Words(0x7fffffffu)) > Words(POS_INF));
}

// Returns the same of numbers that are not NaN. A carry out of the fraction gives the next power of two, or infinity.
@if(BF16) fn nearest_bf16(words: Words) -> Words {
    let odd = (words >> Words(16u)) & Words(1u);
    return (words + Words(0x7fffu) + odd) >> Words(16u);
}

// Returns both halves of a word as f32. Every f16 is an f32, infinities and NaN included.
@if(F16 && NATIVE_F16) fn widened_f16(word: u32) -> vec2<u32> {
    let wide = bitcast<vec2<u32>>(unpack2x16float(word));
    // The xor changes nothing, but prevents LLVM from comparing halves one by one.
    @if(SOFTWARE) return wide ^ vec2<u32>(params.turns >> 31u);
    @else return wide;
}

// Returns both halves of a word as f32: the exponent's bias is 112 more, the fraction 13 bits longer.
@if(F16 && !NATIVE_F16) fn widened_f16(word: u32) -> vec2<u32> {
    let half = vec2<u32>(word & 0xffffu, word >> 16u);
    let magnitude = half & vec2<u32>(0x7fffu);
    let normal = (magnitude << vec2<u32>(13u)) + vec2<u32>(0x38000000u);
    // Below 2^-14 the steps are 2^-24. Infinity and NaN have the highest exponent.
    let small = bitcast<vec2<u32>>(vec2<f32>(magnitude) * 0x1p-24f);
    let beyond = normal + vec2<u32>(0x38000000u);
    var wide = select(normal, small, magnitude < vec2<u32>(0x400u));
    wide = select(wide, beyond, magnitude >= vec2<u32>(0x7c00u));
    return wide | ((half & vec2<u32>(0x8000u)) << vec2<u32>(16u));
}

// Returns the nearest f16, ties to even, in the low half.
@if(F16) fn narrowed_f16(words: Words) -> Words {
    return select(nearest_f16(words), Words(0x7e00u), (words & Words(0x7fffffffu)) > Words(POS_INF));
}

// Returns the same of numbers that are not NaN. WGSL does not specify how `pack2x16float` rounds: this driver has shown
// that it rounds so. The numbers are rounded to f32 first: AMD has an instruction for a product that is rounded once,
// to f16.
@if(F16 && ROUNDS_F16 && WIDE) fn nearest_f16(words: Words) -> Words {
    let reals = rounded(bitcast<Reals>(words));
    let pairs = vec2<u32>(pack2x16float(reals.xy), pack2x16float(reals.zw)).xxyy;
    return (pairs >> Words(0u, 16u, 0u, 16u)) & Words(0xffffu);
}
@if(F16 && ROUNDS_F16 && !WIDE) fn nearest_f16(words: Words) -> Words {
    return pack2x16float(vec2<f32>(rounded(bitcast<f32>(words)), 0.0)) & 0xffffu;
}

// Returns the same, computed in integers.
@if(F16 && !ROUNDS_F16) fn nearest_f16(words: Words) -> Words {
    let magnitude = words & Words(0x7fffffffu);
    // The exponent's bias is 112 less, the fraction 13 bits shorter. A carry may reach infinity, and larger numbers
    // are limited to it first.
    let odd = (magnitude >> Words(13u)) & Words(1u);
    let normal = (min(magnitude, Words(0x47800000u)) + Words(0xc8000fffu) + odd) >> Words(13u);
    // Below 2^-14 the steps are 2^-24, those of f32 from 0.5 to 1: the sum rounds to them.
    let small = bitcast<Words>(bitcast<Reals>(magnitude) + 0.5) - Words(0x3f000000u);
    let half = select(normal, small, magnitude < Words(0x38800000u));
    return half | ((words >> Words(16u)) & Words(0x8000u));
}
