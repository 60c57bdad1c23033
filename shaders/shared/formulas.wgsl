// The losses of single elements, one formula each. NaN and infinities are found by their bits. Any NaN gives NaN. An
// infinite input gives the limit of the loss, as does a target of log-probability -inf; every other infinity gives
// NaN. A factor of 0 times an infinity is 0.

import shared::{arithmetic, params, vectors};

// The operands of an element of the input, as words.
struct Operands {
    target_word: Words,
    weight: Words,
    pos_weight: Words,
    variance: Words,
}

// A derivative: a number, an infinity or NaN.
struct Slope {
    value: Reals,
    up: Bools,      // +inf
    down: Bools,    // -inf
    lost: Bools,    // NaN
}

struct Point {
    loss: Reals,
    up: Bools,
    down: Bools,
    lost: Bools,
    refused: Bools,    // the loss is not defined for this value
    by_input: Bools,   // and the value is the input's
    grad: Slope,
    target_grad: Slope,
    variance_grad: Slope,
}

// Magnitudes are signed numbers, which processors compare in one step.
fn magnitude(words: Words) -> Ints { return bitcast<Ints>(words & Words(0x7fffffffu)); }
fn magnitude_word(x: Reals) -> Words { return bitcast<Words>(x) & Words(0x7fffffffu); }
fn is_nan(words: Words) -> Bools { return magnitude(words) > Ints(0x7f800000); }
fn is_endless(words: Words) -> Bools { return magnitude(words) >= Ints(0x7f800000); }
fn is_below_zero(words: Words) -> Bools {
    let number = bitcast<Ints>(words);
    return (number > bitcast<Ints>(Words(0x80000000u))) & (number <= bitcast<Ints>(Words(NEG_INF)));
}

// log(1 + u) to 3 ulp, relative to itself. WGSL has no log1p, and its log is only good to 2^-21 absolute
// around 1. Each polynomial is the best one of log(1 + u) / u where it is used, in the sense of Chebyshev: off
// by less than 2^-24.9, the rest is rounding.

// For sqrt(1/2) - 1 <= u <= sqrt(2) - 1.
@if(LOGARITHM) fn log1p_middle(u: Reals) -> Reals {
    var sum = Reals(0.0872357041);
    sum = fma(sum, u, Reals(-0.143686846));
    sum = fma(sum, u, Reals(0.149526611));
    sum = fma(sum, u, Reals(-0.165621743));
    sum = fma(sum, u, Reals(0.199567765));
    sum = fma(sum, u, Reals(-0.250020802));
    sum = fma(sum, u, Reals(0.333341867));
    sum = fma(sum, u, Reals(-0.499999881));
    sum = fma(sum, u, Reals(1.0));
    return u * sum;
}

// For -1/2 <= u <= 0.
@if(BCE) fn log1p_below(u: Reals) -> Reals {
    var sum = Reals(1.44110763);
    sum = fma(sum, u, Reals(1.69581151));
    sum = fma(sum, u, Reals(1.25766933));
    sum = fma(sum, u, Reals(0.20353879));
    sum = fma(sum, u, Reals(0.26961273));
    sum = fma(sum, u, Reals(-0.242805079));
    sum = fma(sum, u, Reals(0.333700627));
    sum = fma(sum, u, Reals(-0.499992847));
    sum = fma(sum, u, Reals(1.0));
    return u * sum;
}

// For 0 <= u <= 1.
@if(BCE_WITH_LOGITS) fn log1p_above(u: Reals) -> Reals {
    var sum = Reals(0.00523269409);
    sum = fma(sum, u, Reals(-0.0295052379));
    sum = fma(sum, u, Reals(0.0782259479));
    sum = fma(sum, u, Reals(-0.136632457));
    sum = fma(sum, u, Reals(0.191060066));
    sum = fma(sum, u, Reals(-0.24842982));
    sum = fma(sum, u, Reals(0.333190978));
    sum = fma(sum, u, Reals(-0.499994934));
    sum = fma(sum, u, Reals(0.99999994));
    return u * sum;
}

