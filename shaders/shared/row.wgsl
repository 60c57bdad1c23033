// Rows: from their state and target their losses, and the terms of their gradients. All rows of a lane, one or four,
// are computed together.

import fields::all;
import shared::{arithmetic, constants, halves, params, softcap, state, vectors};
@if(LABELS) import shared::labels;

struct Row {
    kind: RowWords,
    class_index: RowWords,
    label_weight: RowReals,   // the label's weight without the part that smoothing spreads: (1 - e) w_t
    weight: RowReals,    // the row's part of the mean's divisor
    @if(ROW_WEIGHTS) factor: RowReals,    // the row's own weight
    @if(ROW_LABEL) label: RowWords,     // the label's class in the whole tensor
    max: RowReals,
    sum_exp_m1: RowReals,
    log_sum_exp: RowReals, // log1p(sum_exp_m1)
    weight_sum: RowReals,      // V = sum_c v_c
    flags: RowWords,
    loss: RowReals,
    @if(LOG_SUM) lse: RowReals,
    @if(Z_LOSS) z_share: RowReals,   // the part of V in the gradient that the z-loss adds: 2 coefficient lse w_t
    @if(Z_LOSS) z_loss: RowReals,
    @if(ARGMAX) argmax: RowWords,
    @if(RANK) label_rank: RowWords,
    @if(ENTROPY) entropy: RowReals,
    @if(ENTROPY) mean_gap: RowReals,     // sum_c p_c (max - x_c)
    @if(SQUARES) variance: RowReals, // sum_c p_c (max - x_c - mean_gap)^2
    @if(PRODUCT) product: RowReals,   // sum_c p_c (u_c - u_max)
    @if(PRODUCT) u_max: RowReals,     // u_c of a class at the maximum
    scale: RowReals,     // the gradient's factor: upstream / divisor, times the row's weight and the logits' scale
    label_logit: RowReals,       // the label's logit
    label_is_neg_inf: RowBools,  // it is -inf
}

// The mean's divisor, after `find_divisor`.
@if(OWN_DIVISOR) var<private> own_divisor: f32;

fn class_weight(c: u32) -> f32 {
    @if(WEIGHT) {
        let at = params.weight_origin + c;
        @if(WEIGHT_PACKS) return weight_pack(at / 4u)[at % 4u];
        @elif(WEIGHT_HALVES) return bitcast<f32>(widened_{WEIGHT_TYPE}(weight[at / 2u] >> (16u * (at % 2u))).x);
        @else return weight[at];
    }
    @else return 1.0;
}

// Returns the weights of four classes.
@if(WEIGHT_PACKS) fn weight_pack(at: u32) -> vec4<f32> {
    @if(WEIGHT_HALVES) {
        let words = weight[at];
        return bitcast<vec4<f32>>(
            vec4<u32>(widened_{WEIGHT_TYPE}(words.x), widened_{WEIGHT_TYPE}(words.y)));
    }
    @else return weight[at];
}

@if(LABELS) fn weights_of_labels(classes: RowWords, live: RowBools) -> RowReals {
    @if(WEIGHT) let c = select(RowWords(0u), classes, live);
    @if(!WEIGHT) let w = RowReals(1.0);
    @elif(ROW_VECTORS) let w = RowReals(
        class_weight(c.x), class_weight(c.y), class_weight(c.z), class_weight(c.w));
    @else let w = class_weight(c);
    return select(RowReals(0.0), w, live);
}

// Returns true if a row is counted with this piece: of the pieces that share it, the one that has its label's class,
// or the first one if none has.
@if(SHARD) {
// A shard's rows are counted in pieces of their own, whatever classes it has.
fn is_counted_here(r: Row) -> bool { return true; }

// Returns the weight of the label's class. A shard has the weights of all classes, those before its own too.
@if(LABELS) fn weight_of_any_label(r: Row, l: Labels) -> f32 {
    if (r.kind != LIVE) { return 0.0; }
    return class_weight(l.low - params.class_base_low);
}
}
@elif(CUT) fn is_counted_here(r: Row) -> bool {
    @if(LABELS) if (r.kind == LIVE) { return r.class_index != NO_CLASS; }
    return (params.class_base_low | params.class_base_high) == 0u;
}

