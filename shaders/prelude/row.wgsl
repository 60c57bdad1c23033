// What a row's state and its target make: its loss, and the gradient of each of its classes.

// What a row is, by its label.
const LIVE: u32 = 0u;      // a class
const IGNORED: u32 = 1u;   // ignore_index, whether or not it is a class
const BAD: u32 = 2u;       // neither
const ABSENT: u32 = 3u;    // no row here: past the end of the piece

struct Row {
    kind: u32,
    class_index: u32,
    low: u32,       // the label as a 64-bit number
    high: u32,
    own: f32,       // weight on the label's class beyond what is spread: (1 - e) w_t
    weight: f32,    // what the row adds to the mean's divisor
    top: f32,
    excess: f32,
    log_whole: f32, // log1p(excess)
    mass: f32,      // V = sum_c v_c
    flags: u32,
    loss: f32,
    scale: f32,     // gradient scale: upstream / divisor
}

fn class_weight(c: u32) -> f32 {
#if WEIGHT
    return weight[params.weight_origin + c];
#else
    return 1.0;
#endif
}

#if SPREAD
// The classes' weights v_c = w_c q'_c without the label's own part, of the pack that is number `at`
// in the tensor and whose classes have the class weights `w`.
fn spread_weights(w: Reals, at: u32) -> Reals {
#if PROBABILITIES
    let q = bitcast<Reals>(probabilities[params.probabilities_origin + at]);
    return w * ((1.0 - params.smoothing) * q + Reals(params.smoothing_share));
#else
    return w * params.smoothing_share;
#endif
}
#endif

// Takes pack number `at` of the tensor in; its classes have the class weights `w`.
fn push_pack(f: ptr<function, Fold>, words: Words, w: Reals, at: u32) {
#if SPREAD
    push(f, words, spread_weights(w, at));
#else
    push(f, words);
#endif
}

// The row's target: nothing of the logits is read yet.
fn open_row(row: u32, present: bool) -> Row {
    var r: Row;
    r.kind = ABSENT;
    if (!present) { return r; }
#if LABELS
    let label = read_label(row);
    r.kind = label.kind;
    r.class_index = label.class_index;
    r.low = label.low;
    r.high = label.high;
    if (r.kind == LIVE) {
        r.weight = class_weight(r.class_index);
        r.own = r.weight;
#if SPREAD
        r.own *= 1.0 - params.smoothing;
#endif
    }
#else
    r.kind = LIVE;
    r.weight = 1.0;
#endif
    return r;
}

#if GRAD
fn gradient_scale(row: u32) -> f32 {
    var divisor = params.divisor;
#if LABEL_WEIGHTS
    divisor = bitcast<f32>(workspace[0]);
#endif
    var scale = 1.0;
#if UPSTREAM_SCALAR
    scale = upstream[params.upstream_origin];
#endif
#if UPSTREAM_ROWS
    scale = upstream[params.upstream_origin + row];
#endif
    // Where there is nothing to divide by, the gradient is zero.
    return select(scale / divisor, 0.0, divisor == 0.0);
}
#endif

// Takes in the merged state and computes the loss.
//   loss = own (top - x_t + log1p(excess)) + gap + mass log1p(excess)
// Every term is a distance from the maximum: none is negative, nothing cancels.
fn close_row(r: ptr<function, Row>, s: State, row: u32) {
    (*r).top = s.top;
    (*r).excess = s.excess;
    (*r).flags = s.flags;
    // Nothing but -inf: no distribution. A row without classes is a sum over nothing.
    if (s.excess < 0.0) { (*r).flags |= select(0u, HAS_NAN, params.classes > 0u); }
    let l = log1p(max(s.excess, 0.0));
    (*r).log_whole = l;
#if SPREAD
    (*r).loss = s.gap + s.mass * l;
    (*r).mass = s.mass;
#endif
#if LABELS
    (*r).mass += (*r).own;
    if ((*r).own != 0.0) {
        if (s.hit == NEG_INF) {
            (*r).flags |= select(HAS_NEG_INF, HAS_POS_INF, (*r).own > 0.0);
        } else {
            (*r).loss += (*r).own * ((s.top - bitcast<f32>(s.hit)) + l);
        }
    }
#endif
#if GRAD
    (*r).scale = gradient_scale(row);
#endif
}

// Adds the row to the totals, and writes its own loss where reduction none asks for it.
fn count_row(t: ptr<function, Totals>, r: Row, row: u32) {
    var word = 0u;
    if (r.kind == LIVE) {
        add(t, select(0.0, r.loss, r.flags == 0u), r.weight);
        (*t).live += 1u;
        (*t).flags |= r.flags;
        word = word_of(r.loss, r.flags);
        if ((r.flags & HAS_NAN) != 0u) { add_nonfinite(t, params.row_base + row); }
    } else if (r.kind == BAD) {
        add_bad(t, params.row_base + row, r.low, r.high);
        word = NAN;
    }
#if ROW_LOSS
    row_loss[params.row_loss_origin + row] = word;
#endif
}