@if(LOGARITHM) {
// log 2 in two parts: few enough bits in the first one that its product with an exponent is exact.
const LOG_2_HIGH: f32 = 0.693359375;
const LOG_2_LOW: f32 = -2.12194440e-4;

// A positive number as 2^twos (1 + u), sqrt(1/2) <= 1 + u < sqrt(2).
struct Scaled {
    twos: Reals,
    u: Reals,
}

// 2^exponent times the number of these bits, positive and no denormal one.
fn scaled(words: Words, exponent: Reals) -> Scaled {
    let e = bitcast<Ints>(words - Words(0x3f3504f3u)) >> Words(23u);
    let m = bitcast<Reals>(words - (bitcast<Words>(e) << Words(23u)));
    return Scaled(Reals(e) + exponent, m - 1.0);
}

// Returns the parts of a positive number, denormals included, which drivers may flush to 0. The bits of a denormal
// count steps of 2^-149: after the leading bit of 2^23 they are a normal number, 2^23 more. The logarithm of 0 is
// below -103.
fn scaled_any(words: Words) -> Scaled {
    let small = bitcast<Ints>(words) < Ints(0x00800000);
    let counted = bitcast<Words>(bitcast<Reals>(words | Words(0x4b000000u)) - 8388608.0);
    return scaled(select(words, counted, small), select(Reals(0.0), Reals(-149.0), small));
}

fn log_scaled(s: Scaled) -> Reals {
    return fma(s.twos, Reals(LOG_2_HIGH), fma(s.twos, Reals(LOG_2_LOW), log1p_middle(s.u)));
}

// The logarithm of a positive number that is no denormal one.
fn log_of(x: Reals) -> Reals { return log_scaled(scaled(bitcast<Words>(x), Reals(0.0))); }

// The logarithm of a positive number, however small.
fn log_of_any(words: Words) -> Reals { return log_scaled(scaled_any(words)); }
}

// Logs are limited to -100. One of the two arguments is at most 1/2, and 1 less it is exact.
@if(BCE) fn is_probability(words: Words) -> Bools {
    return (words <= Words(0x3f800000u)) | (words == Words(0x80000000u));
}

@if(BCE) fn evaluate(x_word: Words, o: Operands) -> Point {
    let x = bitcast<Reals>(x_word);
    let t = bitcast<Reals>(o.target_word);
    let low = x <= Reals(0.5);
    let less = select(1.0 - x, x, low);
    let log_less = max(log_of_any(magnitude_word(less)), Reals(-100.0));
    let log_more = log1p_below(-less);
    let yes = select(log_more, log_less, low);
    let no = select(log_less, log_more, low);
    let w = bitcast<Reals>(o.weight);

    var p: Point;
    p.loss = -w * (t * yes + (1.0 - t) * no);
    p.lost = is_nan(x_word) | is_nan(o.target_word) | is_endless(o.weight);
    p.grad.value = w * (x - t) / max(x * (1.0 - x), Reals(1e-12));
    p.grad.lost = p.lost;
    p.by_input = !is_probability(x_word) & !is_nan(x_word);
    p.refused = p.by_input | (!is_probability(o.target_word) & !is_nan(o.target_word));
    return p;
}

// The loss is `factor |x| + (yes + no) log(1 + exp(-|x|))`: `factor` is `no` to the right of 0, `yes` to the
// left.
@if(BCE_WITH_LOGITS) fn evaluate(x_word: Words, o: Operands) -> Point {
    let size = magnitude(x_word);
    let endless = size >= Ints(0x7f800000);
    let negative = bitcast<Ints>(x_word) < Ints(0);
    let t = bitcast<Reals>(o.target_word);
    // exp(-200) is 0.
    let rest = exp(-bitcast<Reals>(min(size, Ints(0x43480000))));
    let l = log1p_above(rest);
    @if(WEIGHTS) {
        let w = bitcast<Reals>(o.weight);
        let yes = w * bitcast<Reals>(o.pos_weight) * t;
        let no = w * (1.0 - t);
        let tail = (yes + no) * l;
    }
    @else {
        let yes = t;
        let no = 1.0 - t;
        let tail = l;
    }
    let factor = select(no, yes, negative);
    let whole = 1.0 + rest;

    var p: Point;
    p.loss = factor * bitcast<Reals>(min(size, Ints(0x7f7fffff))) + tail;
    p.up = endless & (factor > Reals(0.0));
    p.down = endless & (factor < Reals(0.0));
    p.lost = (size > Ints(0x7f800000)) | is_endless(o.target_word) | is_endless(o.weight)
        | is_endless(o.pos_weight);
    p.grad.value = no * (select(Reals(1.0), rest, negative) / whole)
        - yes * (select(rest, Reals(1.0), negative) / whole);
    p.grad.lost = p.lost;
    return p;
}

