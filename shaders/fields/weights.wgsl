// Of the classes' weights v_c, where every class carries some (class probabilities, label smoothing: v_c = w_c q'_c):
//   gap  = sum_c v_c (max - x_c)
//   mass = sum_c v_c

import shared::{constants, numbers, state, words};

// What `mass` already gathered falls further behind when the maximum rises. Without mass there is nothing to move, and
// the rise from LOWEST may overflow.
@for(s in STATES) fn merged_gap_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.reals} {
    let nothing = {s.reals}(0.0);
    let risen_a = select(x_max - a.max, nothing, a.mass == nothing);
    let risen_b = select(x_max - b.max, nothing, b.mass == nothing);
    return fma(a.mass, risen_a, a.gap) + fma(b.mass, risen_b, b.gap);
}

@for(s in STATES) fn merged_mass_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.reals} {
    return a.mass + b.mass;
}

fn pushed_gap(f: Fold, c: Taken) -> Reals {
    let risen = select(c.max - f.max, Reals(0.0), f.mass == Reals(0.0));
    return with_gap(fma(f.mass, risen, f.gap), c);
}

fn pushed_mass(f: Fold, c: Taken) -> Reals { return f.mass + c.v; }

@if(KEPT) fn kept_gap(s: KeptSums, c: Taken) -> Reals { return with_gap(s.gap, c); }
@if(KEPT) fn kept_mass(s: KeptSums, c: Taken) -> Reals { return s.mass + c.v; }

// A class without weight contributes nothing, even at -inf.
fn with_gap(gap: Reals, c: Taken) -> Reals {
    let away = c.words == Words(NEG_INF);
    let weightless = c.v == Reals(0.0);
    return fma(c.v, select(c.max - bitcast<Reals>(c.words), Reals(0.0), weightless | away), gap);
}

// What a class's weight makes of the row's loss.
fn flags_of_weight(c: Taken) -> Words {
    let away = c.words == Words(NEG_INF);
    let infinite = (bitcast<Words>(c.v) & Words(POS_INF)) == Words(POS_INF);
    return select(Words(0u), Words(HAS_POS_INF), away & (c.v > Reals(0.0)))
        | select(Words(0u), Words(HAS_NEG_INF), away & (c.v < Reals(0.0)))
        | select(Words(0u), Words(HAS_NAN), infinite);
}
