// exp_gap_sum = sum_c exp(x_c - max) (max - x_c), for
//   entropy = log1p(sum_exp_m1) + exp_gap_sum / (1 + sum_exp_m1)

import shared::{arithmetic, state, vectors};

// The gaps of the side with the lower maximum grow by the difference of the maxima. The identity has none.
@for(s in STATES) fn merged_exp_gap_sum_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.reals} {
    let fall = e * min(abs(a.max - b.max), {s.reals}(FAR));
    return select(b.exp_gap_sum + fma(e, a.exp_gap_sum, fall * (1.0 + a.sum_exp_m1)),
        a.exp_gap_sum + fma(e, b.exp_gap_sum, fall * (1.0 + b.sum_exp_m1)), a.max >= b.max);
}

fn accumulated_exp_gap_sum(f: Fold, c: ClassTerms) -> Reals {
    let x = bitcast<Reals>(c.words);
    let distance = min(abs(x - f.max), Reals(FAR));
    return select(fma(c.e, distance, f.exp_gap_sum),
        fma(c.e, f.exp_gap_sum, (c.e * distance) * (1.0 + f.sum_exp_m1)), x > f.max);
}

@if(RESIDENT) fn resident_exp_gap_sum(s: ResidentSums, c: ClassTerms) -> Reals {
    return fma(c.e, min(c.max - bitcast<Reals>(c.words), Reals(FAR)), s.exp_gap_sum);
}

// sum_c p_c (max - x_c)
@for(s in STATES) fn mean_gap_of_{s.name}(s: {s.type}) -> {s.reals} {
    let mean_gap = s.exp_gap_sum / (1.0 + max(s.sum_exp_m1, {s.reals}(0.0)));
    @if(s.is_fold) return rounded(mean_gap);
    @else return rounded_of_rows(mean_gap);
}