// Returns the index of the weight of a row's label, and of its logit, in the workspace. They follow the states.
@if(LABELS && CUT) fn label_weight_index(row: u32) -> u32 { return params.label_weights + row; }

@if(LABELS && CUT) fn label_logit_index(row: u32) -> u32 { return label_weight_index(row) + params.rows; }

// Returns the weight of the label's class. Only one piece has that class; it stores the weight in the workspace for
// the dispatches over whole rows.
@if(LABELS && CUT && !SHARD) fn weight_of_label(r: Row, row: u32) -> f32 {
    var w = 0.0;
    @if(!WEIGHT) if (r.kind == LIVE) { w = 1.0; }
    @elif(MERGED) if (r.kind == LIVE) { w = bitcast<f32>(workspace[label_weight_index(row)]); }
    @else if (r.kind == LIVE && r.class_index != NO_CLASS) { w = class_weight(r.class_index); }
    return w;
}

// Returns the rows from `row` on with their targets; no logits are read.
fn open_rows(row: u32, present: bool) -> Row {
    var r: Row;
    r.kind = RowWords(ABSENT);
    if (!present) { return r; }
    @if(LABELS) {
        let l = read_labels(row);
        r.kind = kinds_of(l);
        @if(SHARD) {
            r.class_index = class_in_piece(l);
            r.weight = weight_of_any_label(r, l);
        }
        @elif(CUT) {
            r.class_index = class_in_piece(l);
            r.weight = weight_of_label(r, row);
        }
        @else {
            r.class_index = l.low;
            r.weight = weights_of_labels(l.low, r.kind == RowWords(LIVE));
        }
        @if(WEIGHT) {
            // If a class weight is NaN or infinite, so is the loss of its rows: NaN.
            let lost = (bitcast<RowWords>(r.weight) & RowWords(POS_INF)) == RowWords(POS_INF);
            r.flags = select(RowWords(0u), RowWords(HAS_NAN), lost);
            r.weight = select(r.weight, RowReals(0.0), lost);
        }
        r.label_weight = r.weight;
        @if(DENSE_TARGET) r.label_weight = rounded_of_rows(r.label_weight * (1.0 - params.smoothing));
    }
    @else {
        r.kind = RowWords(LIVE);
        r.weight = RowReals(1.0);
    }
    // The log-sum-exp is not known yet.
    @if(Z_LOSS) r.z_share = rounded_of_rows(2.0 * params.z_loss * r.weight);
    @if(ROW_LABEL) r.label = l.low;
    @if(ROW_WEIGHTS) r = weigh_rows(r, row);
    return r;
}

// Applies the rows' weights. A row of weight 0 is ignored, whatever its label. A weight of NaN or infinity makes the
// row's loss NaN.
@if(ROW_WEIGHTS) fn weigh_rows(opened: Row, row: u32) -> Row {
    var r = opened;
    let at = params.row_weights_origin + row;
    @if(ROW_VECTORS) let words = RowWords(
        row_weights[at], row_weights[at + 1u], row_weights[at + 2u], row_weights[at + 3u]);
    @else let words = row_weights[at];
    let left_out = (words & RowWords(0x7fffffffu)) == RowWords(0u);
    let lost = (words & RowWords(POS_INF)) == RowWords(POS_INF);
    r.kind = select(r.kind, RowWords(IGNORED), left_out);
    r.factor = select(bitcast<RowReals>(words), RowReals(0.0), lost);
    r.flags |= select(RowWords(0u), RowWords(HAS_NAN), lost);
    r.weight = rounded_of_rows(r.weight * r.factor);
    return r;
}

// Returns the flags of a row's loss after the multiplication by its weight: a negative weight changes an infinity's
// sign.
@if(ROW_WEIGHTS) fn weighed_flags(flags: RowWords, factor: RowReals) -> RowWords {
    let turned = (flags & RowWords(HAS_NAN))
        | ((flags & RowWords(HAS_POS_INF)) << RowWords(1u))
        | ((flags & RowWords(HAS_NEG_INF)) >> RowWords(1u));
    return select(flags, turned, factor < RowReals(0.0));
}

