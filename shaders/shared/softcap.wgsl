// z from what was read: the soft cap, and its slope.

import shared::{arithmetic, params, vectors};

// tanh u = u (945 + 105 u^2 + u^4) / (945 + 420 u^2 + 15 u^4) to 1e-8 for |u| < 3/4, the continued
// fraction's fifth term; from there on (1 - e) / (1 + e) with e = exp(-2 |u|).
@if(SOFTCAP) fn z_of(words: Words) -> Words {
    let u = bitcast<Reals>(words) / params.softcap;
    let v = clamp(u, Reals(-1.0), Reals(1.0));
    let q = v * v;
    let near = v * fma(q, fma(v, v, Reals(105.0)), Reals(945.0)) / fma(q, fma(q, Reals(15.0), Reals(420.0)), Reals(945.0));
    let e = exp(-2.0 * min(abs(u), Reals(60.0)));
    let far = sign(u) * ((1.0 - e) / (1.0 + e));
    let tanh_u = select(far, near, abs(u) < Reals(0.75));
    let z = bitcast<Words>(params.logit_scale * params.softcap * tanh_u);
    // NaN, and the -inf of no class, stay what they are.
    return select(z, words, (words & Words(POS_INF)) == Words(POS_INF));
}
@else fn z_of(words: Words) -> Words { return words; }

// dz/dx without the scale: 1 - tanh^2 = 4 e / (1 + e)^2, which does not cancel.
@if(SOFTCAP) fn slope_of(words: Words) -> Reals {
    let u = bitcast<Reals>(words) / params.softcap;
    let e = exp(-2.0 * min(abs(u), Reals(60.0)));
    return 4.0 * e / ((1.0 + e) * (1.0 + e));
}

// The same of rows' words.
fn z_of_rows(words: RowWords) -> RowWords {
    @if(PACKED_ROWS) return z_of(words);
    @elif(WIDE) return z_of(Words(words)).x;
    @else return z_of(words);
}
