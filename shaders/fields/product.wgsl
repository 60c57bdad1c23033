// product = sum_c exp(x_c - max) (v_c - u_max), for the Jacobian of the probabilities; u_max = the largest v_c of the
// classes at the maximum.

import shared::{state, vectors};

@for(s in STATES) fn merged_u_max_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.reals} {
    return select(select(b.u_max, a.u_max, a.max > b.max), max(a.u_max, b.u_max), a.max == b.max);
}

@for(s in STATES) fn merged_product_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.reals} {
    let u_max = merged_u_max_{s.name}(a, b, x_max, e);
    let product_a = fma(1.0 + a.sum_exp_m1, a.u_max - u_max, a.product);
    let product_b = fma(1.0 + b.sum_exp_m1, b.u_max - u_max, b.product);
    return select(fma(e, product_a, product_b), fma(e, product_b, product_a), a.max >= b.max);
}

fn accumulated_u_max(f: Fold, c: ClassTerms) -> Reals {
    return select(f.u_max, c.v, bitcast<Reals>(c.words) > f.max);
}

fn accumulated_product(f: Fold, c: ClassTerms) -> Reals {
    let moved = fma(1.0 + f.sum_exp_m1, f.u_max - c.v, f.product);
    let risen = bitcast<Reals>(c.words) > f.max;
    return select(fma(c.e, c.v - f.u_max, f.product), c.e * moved, risen);
}

@if(RESIDENT) {
// Known before the first class is accumulated.
fn resident_u_max(s: ResidentSums, c: ClassTerms) -> Reals { return s.u_max; }

fn resident_product(s: ResidentSums, c: ClassTerms) -> Reals { return fma(c.e, c.v - s.u_max, s.product); }
}