@if(KL_DIV) fn evaluate(x_word: Words, o: Operands) -> Point {
    let x = bitcast<Reals>(x_word);
    let t = bitcast<Reals>(o.target_word);
    @if(LOG_TARGET) {
        let nothing = o.target_word == Words(NEG_INF);
        let q = exp(t);
        let apart = t - x;
        let no_log = Bools(false);
        let lost = is_nan(x_word) | (is_endless(o.target_word) & !nothing);
    }
    @else {
        let nothing = magnitude(o.target_word) == Ints(0);
        let q = t;
        let s = scaled_any(magnitude_word(t));
        let no_log = is_below_zero(o.target_word);
        let lost = is_nan(x_word) | is_endless(o.target_word);
        // log q - x. Near 0 its first part is exact, and the second one is below 1/2: the whole is off by 2^-24 or
        // so, where log q itself may be off by log q times as much.
        let apart = fma(s.twos, Reals(LOG_2_HIGH), -x) + fma(s.twos, Reals(LOG_2_LOW), log1p_middle(s.u));
    }

    var p: Point;
    p.loss = select(q * apart, Reals(0.0), nothing);
    p.up = (x_word == Words(NEG_INF)) & !nothing;
    p.down = (x_word == Words(POS_INF)) & !nothing;
    p.lost = lost | no_log;
    p.grad.value = select(-q, Reals(0.0), nothing);
    p.grad.lost = lost;
    var slope = apart + 1.0;
    @if(LOG_TARGET) slope *= q;
    p.target_grad = Slope(select(slope, Reals(0.0), nothing), p.up, p.down, p.lost);
    return p;
}

@if(GAUSSIAN_NLL) fn evaluate(x_word: Words, o: Operands) -> Point {
    let x = bitcast<Reals>(x_word);
    let distance = x - bitcast<Reals>(o.target_word);
    let u = max(bitcast<Reals>(o.variance), Reals(params.eps));
    let slope = distance / u;
    // Not distance^2 nor twice this, which may be too large for an f32.
    let half_slope = rounded(0.5 * slope);
    let half_square = half_slope * distance;
    let endless = is_endless(x_word);
    let right = endless & (x_word < Words(0x80000000u));
    let left = endless & !right;

    var p: Point;
    p.loss = fma(half_slope, distance, 0.5 * log_of(u));
    @if(FULL) p.loss += 0.9189385332;
    p.up = endless;
    p.lost = is_nan(x_word) | is_endless(o.target_word) | is_endless(o.variance);
    p.refused = is_below_zero(o.variance);
    p.grad = Slope(slope, right, left, p.lost);
    p.target_grad = Slope(-slope, left, right, p.lost);
    p.variance_grad = Slope((0.5 - half_square) / u, Bools(false), endless, p.lost);
    return p;
}

// (log(1 + u) - u) / u^2 for sqrt(1/2) - 1 <= u <= sqrt(2) - 1, to 2^-23 of itself.
@if(POISSON_NLL) fn log1p_rest(u: Reals) -> Reals {
    var sum = Reals(-0.077780545);
    sum = fma(sum, u, Reals(0.1277731));
    sum = fma(sum, u, Reals(-0.13114022));
    sum = fma(sum, u, Reals(0.14196149));
    sum = fma(sum, u, Reals(-0.16627096));
    sum = fma(sum, u, Reals(0.20001636));
    sum = fma(sum, u, Reals(-0.25000778));
    sum = fma(sum, u, Reals(0.33333325));
    return fma(sum, u, Reals(-0.49999997));
}

// (e^d - 1 - d) / d^2 for -1 <= d <= 1, to 2^-23 of itself.
@if(POISSON_NLL && LOG_INPUT) fn expm1_rest(d: Reals) -> Reals {
    var sum = Reals(2.7722751e-6);
    sum = fma(sum, d, Reals(2.5354824e-5));
    sum = fma(sum, d, Reals(1.9844025e-4));
    sum = fma(sum, d, Reals(0.0013885451));
    sum = fma(sum, d, Reals(0.0083333105));
    sum = fma(sum, d, Reals(0.041666735));
    sum = fma(sum, d, Reals(0.16666667));
    return fma(sum, d, Reals(0.5));
}

