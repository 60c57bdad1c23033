// The losses of single elements, one formula each. NaN and infinities are told by their bits: a NaN
// anywhere is NaN; of infinities only the input's count (and a target of log-probability -inf), by their
// limits, and every other one gives NaN; a factor of 0 leaves nothing of an infinity.

// What goes with an element of the input, as words.
struct Operands {
    target_word: Words,
    weight: Words,
    pos_weight: Words,
    variance: Words,
}

// A derivative: a number, or what it is instead.
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
    refused: Bools,    // the loss is not defined for a value
    by_input: Bools,   // that of the input
    grad: Slope,
    target_grad: Slope,
    variance_grad: Slope,
}

fn magnitude(words: Words) -> Words { return words & Words(0x7fffffffu); }
fn is_nan(words: Words) -> Bools { return magnitude(words) > Words(POS_INF); }
fn is_endless(words: Words) -> Bools { return magnitude(words) >= Words(POS_INF); }
fn is_below_zero(words: Words) -> Bools {
    return (words > Words(0x80000000u)) & (words <= Words(NEG_INF));
}

// The logarithm of 2^exponent times the number of these bits, positive and no denormal one, to a few ulp.
// WGSL's own is only good to 2^-21 absolute around 1. With x = 2^e m, sqrt(1/2) <= m < sqrt(2), the
// logarithm of m is 2 atanh(z), z = (m - 1) / (m + 1), |z| <= 0.172, by its odd series; the first term left
// out is z^10 / 11 < 2^-28 of the sum. e log 2 comes in two parts, the first of which is exact.
fn log_scaled(words: Words, exponent: Reals) -> Reals {
    let e = bitcast<Ints>(words - Words(0x3f3504f3u)) >> Words(23u);
    let m = bitcast<Reals>(words - (bitcast<Words>(e) << Words(23u)));
    let f = m - 1.0;
    let z = f / (2.0 + f);
    let q = z * z;
    var tail = fma(q, Reals(1.0 / 9.0), Reals(1.0 / 7.0));
    tail = fma(q, tail, Reals(0.2));
    tail = fma(q, tail, Reals(1.0 / 3.0));
    let of_m = 2.0 * fma(z * q, tail, z);
    let twos = Reals(e) + exponent;
    return fma(twos, Reals(0.693359375), fma(twos, Reals(-2.12194440e-4), of_m));
}

// The logarithm of a positive number that is no denormal one.
fn log_of(x: Reals) -> Reals { return log_scaled(bitcast<Words>(x), Reals(0.0)); }

// The logarithm of a positive number, however small: drivers may take a denormal one for 0. Its bits count
// steps of 2^-149.
fn log_of_any(words: Words) -> Reals {
    let small = words < Words(0x00800000u);
    let counted = bitcast<Words>(Reals(max(words, Words(1u))));
    return log_scaled(select(words, counted, small), select(Reals(0.0), Reals(-149.0), small));
}

#if BCE
// Below -100 logs are cut. One of the two arguments is at most 1/2, and what is left of 1 is exact there.
fn is_probability(words: Words) -> Bools {
    return (words <= Words(0x3f800000u)) | (words == Words(0x80000000u));
}

