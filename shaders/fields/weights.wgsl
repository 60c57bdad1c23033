// Of the classes' weights v_c, where every class carries some (class probabilities, label smoothing: v_c = w_c q'_c):
//   gap  = sum_c v_c (top - x_c)
//   mass = sum_c v_c

import shared::{constants, numbers, state, words};

// What `mass` already gathered falls further behind when the maximum rises. Without mass there is nothing to move, and
// the rise from LOWEST may overflow.
@for(s in STATES) fn merged_gap_{s.name}(a: {s.type}, b: {s.type}, top: {s.reals}, e: {s.reals}) -> {s.reals} {
    let nothing = {s.reals}(0.0);
    return (a.gap + select(a.mass * (top - a.top), nothing, a.mass == nothing))
        + (b.gap + select(b.mass * (top - b.top), nothing, b.mass == nothing));
}

@for(s in STATES) fn merged_mass_{s.name}(a: {s.type}, b: {s.type}, top: {s.reals}, e: {s.reals}) -> {s.reals} {
    return a.mass + b.mass;
}

fn pushed_gap(f: Fold, c: Taken) -> Reals {
    let moved = select(f.mass * (c.top - f.top), Reals(0.0), f.mass == Reals(0.0));
    return (f.gap + moved) + gap_of(c);
}

fn pushed_mass(f: Fold, c: Taken) -> Reals { return f.mass + c.v; }

@if(KEPT) fn kept_gap(s: KeptSums, c: Taken) -> Reals { return s.gap + gap_of(c); }
@if(KEPT) fn kept_mass(s: KeptSums, c: Taken) -> Reals { return s.mass + c.v; }

// A class without weight contributes nothing, even at -inf.
fn gap_of(c: Taken) -> Reals {
    let away = c.words == Words(NEG_INF);
    let weightless = c.v == Reals(0.0);
    return select(c.v * (c.top - bitcast<Reals>(c.words)), Reals(0.0), weightless | away);
}

// What a class's weight makes of the row's loss.
fn flags_of_weight(c: Taken) -> Words {
    let away = c.words == Words(NEG_INF);
    let infinite = (bitcast<Words>(c.v) & Words(POS_INF)) == Words(POS_INF);
    return select(Words(0u), Words(HAS_POS_INF), away & (c.v > Reals(0.0)))
        | select(Words(0u), Words(HAS_NEG_INF), away & (c.v < Reals(0.0)))
        | select(Words(0u), Words(HAS_NAN), infinite);
}
