import shared::{arithmetic, constants, offsets, params, row, softcap, tensor, vectors};

// The results for each class: gradient, log-probabilities or probabilities. A `Writer` has what they need of the
// rows, in a component for each.
struct Writer {
    max: Reals,
    rate: Reals,         // V scale / (1 + sum_exp_m1): the factor of exp(x - max)
    label_gradient: Reals, // if only the label carries weight: the label's gradient
    class_index: Words,
    settled: Bools,      // ignored and bad rows: the gradient is `settled_word`
    settled_word: Words,
    @if(DENSE_TARGET) sum_exp_m1: Reals,
    @if(DENSE_TARGET) weight_sum: Reals,
    @if(DENSE_TARGET) label_weight: Reals,
    @if(DENSE_TARGET) scale: Reals,
    @if(Z_LOSS) z_share: Reals,      // the part of V that the z-loss adds
    @if(ENTROPY_LOSS) mean_gap: Reals,        // sum_c p_c (max - x_c)
    @if(PRODUCT) product: Reals,      // sum_c p_c (u_c - u_max)
    @if(PRODUCT) u_max: Reals,
    sum_exp: Reals,      // 1 + sum_exp_m1
    log_sum_exp: Reals,
    no_row: Bools,       // the distribution is NaN
}

// One for each half of a load.
struct Writers {
    @for(h in HALVES) {h}: Writer,
    @if(PLAIN_GRAD) plain: bool,   // see `are_plain`
}

// The gradients of a row, with its log-sum-exp lse:
//
// cross-entropy:  dloss/dx_c = (V + Z) p_c - v_c,  Z = 2 coefficient lse w_t of the z-loss.
//   At the maximum p is 1 / (1 + sum_exp_m1), and V p - v would cancel if v is nearly all of V. Over the common
//   denominator it is (V - v - v sum_exp_m1) / (1 + sum_exp_m1).
// entropy:  p_c (-log p_c - H) = p_c ((max - x_c) - sum_k p_k (max - x_k))
//   This form keeps its digits if all logits are nearly the same.
// log-probabilities, upstream gradient u:  u_c - p_c sum u, the negative of the first with v = u.
// probabilities, upstream gradient u:  p_c (u_c - sum p u) = p_c ((u_c - u_max) - sum_k p_k (u_k - u_max))
//   No large numbers cancel if the class at the maximum is nearly certain, or all u are nearly the same.
//
// A soft cap multiplies by its slope.
fn writer(r: Row) -> Writer {
    var w: Writer;
    let no_row = (r.flags & RowWords(HAS_NAN)) != RowWords(0u);
    let lost = no_row | (r.kind == RowWords(BAD));
    let ignored = r.kind == RowWords(IGNORED);
    let sum_exp = 1.0 + r.sum_exp_m1;
    w.max = Reals(r.max);
    w.class_index = Words(r.class_index);
    w.settled = Bools(lost | ignored);
    w.settled_word = Words(select(RowWords(NAN), RowWords(0u), ignored));
    w.sum_exp = Reals(sum_exp);
    w.log_sum_exp = Reals(r.log_sum_exp);
    w.no_row = Bools(no_row);
    @if(GRAD) {
        var weight_sum = r.weight_sum;
        @if(Z_LOSS) {
            weight_sum += r.z_share;
            w.z_share = Reals(r.z_share);
        }
        @if(ENTROPY_LOSS) {
            weight_sum = RowReals(1.0);
            w.mean_gap = Reals(r.mean_gap);
        }
        @if(PRODUCT) {
            weight_sum = RowReals(1.0);
            w.product = Reals(r.product);
            w.u_max = Reals(r.u_max);
        }
        w.rate = Reals(weight_sum / sum_exp * r.scale);
    }
    @if(GRAD && DENSE_TARGET) {
        w.sum_exp_m1 = Reals(r.sum_exp_m1);
        w.weight_sum = Reals(r.weight_sum);
        w.label_weight = Reals(r.label_weight);
        w.scale = Reals(r.scale);
    }
    @elif(GRAD && LABELS) {
        let p = rounded_of_rows(select(exp(r.label_logit - r.max), RowReals(0.0), r.label_is_neg_inf) / sum_exp);
        let at_max = -r.label_weight * (r.sum_exp_m1 / sum_exp);
        var label_gradient = select(r.label_weight * (p - 1.0), at_max, r.label_logit == r.max);
        @if(Z_LOSS) label_gradient = fma(r.z_share, p, label_gradient);
        w.label_gradient = Reals(label_gradient * r.scale);
    }
    return w;
}

// All components are classes of one row.
@if(!PACKED_ROWS) fn writers(r: Row) -> Writers {
    var w: Writers;
    w.a = writer(r);
    @if(EIGHT) w.b = w.a;
    @if(PLAIN_GRAD) w.plain = are_plain(w);
    return w;
}

