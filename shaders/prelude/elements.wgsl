// What goes with the elements of a load: operands, and what their gradients are multiplied by.

struct PackOperands {
    a: Operands,
#if EIGHT
    b: Operands,
#endif
}

// Operands of load `at` of the piece. What a formula has no use for is 1.
fn operands_of(at: u32) -> PackOperands {
    let one = Words(0x3f800000u);
    var o: PackOperands;
    let t = fetch_target_values(at);
    var w = pack_of(one, one);
    var p = pack_of(one, one);
    var v = pack_of(one, one);
#if ELEMENT_WEIGHT
    w = fetch_element_weight(at);
#endif
#if POS_WEIGHT
    p = fetch_pos_weight(at);
#endif
#if VARIANCE
    v = fetch_variance(at);
#endif
    o.a = Operands(t.a, w.a, p.a, v.a);
#if EIGHT
    o.b = Operands(t.b, w.b, p.b, v.b);
#endif
    return o;
}

#if ANY_GRAD
// What the gradients of load `at` are multiplied by: upstream over divisor.
fn scales_of(at: u32) -> PackReals {
    var scale = 1.0;
#if UPSTREAM_SCALAR
    scale = upstream[params.upstream_origin];
#endif
    // Where there is nothing to divide by, the gradient is zero.
    scale = select(scale / params.divisor, 0.0, params.divisor == 0.0);
    var s: PackReals;
    s.a = Reals(scale);
#if EIGHT
    s.b = s.a;
#endif
#if UPSTREAM_ROWS
    let u = read_upstream(params.upstream_origin + at);
    s.a *= bitcast<Reals>(u.a);
#if EIGHT
    s.b *= bitcast<Reals>(u.b);
#endif
#endif
    return s;
}

// A derivative times its scale, as a word.
fn slope_word(s: Slope, refused: Bools, scale: Reals) -> Words {
    let turned = scale < Reals(0.0);
    let up = select(s.up, s.down, turned);
    let down = select(s.down, s.up, turned);
    var word = select(bitcast<Words>(s.value * scale), Words(POS_INF), up);
    word = select(word, Words(NEG_INF), down);
    // Nothing times an infinity.
    let lost = (s.up | s.down) & (scale == Reals(0.0));
    return select(word, Words(NAN), s.lost | lost | refused);
}
#endif
