// product = sum_c exp(x_c - top) (v_c - u_top), for the Jacobian of the probabilities; u_top = v_c of a class at the top,
// of several the largest, where they meet.

import shared::{state, words};

@for(s in STATES) fn merged_u_top_{s.name}(a: {s.type}, b: {s.type}, top: {s.reals}, e: {s.reals}) -> {s.reals} {
    return select(select(b.u_top, a.u_top, a.top > b.top), max(a.u_top, b.u_top), a.top == b.top);
}

@for(s in STATES) fn merged_product_{s.name}(a: {s.type}, b: {s.type}, top: {s.reals}, e: {s.reals}) -> {s.reals} {
    let u_top = merged_u_top_{s.name}(a, b, top, e);
    let product_a = fma(1.0 + a.excess, a.u_top - u_top, a.product);
    let product_b = fma(1.0 + b.excess, b.u_top - u_top, b.product);
    return select(fma(e, product_a, product_b), fma(e, product_b, product_a), a.top >= b.top);
}

fn pushed_u_top(f: Fold, c: Taken) -> Reals {
    return select(f.u_top, c.v, bitcast<Reals>(c.words) > f.top);
}

fn pushed_product(f: Fold, c: Taken) -> Reals {
    let moved = fma(1.0 + f.excess, f.u_top - c.v, f.product);
    let risen = bitcast<Reals>(c.words) > f.top;
    return select(fma(c.e, c.v - f.u_top, f.product), c.e * moved, risen);
}

@if(KEPT) {
// Known before the first class is taken in.
fn kept_u_top(s: KeptSums, c: Taken) -> Reals { return s.u_top; }

fn kept_product(s: KeptSums, c: Taken) -> Reals { return fma(c.e, c.v - s.u_top, s.product); }
}
