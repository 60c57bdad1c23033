// The mergeable state of a set of classes. One merge serves the components of a load, the lanes of
// a row and the parts of a row that several groups share.
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
//
//   best    = the first class at the top          where it is wanted (ARGMAX)
//   before  = classes in front of the label's: z_c larger, or equal and c smaller (RANK)
//   moment  = sum_c exp(x_c - top) (top - x_c)    the entropy is log1p(excess) + moment / (1 + excess)
//   product = sum_c exp(x_c - top) (v_c - u_top)  for the Jacobian of the probabilities, with u_top = v_c of a
//                                                 class at the top: of several the largest, where they meet

import shared::{constants, numbers, softcap, words};

// Sums that have a product in them are written as `fma`: of two products a compiler may fuse either with the sum,
// and kernels that do the same would differ in a row's last bits.

// The state of a lane's row or rows.
struct State {
    top: RowReals,
    excess: RowReals,
    flags: RowWords,
    hit: RowWords,      // the label's logit as a word, or 0 in lanes that did not meet it
    @if(SPREAD) gap: RowReals,
    @if(SPREAD) mass: RowReals,
    @if(ARGMAX) best: RowWords,
    @if(RANK) before: RowWords,
    @if(ENTROPY) moment: RowReals,
    @if(PRODUCT) product: RowReals,
    @if(PRODUCT) u_top: RowReals,
}

fn empty_state() -> State {
    var s: State;
    s.top = RowReals(LOWEST);
    s.excess = RowReals(-1.0);
    @if(ARGMAX) s.best = RowWords(NO_CLASS);
    return s;
}

fn merge(a: State, b: State) -> State {
    var s: State;
    s.top = max(a.top, b.top);
    // The side below hands over all of its mass, 1 + excess, scaled to the higher maximum.
    let e = exp(-abs(a.top - b.top));
    s.excess = select(b.excess + fma(a.excess, e, e), a.excess + fma(b.excess, e, e),
        a.top >= b.top);
    s.flags = a.flags | b.flags;
    s.hit = a.hit | b.hit;
    @if(SPREAD) {
        // What `mass` already gathered falls further behind when the maximum rises. Without mass there
        // is nothing to move, and the rise from LOWEST may overflow.
        let nothing = RowReals(0.0);
        s.gap = (a.gap + select(a.mass * (s.top - a.top), nothing, a.mass == nothing))
            + (b.gap + select(b.mass * (s.top - b.top), nothing, b.mass == nothing));
        s.mass = a.mass + b.mass;
    }
    @if(ARGMAX) s.best = select(select(b.best, a.best, a.top > b.top), min(a.best, b.best), a.top == b.top);
    @if(RANK) s.before = a.before + b.before;
    @if(ENTROPY) {
        // What is gathered of the side below is that much further down. The identity has gathered nothing.
        let fall = e * min(abs(a.top - b.top), RowReals(FAR));
        s.moment = select(b.moment + fma(e, a.moment, fall * (1.0 + a.excess)),
            a.moment + fma(e, b.moment, fall * (1.0 + b.excess)), a.top >= b.top);
    }
    @if(PRODUCT) {
        s.u_top = select(select(b.u_top, a.u_top, a.top > b.top), max(a.u_top, b.u_top), a.top == b.top);
        let product_a = fma(1.0 + a.excess, a.u_top - s.u_top, a.product);
        let product_b = fma(1.0 + b.excess, b.u_top - s.u_top, b.product);
        s.product = select(fma(e, product_a, product_b), fma(e, product_b, product_a), a.top >= b.top);
    }
    return s;
}

// The label's logit and class, in front of which classes are counted.
struct Mark {
    class_index: Words,
    @if(RANK) z: Reals,
}

// One for each half of a load.
struct Marks {
    @for(h in HALVES) {h}: Mark,
}

// Of rows whose labels' logits were read.
@if(RANK) fn mark_of(class_index: RowWords, hit: RowWords) -> Mark {
    var m: Mark;
    m.class_index = Words(class_index);
    m.z = Reals(bitcast<RowReals>(z_of_rows(hit)));
    return m;
}