@if(GRAD) fn gradient_scale(row: u32) -> RowReals {
    var divisor = params.divisor;
    @if(OWN_DIVISOR) divisor = own_divisor;
    @elif(SUMS_WEIGHTS) divisor = bitcast<f32>(workspace[0]);
    var scale = RowReals(1.0);
    @if(UPSTREAM_SCALAR) scale = RowReals(upstream[params.upstream_origin]);
    @if(UPSTREAM_ROWS) let at = params.upstream_origin + row;
    @if(UPSTREAM_ROWS && ROW_VECTORS) scale = RowReals(upstream[at], upstream[at + 1u], upstream[at + 2u], upstream[at + 3u]);
    @elif(UPSTREAM_ROWS) scale = upstream[at];
    // A mean over nothing has the gradient 0.
    return select(scale / divisor, RowReals(0.0), divisor == 0.0);
}

// Returns the factor of the gradient of all classes of a row.
@if(GRAD) fn row_scale(r: Row, row: u32) -> RowReals {
    var scale = gradient_scale(row);
    @if(ROW_WEIGHTS) scale *= r.factor;
    @if(SCALED) scale *= params.logit_scale;
    @if(JACOBIAN && !PRODUCT) scale = -scale;   // see `writer.wgsl`
    return scale;
}

// Computes the loss from the merged state:
//   loss = label_weight (max - x_t + log1p(sum_exp_m1)) + weighted_gap + weight_sum log1p(sum_exp_m1)
// Every term is a distance from the maximum, so none is negative and none cancels another.
fn close_rows(opened: Row, s: State, row: u32) -> Row {
    var r = opened;
    r.max = s.max;
    r.sum_exp_m1 = s.sum_exp_m1;
    // A row of -inf has no distribution. A row without classes has one: the sum over no classes.
    let empty = (s.sum_exp_m1 < RowReals(0.0)) & RowBools(params.classes > 0u);
    r.flags |= s.flags | select(RowWords(0u), RowWords(HAS_NAN), empty);
    let l = log1p(max(s.sum_exp_m1, RowReals(0.0)));
    r.log_sum_exp = l;
    @if(DENSE_TARGET) r.loss = fma(s.weight_sum, l, s.weighted_gap);
    @if(DENSE_TARGET) r.weight_sum = s.weight_sum;
    @if(LABELS) {
        r.weight_sum += r.label_weight;
        let label_logit = z_of_rows(s.label_logit);
        r.label_logit = bitcast<RowReals>(label_logit);
        r.label_is_neg_inf = label_logit == RowWords(NEG_INF);
        let weightless = r.label_weight == RowReals(0.0);
        let unpaid = weightless | r.label_is_neg_inf;
        // `max` changes nothing, but prevents a compiler from adding l to one of two large numbers.
        let distance = select(max(s.max - r.label_logit, RowReals(0.0)), RowReals(0.0), unpaid);
        r.loss = fma(select(r.label_weight, RowReals(0.0), unpaid), distance + l, r.loss);
        let infinite = select(RowWords(HAS_NEG_INF), RowWords(HAS_POS_INF), r.label_weight > RowReals(0.0));
        r.flags |= select(RowWords(0u), infinite, r.label_is_neg_inf & !weightless);
    }
    @if(LOG_SUM) r.lse = s.max + l;
    @if(Z_LOSS) {
        r.z_share = rounded_of_rows(r.z_share * r.lse);
        // Without classes the log-sum-exp is -inf, and the z-loss 0.
        let any = RowBools(params.classes > 0u);
        r.z_loss = select(RowReals(0.0), params.z_loss * r.lse * r.lse * r.weight, any);
    }
    @if(ARGMAX) r.argmax = s.argmax;
    @if(RANK) r.label_rank = s.label_rank;
    @if(ENTROPY) {
        r.mean_gap = mean_gap_of_state(s);
        r.entropy = l + r.mean_gap;
        @if(ENTROPY_LOSS) r.loss = r.entropy;
    }
    @if(SQUARES) r.variance = s.squares / (1.0 + max(s.sum_exp_m1, RowReals(0.0)));
    @if(PRODUCT) {
        r.product = rounded_of_rows(s.product / (1.0 + s.sum_exp_m1));
        r.u_max = s.u_max;
    }
    @if(ROW_WEIGHTS) {
        r.loss *= r.factor;
        r.flags = weighed_flags(r.flags, r.factor);
    }
    @if(GRAD) r.scale = row_scale(r, row);
    return r;
}
