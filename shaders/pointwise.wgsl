// Losses of single elements: a lane takes a load of the input and of all that goes with it, evaluates the
// formula, writes losses and gradients where they are wanted, and adds up. Elements that fill no load are
// another dispatch's, which takes them one by one.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var totals = empty_totals();
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let at = block * WORKGROUP + index;
        if (at < params.rows) { totals = take(totals, params.first + at); }
    }
#if COUNTS
    let slot = params.partial_base + group.x;
    write_partial(totals, index, slot);
#if REFUSES
    // One lane has the first value that is refused. It has kept it: the gradient may be in its place.
    if (totals.bad != 0u && totals.first_bad == atomicLoad(&group_first_bad)) {
        workspace[HEADER_WORDS + PARTIAL_WORDS * slot + 6u] = refused_word;
        workspace[HEADER_WORDS + PARTIAL_WORDS * slot + 7u] = refused_operand;
    }
#endif
#endif
}

var<private> refused_word: u32;
var<private> refused_operand: u32;

fn take(totals: Totals, at: u32) -> Totals {
    let x = read_logits(params.logits_origin + at);
    let o = operands_of(at);
    let a = evaluate(x.a, o.a);
#if EIGHT
    let b = evaluate(x.b, o.b);
#endif
    var t = totals;
#if COUNTS
    t = count(t, a, x.a, o.a, at * PACK);
#if EIGHT
    t = count(t, b, x.b, o.b, at * PACK + HALF);
#endif
#endif
#if ROW_LOSS
    var losses: Pack;
    losses.a = loss_word(a);
#if EIGHT
    losses.b = loss_word(b);
#endif
    write_row_loss(params.row_loss_origin + at, losses);
#endif
#if ANY_GRAD
    let scale = scales_of(at);
    var out: Pack;
#if GRAD
    out.a = slope_word(a.grad, a.refused, scale.a);
#if EIGHT
    out.b = slope_word(b.grad, b.refused, scale.b);
#endif
    write_grad(params.grad_origin + at, out);
#endif
#if TARGET_GRAD
    out.a = slope_word(a.target_grad, a.refused, scale.a);
#if EIGHT
    out.b = slope_word(b.target_grad, b.refused, scale.b);
#endif
    write_target_grad(params.target_grad_origin + at, out);
#endif
#if VARIANCE_GRAD
    out.a = slope_word(a.variance_grad, a.refused, scale.a);
#if EIGHT
    out.b = slope_word(b.variance_grad, b.refused, scale.b);
#endif
    write_variance_grad(params.variance_grad_origin + at, out);
#endif
#endif
    return t;
}

#if COUNTS
fn loss_word(p: Point) -> Words {
    var word = select(bitcast<Words>(p.loss), Words(POS_INF), p.up);
    word = select(word, Words(NEG_INF), p.down);
    return select(word, Words(NAN), p.lost | (p.refused != Words(0u)));
}

// Adds the elements from `first` on to the totals.
fn count(totals: Totals, p: Point, x: Words, o: Operands, first: u32) -> Totals {
    let none = Words(0u);
    let one = Words(1u);
    let bad = p.refused != none;
    let lost = p.lost & !bad;
    var flags = select(none, Words(HAS_POS_INF), p.up) | select(none, Words(HAS_NEG_INF), p.down);
    flags = select(flags, Words(HAS_NAN), p.lost | bad);
    var t = add(totals, total(select(Reals(0.0), p.loss, flags == none)), 0.0, 0.0);
    t.flags |= all_bits(flags);
    let number = numbered(params.row_base + first);
    t.nonfinite += total_words(select(none, one, lost));
    t.first_nonfinite = min(t.first_nonfinite, lowest(select(Words(NO_ROW), number, lost)));
#if REFUSES
    t.live += total_words(select(one, none, bad));
    t.bad += total_words(select(none, one, bad));
    let first_bad = lowest(select(Words(NO_ROW), number, bad));
    if (first_bad < t.first_bad) {
        t.first_bad = first_bad;
        var words = select(x, o.target_word, p.refused == Words(REFUSED_TARGET));
        words = select(words, o.variance, p.refused == Words(REFUSED_VARIANCE));
#if WIDE
        let k = first_bad - number.x;
        refused_word = words[k];
        refused_operand = p.refused[k];
#else
        refused_word = words;
        refused_operand = p.refused;
#endif
    }
#else
    t.live += HALF;
#endif
    return t;
}
#endif