fn evaluate(x_word: Words, o: Operands) -> Point {
    let x = bitcast<Reals>(x_word);
    let t = bitcast<Reals>(o.target_word);
    let low = x <= Reals(0.5);
    let less = select(1.0 - x, x, low);
    let of_less = max(log_of_any(bitcast<Words>(less)), Reals(-100.0));
    let log_less = select(of_less, Reals(-100.0), less == Reals(0.0));
    let log_more = log1p_near(-less);
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
#endif

#if BCE_WITH_LOGITS
fn evaluate(x_word: Words, o: Operands) -> Point {
    let endless = is_endless(x_word);
    let x = select(bitcast<Reals>(x_word), Reals(0.0), endless);
    let negative = x_word >= Words(0x80000000u);
    let t = bitcast<Reals>(o.target_word);
    let w = bitcast<Reals>(o.weight);
    let rest = select(exp(-abs(x)), Reals(0.0), endless);
    let l = log1p_near(rest);
    let yes = w * bitcast<Reals>(o.pos_weight) * t;
    let no = w * (1.0 - t);
    let whole = 1.0 + rest;

    var p: Point;
    p.loss = yes * (max(-x, Reals(0.0)) + l) + no * (max(x, Reals(0.0)) + l);
    // What an infinite logit is multiplied by.
    let factor = select(no, yes, negative);
    p.up = endless & (factor > Reals(0.0));
    p.down = endless & (factor < Reals(0.0));
    p.lost = is_nan(x_word) | is_endless(o.target_word) | is_endless(o.weight)
        | is_endless(o.pos_weight);
    p.grad.value = no * (select(Reals(1.0), rest, negative) / whole)
        - yes * (select(rest, Reals(1.0), negative) / whole);
    p.grad.lost = p.lost;
    return p;
}
#endif

#if KL_DIV
fn evaluate(x_word: Words, o: Operands) -> Point {
    let x = bitcast<Reals>(x_word);
    let t = bitcast<Reals>(o.target_word);
#if LOG_TARGET
    let nothing = o.target_word == Words(NEG_INF);
    let q = exp(t);
    let log_q = t;
    let no_log = Bools(false);
    let lost = is_nan(x_word) | (is_endless(o.target_word) & !nothing);
#else
    let nothing = magnitude(o.target_word) == Words(0u);
    let q = t;
    let log_q = log_of_any(magnitude(o.target_word));
    let no_log = is_below_zero(o.target_word);
    let lost = is_nan(x_word) | is_endless(o.target_word);
#endif
    let apart = log_q - x;

    var p: Point;
    p.loss = select(q * apart, Reals(0.0), nothing);
    p.up = (x_word == Words(NEG_INF)) & !nothing;
    p.down = (x_word == Words(POS_INF)) & !nothing;
    p.lost = lost | no_log;
    p.grad.value = select(-q, Reals(0.0), nothing);
    p.grad.lost = lost;
    var slope = apart + 1.0;
#if LOG_TARGET
    slope *= q;
#endif
    p.target_grad = Slope(select(slope, Reals(0.0), nothing), p.up, p.down, p.lost);
    return p;
}
#endif

#if GAUSSIAN_NLL
fn evaluate(x_word: Words, o: Operands) -> Point {
    let x = bitcast<Reals>(x_word);
    let distance = x - bitcast<Reals>(o.target_word);
    let u = max(bitcast<Reals>(o.variance), Reals(params.eps));
    let slope = distance / u;
    let square = slope * distance;   // not distance^2, which may be too large for an f32
    let endless = is_endless(x_word);
    let right = endless & (x_word < Words(0x80000000u));
    let left = endless & !right;

    var p: Point;
    p.loss = 0.5 * (log_of(u) + square);
#if FULL
    p.loss += 0.9189385332;
#endif
    p.up = endless;
    p.lost = is_nan(x_word) | is_endless(o.target_word) | is_endless(o.variance);
    p.refused = is_below_zero(o.variance);
    p.grad = Slope(slope, right, left, p.lost);
    p.target_grad = Slope(-slope, left, right, p.lost);
    p.variance_grad = Slope(0.5 * (1.0 - square) / u, Bools(false), endless, p.lost);
    return p;
}
#endif

#if POISSON_NLL
fn evaluate(x_word: Words, o: Operands) -> Point {
    let x = bitcast<Reals>(x_word);
    let t = bitcast<Reals>(o.target_word);
    let first = x_word == Words(NEG_INF);
    let last = x_word == Words(POS_INF);
    let none = t == Reals(0.0);

    var p: Point;
    p.lost = is_nan(x_word) | is_endless(o.target_word);
    p.grad.lost = p.lost;
#if LOG_INPUT
    // Past this the exponential is no f32.
    let large = last | (!first & (x > Reals(88.722839)));
    let rate = select(exp(x), Reals(0.0), first);
    p.loss = rate - select(t * x, Reals(0.0), first);
    p.up = large | (first & (t > Reals(0.0)));
    p.down = first & (t < Reals(0.0));
    p.grad.value = rate - t;
    p.grad.up = large;
#else
    let rate = select(x + params.eps, Reals(1.0), last);
    let zero = (rate == Reals(0.0)) & !first & !none;
    let positive = max(rate, Reals(0x1p-126f));
    p.loss = x - select(t * log_of(positive), Reals(0.0), none);
    p.up = last | (zero & (t > Reals(0.0)));
    p.down = zero & (t < Reals(0.0));
    p.lost |= first | (rate < Reals(0.0));
    p.grad.value = 1.0 - select(t / rate, Reals(0.0), none | last | first);
    p.grad.up = zero & (t < Reals(0.0));
    p.grad.down = zero & (t > Reals(0.0));
#endif
#if FULL
    let count = max(t, Reals(1.0));
    let stirling = (count * log_of(count) - count) + 0.5 * log(6.2831853 * count);
    p.loss += select(Reals(0.0), stirling, t > Reals(1.0));
#endif
    return p;
}
#endif