// x - log t. Near 0 the part in brackets is exact, and what is taken from it is below 0.1.
@if(POISSON_NLL && LOG_INPUT) fn less_log(x: Reals, t: Scaled) -> Reals {
    return (fma(-t.twos, Reals(LOG_2_HIGH), x) - t.u)
        - fma(t.u * t.u, log1p_rest(t.u), t.twos * LOG_2_LOW);
}
// log(a / b), to 2^-23 and as much of itself.
@if(POISSON_NLL && !LOG_INPUT) fn log_ratio(a: Scaled, b: Scaled) -> Reals {
    let twos = a.twos - b.twos;
    let rest = log1p_middle(a.u) - log1p_middle(b.u);
    return fma(twos, Reals(LOG_2_HIGH), fma(twos, Reals(LOG_2_LOW), rest));
}

// Near its minimum the loss with Stirling's terms is a small difference of terms as large as t log t, and its
// gradient one of numbers as large as t. With d = log(rate / t) and r = rate / t - 1 = expm1(d):
//
//   loss = t (expm1(d) - d) + log(2 pi t) / 2 = t (r - log1p(r)) + log(2 pi t) / 2,    gradient = t expm1(d)
//
// (less eps, and rate - t over the rate, where the input is the rate), which have no terms of either sign.
@if(POISSON_NLL) fn evaluate(x_word: Words, o: Operands) -> Point {
    let x = bitcast<Reals>(x_word);
    let t = bitcast<Reals>(o.target_word);
    let first = x_word == Words(NEG_INF);
    let last = x_word == Words(POS_INF);
    let none = t == Reals(0.0);
    let s = scaled_any(magnitude_word(t));

    var p: Point;
    p.lost = is_nan(x_word) | is_endless(o.target_word);
    p.grad.lost = p.lost;
    @if(LOG_INPUT) {
        // Past this the exponential is no f32.
        let large = last | (!first & (x > Reals(88.722839)));
        let rate = select(exp(x), Reals(0.0), first);
        let d = less_log(x, s);
        let near = (abs(d) <= Reals(1.0)) & !first;
        p.loss = rate - select(t * x, Reals(0.0), first);
    }
    // If x is finite, d is smaller here, and its exponential more exact.
    @if(LOG_INPUT && FULL) let rest = select((exp(d) - 1.0) - d, d * d * expm1_rest(d), near);
    @if(LOG_INPUT) {
        p.up = large | (first & (t > Reals(0.0)));
        p.down = first & (t < Reals(0.0));
        p.grad.value = select(rate - t, t * (d * fma(d, expm1_rest(d), Reals(1.0))), near & (t > Reals(0.0)));
        p.grad.up = large;
    }
    @if(!LOG_INPUT) {
        let rate = select(x + params.eps, Reals(1.0), last);
        let beyond = (x - t) + params.eps;
        let zero = (rate == Reals(0.0)) & !first & !none;
        let positive = max(rate, Reals(0x1p-126f));
        p.loss = x - select(t * log_of(positive), Reals(0.0), none);
    }
    @if(!LOG_INPUT && FULL) {
        let r = beyond / max(t, Reals(1.0));
        let near = (r >= Reals(-0.29)) & (r <= Reals(0.41));
        let apart = r - log_ratio(scaled(bitcast<Words>(positive), Reals(0.0)), s);
        let rest = select(apart, -(r * r * log1p_rest(r)), near);
    }
    @if(!LOG_INPUT) {
        p.up = last | (zero & (t > Reals(0.0)));
        p.down = zero & (t < Reals(0.0));
        p.lost |= first | (rate < Reals(0.0));
        p.grad.value = select(beyond / rate, Reals(1.0), none | last | first);
        p.grad.up = zero & (t < Reals(0.0));
        p.grad.down = zero & (t > Reals(0.0));
    }
    @if(FULL) {
        // log(2 pi t) / 2 is above 0.9 where it counts.
        var whole = fma(t, rest, fma(Reals(0.5), log_scaled(s), Reals(0.9189385332)));
    }
    @if(!LOG_INPUT && FULL) whole = whole - params.eps;
    @if(FULL) p.loss = select(p.loss, whole, t > Reals(1.0));
    return p;
}
