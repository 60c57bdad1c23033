// Sums of the classes' shares v_c = w_c q'_c (class probabilities, label smoothing):
//   weighted_gap = sum_c v_c (max - x_c)
//   weight_sum   = sum_c v_c

import shared::{arithmetic, constants, state, vectors};

// If the maximum rises by d, weighted_gap grows by d weight_sum. With a weight_sum of 0 it does not grow, although
// the rise from LOWEST may overflow.
@for(s in STATES) fn merged_weighted_gap_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.reals} {
    let nothing = {s.reals}(0.0);
    let risen_a = select(x_max - a.max, nothing, a.weight_sum == nothing);
    let risen_b = select(x_max - b.max, nothing, b.weight_sum == nothing);
    return fma(a.weight_sum, risen_a, a.weighted_gap) + fma(b.weight_sum, risen_b, b.weighted_gap);
}

@for(s in STATES) fn merged_weight_sum_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.reals} {
    return a.weight_sum + b.weight_sum;
}

fn accumulated_weighted_gap(f: Fold, c: ClassTerms) -> Reals {
    let risen = select(c.max - f.max, Reals(0.0), f.weight_sum == Reals(0.0));
    return with_weighted_gap(fma(f.weight_sum, risen, f.weighted_gap), c);
}

fn accumulated_weight_sum(f: Fold, c: ClassTerms) -> Reals { return f.weight_sum + c.v; }

@if(RESIDENT) fn resident_weighted_gap(s: ResidentSums, c: ClassTerms) -> Reals { return with_weighted_gap(s.weighted_gap, c); }
@if(RESIDENT) fn resident_weight_sum(s: ResidentSums, c: ClassTerms) -> Reals { return s.weight_sum + c.v; }

// A class without weight contributes nothing, even at -inf. Each product is rounded first: smoothing gives all classes
// the same share, and a compiler may add distances before it multiplies, as Mesa's does, which overflows far sooner.
fn with_weighted_gap(weighted_gap: Reals, c: ClassTerms) -> Reals {
    let away = c.words == Words(NEG_INF);
    let weightless = c.v == Reals(0.0);
    let gap = select(c.max - bitcast<Reals>(c.words), Reals(0.0), weightless | away);
    return weighted_gap + rounded(c.v * gap);
}

// Returns the flags of the row's loss that a class's share sets.
fn flags_of_weight(c: ClassTerms) -> Words {
    let away = c.words == Words(NEG_INF);
    let infinite = (bitcast<Words>(c.v) & Words(POS_INF)) == Words(POS_INF);
    return select(Words(0u), Words(HAS_POS_INF), away & (c.v > Reals(0.0)))
        | select(Words(0u), Words(HAS_NEG_INF), away & (c.v < Reals(0.0)))
        | select(Words(0u), Words(HAS_NAN), infinite);
}
