// The mergeable state of a set of classes. One merge serves a lane's loop, the components of a
// pack, the lanes of a row and (later) pieces of a row.
//
//   top    = max_c x_c
//   excess = sum_c exp(x_c - top), less the one term 1 of the maximum itself
//   so that  log(sum_c exp x_c) = top + log1p(excess)
//
// Leaving the maximum's own 1 out of the sum is what keeps a confident row exact: a loss of 1e-12
// is the excess itself, which would vanish in 1 + 1e-12. The identity is (LOWEST, -1).
//
//   gap  = sum_c v_c (top - x_c)     only where every class carries weight: class probabilities,
//   mass = sum_c v_c                 label smoothing (v_c = w_c q'_c)

struct State {
    top: f32,
    excess: f32,
    flags: u32,
    hit: u32,      // the label's logit as a word, or 0 in lanes that did not meet it
#if SPREAD
    gap: f32,
    mass: f32,
#endif
}

fn empty_state() -> State {
    var s: State;
    s.top = LOWEST;
    s.excess = -1.0;
    return s;
}

#if SPREAD
// What `mass` already gathered falls further behind when the maximum rises. Without mass there is
// nothing to move, and the rise from LOWEST may overflow.
fn raised(gap: f32, mass: f32, rise: f32) -> f32 {
    return gap + select(mass * rise, 0.0, mass == 0.0);
}
#endif

fn merge(a: State, b: State) -> State {
    var s: State;
    s.top = max(a.top, b.top);
    // The side below hands over all of its mass, 1 + excess, scaled to the higher maximum.
    let e = exp(-abs(a.top - b.top));
    if (a.top >= b.top) {
        s.excess = a.excess + fma(b.excess, e, e);
    } else {
        s.excess = b.excess + fma(a.excess, e, e);
    }
    s.flags = a.flags | b.flags;
    s.hit = a.hit | b.hit;
#if SPREAD
    s.gap = raised(a.gap, a.mass, s.top - a.top) + raised(b.gap, b.mass, s.top - b.top);
    s.mass = a.mass + b.mass;
#endif
    return s;
}

// A lane's running state: as many states side by side as a pack has components.
struct Fold {
    top: Reals,
    excess: Reals,
    // Largest word seen as signed and as unsigned number: +inf and NaN show in one or the other,
    // -inf in neither.
    signed: Ints,
    unsigned: Words,
#if SPREAD
    gap: Reals,
    mass: Reals,
    flags: Words,
#endif
}

fn empty_fold() -> Fold {
    var f: Fold;
    f.top = Reals(LOWEST);
    f.excess = Reals(-1.0);
    f.signed = Ints(-0x7fffffff);
    return f;
}

// Takes one pack in. `v` holds the classes' weights w_c q'_c.
#if SPREAD
fn push(f: ptr<function, Fold>, words: Words, v: Reals) {
#else
fn push(f: ptr<function, Fold>, words: Words) {
#endif
    (*f).signed = max((*f).signed, bitcast<Ints>(words));
    (*f).unsigned = max((*f).unsigned, words);
    let x = bitcast<Reals>(words);
    let top = (*f).top;
    let risen = max(top, x);
    let e = select(exp(-abs(x - top)), Reals(0.0), words == Words(NEG_INF));
    (*f).excess = select((*f).excess + e, fma((*f).excess, e, e), x > top);
    (*f).top = risen;
#if SPREAD
    // A class without weight contributes nothing, even at -inf.
    let away = words == Words(NEG_INF);
    let weightless = v == Reals(0.0);
    (*f).gap += select((*f).mass * (risen - top), Reals(0.0), (*f).mass == Reals(0.0));
    (*f).gap += select(v * (risen - x), Reals(0.0), weightless | away);
    (*f).mass += v;
    let infinite = (bitcast<Words>(v) & Words(POS_INF)) == Words(POS_INF);
    (*f).flags |= select(Words(0u), Words(HAS_POS_INF), away & (v > Reals(0.0)))
        | select(Words(0u), Words(HAS_NEG_INF), away & (v < Reals(0.0)))
        | select(Words(0u), Words(HAS_NAN), infinite);
#endif
}

#if CHUNKS
// Takes another fold in, component by component: `merge`, for packs. Long rows are folded in chunks
// of CHUNK packs a lane, so that no running sum grows long enough to drown what is added to it.
fn absorb(f: ptr<function, Fold>, chunk: Fold) {
    let top = (*f).top;
    let e = exp(-abs(top - chunk.top));
    (*f).top = max(top, chunk.top);
    (*f).excess = select(chunk.excess + fma((*f).excess, e, e),
        (*f).excess + fma(chunk.excess, e, e), top >= chunk.top);
    (*f).signed = max((*f).signed, chunk.signed);
    (*f).unsigned = max((*f).unsigned, chunk.unsigned);
#if SPREAD
    let rise = (*f).mass * ((*f).top - top);
    let chunk_rise = chunk.mass * ((*f).top - chunk.top);
    (*f).gap = ((*f).gap + select(rise, Reals(0.0), (*f).mass == Reals(0.0)))
        + (chunk.gap + select(chunk_rise, Reals(0.0), chunk.mass == Reals(0.0)));
    (*f).mass += chunk.mass;
    (*f).flags |= chunk.flags;
#endif
}
#endif

// Component `k` of a fold as a state of its own.
fn component(f: Fold, k: u32) -> State {
    var s = empty_state();
#if WIDE
    s.top = f.top[k];
    s.excess = f.excess[k];
    if (f.signed[k] >= i32(POS_INF) || f.unsigned[k] > NEG_INF) { s.flags = HAS_NAN; }
#if SPREAD
    s.gap = f.gap[k];
    s.mass = f.mass[k];
    s.flags |= f.flags[k];
#endif
#else
    s.top = f.top;
    s.excess = f.excess;
    if (f.signed >= i32(POS_INF) || f.unsigned > NEG_INF) { s.flags = HAS_NAN; }
#if SPREAD
    s.gap = f.gap;
    s.mass = f.mass;
    s.flags |= f.flags;
#endif
#endif
    return s;
}

// The components of one row as one state.
fn collapse(f: Fold) -> State {
#if WIDE
    return merge(merge(component(f, 0u), component(f, 1u)), merge(component(f, 2u), component(f, 3u)));
#else
    return component(f, 0u);
#endif
}