// Where classes with these logits come before the label's.
@if(RANK) fn come_before(z: Reals, classes: Words, mark: Mark) -> Bools {
    return (z > mark.z) | ((z == mark.z) & (classes < mark.class_index));
}

// A lane's running state: as many states side by side as the arithmetic has components.
struct Fold {
    top: Reals,
    excess: Reals,
    // Largest word seen as signed and as unsigned number: +inf and NaN show in one or the other,
    // -inf in neither.
    signed: Ints,
    unsigned: Words,
    @if(SPREAD) gap: Reals,
    @if(SPREAD) mass: Reals,
    @if(SPREAD) flags: Words,
    @if(ARGMAX) best: Words,
    @if(RANK) before: Words,
    @if(RANK) mark: Mark,
    @if(ENTROPY) moment: Reals,
    @if(PRODUCT) product: Reals,
    @if(PRODUCT) u_top: Reals,
}

// One fold for each half of a load.
struct Folds {
    @for(h in HALVES) {h}: Fold,
}

fn empty_fold() -> Fold {
    var f: Fold;
    f.top = Reals(LOWEST);
    f.excess = Reals(-1.0);
    f.signed = Ints(-0x7fffffff);
    @if(ARGMAX) f.best = Words(NO_CLASS);
    return f;
}

fn empty_folds(marks: Marks) -> Folds {
    var f: Folds;
    @for(h in HALVES) f.{h} = empty_fold();
    @if(RANK) {
        @for(h in HALVES) f.{h}.mark = marks.{h};
    }
    return f;
}

fn note_words(fold: Fold, words: Words) -> Fold {
    var f = fold;
    f.signed = max(f.signed, bitcast<Ints>(words));
    f.unsigned = max(f.unsigned, words);
    return f;
}

// Takes in the weights `v` of classes whose logits z are `words`, at the present maximum. A class
// without weight contributes nothing, even at -inf.
@if(SPREAD) fn weigh(fold: Fold, words: Words, v: Reals) -> Fold {
    var f = fold;
    let away = words == Words(NEG_INF);
    let weightless = v == Reals(0.0);
    f.gap += select(v * (f.top - bitcast<Reals>(words)), Reals(0.0), weightless | away);
    f.mass += v;
    let infinite = (bitcast<Words>(v) & Words(POS_INF)) == Words(POS_INF);
    f.flags |= select(Words(0u), Words(HAS_POS_INF), away & (v > Reals(0.0)))
        | select(Words(0u), Words(HAS_NEG_INF), away & (v < Reals(0.0)))
        | select(Words(0u), Words(HAS_NAN), infinite);
    return f;
}

// Takes classes in whose maximum is not known. `v` holds their weights, where SPREAD, and `classes` their
// numbers.
fn push(fold: Fold, given: Words, v: Reals, classes: Words) -> Fold {
    var f = note_words(fold, given);
    let words = z_of(given);
    let x = bitcast<Reals>(words);
    let risen = max(f.top, x);
    let e = select(exp(-abs(x - f.top)), Reals(0.0), words == Words(NEG_INF));
    @if(ARGMAX) {
        // The first one of the highest: of none at all, where x is the lowest number there is; and the classes of
        // a ragged row's first load come last.
        f.best = select(f.best, min(f.best, classes), x == f.top);
        f.best = select(f.best, classes, x > f.top);
    }
    @if(RANK) f.before += select(Words(0u), Words(1u), come_before(x, classes, f.mark));
    @if(ENTROPY) {
        let distance = min(abs(x - f.top), Reals(FAR));
        f.moment = select(fma(e, distance, f.moment),
            fma(e, f.moment, (e * distance) * (1.0 + f.excess)), x > f.top);
    }
    @if(PRODUCT) {
        let moved = fma(1.0 + f.excess, f.u_top - v, f.product);
        f.product = select(fma(e, v - f.u_top, f.product), e * moved, x > f.top);
        f.u_top = select(f.u_top, v, x > f.top);
    }
    f.excess = select(f.excess + e, fma(f.excess, e, e), x > f.top);
    @if(SPREAD) f.gap += select(f.mass * (risen - f.top), Reals(0.0), f.mass == Reals(0.0));
    f.top = risen;
    @if(SPREAD) f = weigh(f, words, v);
    return f;
}

