// moment = sum_c exp(x_c - max) (max - x_c), for the entropy: log1p(sum_exp_m1) + moment / (1 + sum_exp_m1).

import shared::{numbers, state, words};

// What is gathered of the side below is that much further down. The identity has gathered nothing.
@for(s in STATES) fn merged_moment_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.reals} {
    let fall = e * min(abs(a.max - b.max), {s.reals}(FAR));
    return select(b.moment + fma(e, a.moment, fall * (1.0 + a.sum_exp_m1)),
        a.moment + fma(e, b.moment, fall * (1.0 + b.sum_exp_m1)), a.max >= b.max);
}

fn pushed_moment(f: Fold, c: Taken) -> Reals {
    let x = bitcast<Reals>(c.words);
    let distance = min(abs(x - f.max), Reals(FAR));
    return select(fma(c.e, distance, f.moment),
        fma(c.e, f.moment, (c.e * distance) * (1.0 + f.sum_exp_m1)), x > f.max);
}

@if(KEPT) fn kept_moment(s: KeptSums, c: Taken) -> Reals {
    return fma(c.e, min(c.max - bitcast<Reals>(c.words), Reals(FAR)), s.moment);
}

// sum_c p_c (max - x_c)
@for(s in STATES) fn depth_of_{s.name}(s: {s.type}) -> {s.reals} {
    let depth = s.moment / (1.0 + max(s.sum_exp_m1, {s.reals}(0.0)));
    @if(s.is_fold) return rounded(depth);
    @else return rounded_of_rows(depth);
}
