// squares = sum_c exp(x_c - max) (d_c - mean)^2, d_c = max - x_c, mean = exp_gap_sum / (1 + sum_exp_m1). The variance
// of the log-probabilities is squares / (1 + sum_exp_m1).
//
// Two sets of classes with weights V and V' are merged by the formula of Chan, Golub and LeVeque. Beyond the squares
// of each set, the whole has
//   V V' / (V + V') (mean - mean')^2
// V is at least 1, or 0 without classes. No term is negative. The mean square less the squared mean would cancel if
// the maximum has little of the probability and all other classes are far below it.

import fields::exp_gap_sum;
import shared::{arithmetic, state, vectors};

@for(s in STATES) fn merged_squares_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.reals} {
    let a_above = a.max >= b.max;
    let above = select(1.0 + b.sum_exp_m1, 1.0 + a.sum_exp_m1, a_above);
    let fallen = select(1.0 + a.sum_exp_m1, 1.0 + b.sum_exp_m1, a_above);
    let fall = min(abs(a.max - b.max), {s.reals}(FAR));
    let mean_a = mean_gap_of_{s.name}(a) + select(fall, {s.reals}(0.0), a_above);
    let mean_b = mean_gap_of_{s.name}(b) + select({s.reals}(0.0), fall, a_above);
    let within = select(fma(e, a.squares, b.squares), fma(e, b.squares, a.squares), a_above);
    let apart = mean_a - mean_b;
    return fma((e * fallen) * (above / max(fma(e, fallen, above), {s.reals}(1.0))), apart * apart, within);
}

fn accumulated_squares(f: Fold, c: ClassTerms) -> Reals {
    let x = bitcast<Reals>(c.words);
    let risen = x > f.max;
    let sum_exp = 1.0 + f.sum_exp_m1;
    let above = select(sum_exp, Reals(1.0), risen);
    let fallen = select(Reals(1.0), sum_exp, risen);
    let distance = min(abs(x - f.max), Reals(FAR));
    let apart = distance + select(-mean_gap_of_fold(f), mean_gap_of_fold(f), risen);
    let within = select(f.squares, c.e * f.squares, risen);
    return fma((c.e * fallen) * (above / max(fma(c.e, fallen, above), Reals(1.0))), apart * apart, within);
}

// Resident classes are summed in a second pass, when the mean is known: `squares_of` in `shared/resident.wgsl`.
@if(RESIDENT) fn resident_squares(s: ResidentSums, c: ClassTerms) -> Reals { return s.squares; }

@if(RESIDENT) fn add_square(sum: Reals, z: Words, x_max: Reals, mean: Reals) -> Reals {
    let x = bitcast<Reals>(z);
    let e = select(exp(x - x_max), Reals(0.0), z == Words(NEG_INF));
    let apart = min(x_max - x, Reals(FAR)) - mean;
    return fma(e * apart, apart, sum);
}