// `words` are logits, or (POWERS) powers exp(x - max).
@if(GRAD) fn gradient(w: Writer, given: Words, classes: Words, class_share: Reals) -> Words {
    @if(POWERS) {
        let x = bitcast<Reals>(given);
        let e = x;
    }
    @else {
        let words = z_of(given);
        let x = bitcast<Reals>(words);
        let e = select(exp(x - w.max), Reals(0.0), words == Words(NEG_INF));
    }
    var value = e * w.rate;
    @if(ENTROPY_LOSS) value *= min(w.max - x, Reals(FAR)) - w.mean_gap;
    @elif(PRODUCT) value *= rounded(class_share - w.u_max) - w.product;
    @elif(!DENSE_TARGET) value = select(value, w.label_gradient, classes == w.class_index);
    @if(SHARES) var v = class_share;
    @if(SHARES && LABELS) v += select(Reals(0.0), w.label_weight, classes == w.class_index);
    @if(SHARES && POWERS) let at_max = x == Reals(1.0);
    @elif(SHARES) let at_max = x == w.max;
    @if(SHARES) var numerator = fma(-v, w.sum_exp_m1, rounded(w.weight_sum - v));
    @if(SHARES && Z_LOSS) numerator += w.z_share;
    @if(SHARES) value = select(fma(-v, w.scale, value), numerator / w.sum_exp * w.scale, at_max);
    @if(SOFTCAP) value *= slope_of(given);
    return select(bitcast<Words>(value), w.settled_word, w.settled);
}

// Returns true if the gradient of all rows is exp(x - max) rate at every class but the label's, and finite.
@if(PLAIN_GRAD) fn are_plain(w: Writers) -> bool {
    var plain = true;
    @for(h in HALVES) plain &= all(is_plain(w.{h}));
    return plain;
}

@if(PLAIN_GRAD) fn is_plain(w: Writer) -> Bools {
    let endless = (bitcast<Words>(w.rate) & Words(POS_INF)) == Words(POS_INF);
    return !(w.settled | endless);
}

// Returns the gradient of a load without the label, NaN and infinities.
@if(PLAIN_GRAD) fn plain_gradients(w: Writers, pack: Pack) -> Pack {
    var out: Pack;
    @for(h in HALVES) {
        @if(POWERS) out.{h} = bitcast<Words>(bitcast<Reals>(pack.{h}) * w.{h}.rate);
        @else out.{h} = bitcast<Words>(exp(bitcast<Reals>(pack.{h}) - w.{h}.max) * w.{h}.rate);
    }
    return out;
}

// Returns the gradient of a load with that of the label.
@if(PLAIN_GRAD) fn with_label(w: Writers, plain: Pack, classes: Pack) -> Pack {
    var out: Pack;
    @for(h in HALVES) out.{h} = select(
        plain.{h}, bitcast<Words>(w.{h}.label_gradient), classes.{h} == w.{h}.class_index);
    return out;
}

// log p_c = (x_c - max) - log1p(sum_exp_m1), or p_c itself.
@if(DISTRIBUTION) fn probability_word(w: Writer, given: Words) -> Words {
    let words = z_of(given);
    // `min` changes nothing, but prevents a compiler from adding log1p(sum_exp_m1) to a large number.
    let below = min(bitcast<Reals>(words) - w.max, Reals(0.0));
    @if(PROBS) {
        let value = exp(below) / w.sum_exp;
        let away = Words(0u);
    }
    @else {
        let value = below - w.log_sum_exp;
        let away = Words(NEG_INF);
    }
    let word = select(bitcast<Words>(value), away, words == Words(NEG_INF));
    return select(word, Words(NAN), w.no_row);
}

// Returns the distribution over the classes of a load.
@if(DISTRIBUTION) fn distribution_of(w: Writers, pack: Pack) -> Pack {
    var out: Pack;
    @for(h in HALVES) out.{h} = probability_word(w.{h}, pack.{h});
    return out;
}

// Returns the gradient of a load with these classes and shares.
@if(GRAD) fn gradients(w: Writers, pack: Pack, classes: Pack, v: PackReals) -> Pack {
    var out: Pack;
    @for(h in HALVES) out.{h} = gradient(w.{h}, pack.{h}, classes.{h}, v.{h});
    return out;
}

// Writes the results of the load `at` loads after the rows' first one: `pack` is its content, `classes` its classes,
// `v` their shares.
fn write_pack(w: Writers, offsets: Offsets, at: u32, pack: Pack, classes: Pack, v: PackReals) {
    @if(DISTRIBUTION) write_distribution(offsets.distribution + at, distribution_of(w, pack));
    @if(GRAD) write_grad(offsets.grad + at, gradients(w, pack, classes, v));
}

// Writes the same for a load that may hold elements of other rows, which other lanes write.
@if(PARTIAL) fn write_part(w: Writers, offsets: Offsets, at: u32, pack: Pack, classes: Pack, v: PackReals) {
    let here = here_of(classes);
    let whole = here.y - here.x == PACK;
    @if(DISTRIBUTION) {
        let values = distribution_of(w, pack);
        if (whole) {
            write_distribution(offsets.distribution + at, values);
        } else {
            put_distribution(offsets.distribution + at, values, here.x, here.y);
        }
    }
    @if(GRAD) {
        let grad = gradients(w, pack, classes, v);
        if (whole) {
            write_grad(offsets.grad + at, grad);
        } else {
            put_grad(offsets.grad + at, grad, here.x, here.y);
        }
    }
}

// Returns the first of a load's elements that belongs to the row, and the end of these.
@if(PARTIAL) fn here_of(classes: Pack) -> vec2<u32> {
    let first = classes.a.x;   // below class 0 it has wrapped around
    let skipped = select(0u, 0u - first, first > params.classes);
    return vec2<u32>(skipped, min(PACK, params.classes - first));
}
