// The second read of the logits: what it needs of the rows, for each component of a pack, and what it
// writes.
struct Writer {
    top: Reals,
    excess: Reals,
    log_whole: Reals,
    mass: Reals,
    own: Reals,
    scale: Reals,
    class_index: Words,
    ignored: Bools,
    lost: Bools,      // the gradient is NaN
    no_row: Bools,    // the distribution is NaN
}

fn ignored(r: Row) -> bool { return r.kind == IGNORED; }
fn no_row(r: Row) -> bool { return (r.flags & HAS_NAN) != 0u; }
fn lost(r: Row) -> bool { return r.kind == BAD || no_row(r); }

// A pack of one row.
fn writer(r: Row) -> Writer {
    return Writer(Reals(r.top), Reals(r.excess), Reals(r.log_whole), Reals(r.mass), Reals(r.own),
        Reals(r.scale), Words(r.class_index), Bools(ignored(r)), Bools(lost(r)), Bools(no_row(r)));
}

#if WIDE
// A pack of four rows.
fn writer_of_four(a: Row, b: Row, c: Row, d: Row) -> Writer {
    return Writer(
        Reals(a.top, b.top, c.top, d.top),
        Reals(a.excess, b.excess, c.excess, d.excess),
        Reals(a.log_whole, b.log_whole, c.log_whole, d.log_whole),
        Reals(a.mass, b.mass, c.mass, d.mass),
        Reals(a.own, b.own, c.own, d.own),
        Reals(a.scale, b.scale, c.scale, d.scale),
        Words(a.class_index, b.class_index, c.class_index, d.class_index),
        Bools(ignored(a), ignored(b), ignored(c), ignored(d)),
        Bools(lost(a), lost(b), lost(c), lost(d)),
        Bools(no_row(a), no_row(b), no_row(c), no_row(d)),
    );
}
#endif

// dloss/dx_c = V p_c - v_c. At the maximum p is 1 / (1 + excess), and V p - v would cancel where v
// is nearly all of V; over the common denominator it is (V - v - v excess) / (1 + excess).
#if GRAD
#if SPREAD
fn gradient(w: Writer, words: Words, classes: Words, spread: Reals) -> Words {
    var v = spread;
#else
fn gradient(w: Writer, words: Words, classes: Words) -> Words {
    var v = Reals(0.0);
#endif
#if LABELS
    v += select(Reals(0.0), w.own, classes == w.class_index);
#endif
    let x = bitcast<Reals>(words);
    let whole = Reals(1.0) + w.excess;
    let below = select(exp(x - w.top), Reals(0.0), words == Words(NEG_INF)) * (w.mass / whole) - v;
    let at_top = ((w.mass - v) - v * w.excess) / whole;
    let value = bitcast<Words>(select(below, at_top, x == w.top) * w.scale);
    return select(select(value, Words(NAN), w.lost), Words(0u), w.ignored);
}
#endif

#if ELEMENTS
// log p_c = (x_c - top) - log1p(excess), or p_c itself.
fn element(w: Writer, words: Words) -> Words {
    let below = bitcast<Reals>(words) - w.top;
#if PROBS
    let value = exp(below) / (Reals(1.0) + w.excess);
    let away = Words(0u);
#else
    let value = below - w.log_whole;
    let away = Words(NEG_INF);
#endif
    let word = select(bitcast<Words>(value), away, words == Words(NEG_INF));
    return select(word, Words(NAN), w.no_row);
}
#endif

// Writes what is wanted of pack number `at` of the tensor: `classes`, of class weights `weights`.
fn write_pack(w: Writer, classes: Words, weights: Reals, at: u32) {
    let words = logits[params.logits_origin + at];
#if ELEMENTS
    elements[params.elements_origin + at] = element(w, words);
#endif
#if GRAD
#if SPREAD
    let word = gradient(w, words, classes, spread_weights(weights, at));
#else
    let word = gradient(w, words, classes);
#endif
#if IN_PLACE
    logits[params.logits_origin + at] = word;
#else
    grad[params.grad_origin + at] = word;
#endif
#endif
}