// Takes a load in.
fn take(folds: Folds, pack: Pack, v: PackReals, classes: Pack) -> Folds {
    var f: Folds;
    @for(h in HALVES) f.{h} = push(folds.{h}, pack.{h}, v.{h}, classes.{h});
    return f;
}

// `merge`, for folds.
fn join(a: Fold, b: Fold) -> Fold {
    var f: Fold;
    f.top = max(a.top, b.top);
    let e = exp(-abs(a.top - b.top));
    f.excess = select(b.excess + fma(a.excess, e, e), a.excess + fma(b.excess, e, e),
        a.top >= b.top);
    f.signed = max(a.signed, b.signed);
    f.unsigned = max(a.unsigned, b.unsigned);
    @if(SPREAD) {
        f.gap = (a.gap + select(a.mass * (f.top - a.top), Reals(0.0), a.mass == Reals(0.0)))
            + (b.gap + select(b.mass * (f.top - b.top), Reals(0.0), b.mass == Reals(0.0)));
        f.mass = a.mass + b.mass;
        f.flags = a.flags | b.flags;
    }
    @if(ARGMAX) f.best = select(select(b.best, a.best, a.top > b.top), min(a.best, b.best), a.top == b.top);
    @if(RANK) f.before = a.before + b.before;
    @if(RANK) f.mark = a.mark;
    @if(ENTROPY) {
        let fall = e * min(abs(a.top - b.top), Reals(FAR));
        f.moment = select(b.moment + fma(e, a.moment, fall * (1.0 + a.excess)),
            a.moment + fma(e, b.moment, fall * (1.0 + b.excess)), a.top >= b.top);
    }
    @if(PRODUCT) {
        f.u_top = select(select(b.u_top, a.u_top, a.top > b.top), max(a.u_top, b.u_top), a.top == b.top);
        let product_a = fma(1.0 + a.excess, a.u_top - f.u_top, a.product);
        let product_b = fma(1.0 + b.excess, b.u_top - f.u_top, b.product);
        f.product = select(fma(e, product_a, product_b), fma(e, product_b, product_a), a.top >= b.top);
    }
    return f;
}

// Long rows are folded in chunks of CHUNK loads a lane, so that no running sum grows long enough to
// drown what is added to it.
@if(CHUNKS) fn absorb(whole: Folds, chunk: Folds) -> Folds {
    var f: Folds;
    @for(h in HALVES) f.{h} = join(whole.{h}, chunk.{h});
    return f;
}

fn flags_of(f: Fold) -> Words {
    let seen = (f.signed >= Ints(i32(POS_INF))) | (f.unsigned > Words(NEG_INF));
    var flags = select(Words(0u), Words(HAS_NAN), seen);
    @if(SPREAD) flags |= f.flags;
    return flags;
}

// Each component is a row of its own.
@if(PACKED_ROWS) fn state_of(f: Fold) -> State {
    var s = empty_state();
    s.top = f.top;
    s.excess = f.excess;
    s.flags = flags_of(f);
    @for(f in FIELDS) s.{f} = f.{f};
    return s;
}

// All components are classes of one row.
@if(!PACKED_ROWS) fn component(f: Fold, flags: Words, k: u32) -> State {
    var s = empty_state();
    @if(WIDE) {
        s.top = f.top[k];
        s.excess = f.excess[k];
        s.flags = flags[k];
        @for(f in FIELDS) s.{f} = f.{f}[k];
    }
    @else {
        s.top = f.top;
        s.excess = f.excess;
        s.flags = flags;
        @for(f in FIELDS) s.{f} = f.{f};
    }
    return s;
}

@if(!PACKED_ROWS) fn collapse(folds: Folds) -> State {
    var f = folds.a;
    @if(EIGHT) f = join(f, folds.b);
    let flags = flags_of(f);
    @if(WIDE) return merge(merge(component(f, flags, 0u), component(f, flags, 1u)),
        merge(component(f, flags, 2u), component(f, flags, 3u)));
    @else return component(f, flags, 0u);
}
