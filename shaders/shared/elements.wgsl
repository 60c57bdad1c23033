// The operands of the elements of a load, and the factors of their gradients.

import shared::{arithmetic, formulas, operands, params, tensor, vectors};

struct PackOperands {
    @for(h in HALVES) {h}: Operands,
}

// Returns the operands of load `at` of the piece; those that a formula does not use are 1.
fn operands_of(at: u32) -> PackOperands {
    let one = Words(0x3f800000u);
    var o: PackOperands;
    let t = fetch_target_values(at);
    var w = pack_of(one, one);
    var p = pack_of(one, one);
    var v = pack_of(one, one);
    @if(ELEMENT_WEIGHT) w = fetch_element_weight(at);
    @if(POS_WEIGHT) p = fetch_pos_weight(at);
    @if(VARIANCE) v = fetch_variance(at);
    @for(h in HALVES) o.{h} = Operands(t.{h}, w.{h}, p.{h}, v.{h});
    return o;
}

// Returns the factors of the gradients of load `at`: upstream / divisor.
@if(ANY_GRAD) fn scales_of(at: u32) -> PackReals {
    var scale = 1.0;
    @if(UPSTREAM_SCALAR) scale = upstream[params.upstream_origin];
    // A mean over nothing has the gradient 0.
    scale = select(scale / params.divisor, 0.0, params.divisor == 0.0);
    var s: PackReals;
    s.a = Reals(scale);
    @if(EIGHT) s.b = s.a;
    @if(UPSTREAM_ROWS) {
        let u = read_upstream(params.upstream_origin + at);
        @for(h in HALVES) s.{h} *= bitcast<Reals>(u.{h});
    }
    return s;
}

// Returns a derivative times its scale, as a word.
@if(ANY_GRAD) fn slope_word(s: Slope, refused: Bools, scale: Reals) -> Words {
    let turned = scale < Reals(0.0);
    let up = select(s.up, s.down, turned);
    let down = select(s.down, s.up, turned);
    var word = select(bitcast<Words>(s.value * scale), Words(POS_INF), up);
    word = select(word, Words(NEG_INF), down);
    // 0 times an infinity.
    let lost = (s.up | s.down) & (scale == Reals(0.0));
    return select(word, Words(NAN), s.lost | lost | refused);
}
