// States: accumulating classes, and merging.
//
// Sums of products are written as `fma`. A compiler may fuse either of two products with their sum, so without it
// kernels of the same arithmetic would differ in a row's last bits.

import fields::all;
import shared::{arithmetic, constants, softcap, state, vectors};

fn empty_state() -> State {
    var s: State;
    s.max = RowReals(LOWEST);
    s.sum_exp_m1 = RowReals(-1.0);
    @for(f in FIELDS) s.{f.name} = {f.rows}({f.identity});
    return s;
}

fn empty_fold() -> Fold {
    var f: Fold;
    f.max = Reals(LOWEST);
    f.sum_exp_m1 = Reals(-1.0);
    f.signed = Ints(-0x7fffffff);
    @for(f in FIELDS) f.{f.name} = {f.components}({f.identity});
    return f;
}

fn empty_folds(label_keys: LabelKeys) -> Folds {
    var f: Folds;
    @for(h in HALVES) f.{h} = empty_fold();
    @if(RANK) @for(h in HALVES) f.{h}.label_key = label_keys.{h};
    return f;
}

// Merges the states of two sets of classes: for the rows of a lane (State), and for the components of a load (Fold).
@for(s in STATES) fn merge_{s.name}(a: {s.type}, b: {s.type}) -> {s.type} {
    var m: {s.type};
    m.max = max(a.max, b.max);
    // The side with the lower maximum adds its whole sum, 1 + sum_exp_m1, scaled to the higher maximum.
    let e = exp(-abs(a.max - b.max));
    m.sum_exp_m1 = select(b.sum_exp_m1 + fma(a.sum_exp_m1, e, e), a.sum_exp_m1 + fma(b.sum_exp_m1, e, e),
        a.max >= b.max);
    @if(s.is_fold) {
        m.signed = max(a.signed, b.signed);
        m.unsigned = max(a.unsigned, b.unsigned);
        @if(DENSE_TARGET) m.flags = a.flags | b.flags;
        @if(RANK) m.label_key = a.label_key;
    }
    @else {
        m.flags = a.flags | b.flags;
        m.label_logit = a.label_logit | b.label_logit;
    }
    @for(f in FIELDS) m.{f.name} = merged_{f.name}_{s.name}(a, b, m.max, e);
    return m;
}

// Returns the keys of labels from their classes and their logits, as read.
@if(RANK) fn label_key_of(class_index: RowWords, label_logit: RowWords) -> LabelKey {
    var m: LabelKey;
    m.class_index = Words(class_index);
    m.z = Reals(bitcast<RowReals>(z_of_rows(label_logit)));
    return m;
}

fn note_words(fold: Fold, words: Words) -> Fold {
    var f = fold;
    f.signed = max(f.signed, bitcast<Ints>(words));
    f.unsigned = max(f.unsigned, words);
    return f;
}

// Accumulates classes before their maximum is known. `v` holds their shares (DENSE_TARGET), and `classes` their
// numbers.
fn accumulate_half(fold: Fold, given: Words, v: Reals, classes: Words) -> Fold {
    let words = z_of(given);
    let e = select(power_of(fold, words), Reals(0.0), words == Words(NEG_INF));
    return with_power(note_words(fold, given), words, e, v, classes);
}

// Returns the distance of classes from the maximum so far, as a power.
fn power_of(fold: Fold, words: Words) -> Reals { return exp(-abs(bitcast<Reals>(words) - fold.max)); }

fn with_power(fold: Fold, words: Words, e: Reals, v: Reals, classes: Words) -> Fold {
    var f = fold;
    let x = bitcast<Reals>(words);
    let risen = max(f.max, x);
    let c = ClassTerms(words, v, classes, Words(0u), risen, e);
    @for(f in FIELDS) f.{f.name} = accumulated_{f.name}(fold, c);
    @if(DENSE_TARGET) f.flags |= flags_of_weight(c);
    f.sum_exp_m1 = select(f.sum_exp_m1 + e, fma(f.sum_exp_m1, e, e), x > f.max);
    f.max = risen;
    return f;
}

// Accumulates a load.
fn accumulate(folds: Folds, pack: Pack, v: PackReals, classes: Pack) -> Folds {
    var f: Folds;
    @for(h in HALVES) f.{h} = accumulate_half(folds.{h}, pack.{h}, v.{h}, classes.{h});
    return f;
}

// Accumulates a load without NaN and infinities: nothing is looked for, and no power is of -inf.
@if(FINITE_PATH) fn accumulate_finite(folds: Folds, pack: Pack, v: PackReals, classes: Pack) -> Folds {
    var f: Folds;
    @for(h in HALVES) f.{h} = with_power(
        folds.{h}, pack.{h}, power_of(folds.{h}, pack.{h}), v.{h}, classes.{h});
    return f;
}

// Merges a chunk into the whole. Long rows are folded in chunks of CHUNK loads a lane: the rounding error of a
// running sum grows with its length.
@if(CHUNKS) fn merge_folds(whole: Folds, chunk: Folds) -> Folds {
    var f: Folds;
    @for(h in HALVES) f.{h} = merge_fold(whole.{h}, chunk.{h});
    return f;
}

fn flags_of(f: Fold) -> Words {
    let seen = (f.signed >= Ints(i32(POS_INF))) | (f.unsigned > Words(NEG_INF));
    var flags = select(Words(0u), Words(HAS_NAN), seen);
    @if(DENSE_TARGET) flags |= f.flags;
    return flags;
}

// Each component is a row.
@if(PACKED_ROWS) fn state_of(f: Fold) -> State {
    var s = empty_state();
    s.max = f.max;
    s.sum_exp_m1 = f.sum_exp_m1;
    s.flags = flags_of(f);
    @for(f in FIELDS) s.{f.name} = f.{f.name};
    return s;
}

// All components are classes of one row.
@if(!PACKED_ROWS) fn component(f: Fold, flags: Words, k: u32) -> State {
    var s = empty_state();
    @if(WIDE) {
        s.max = f.max[k];
        s.sum_exp_m1 = f.sum_exp_m1[k];
        s.flags = flags[k];
        @for(f in FIELDS) s.{f.name} = f.{f.name}[k];
    }
    @else {
        s.max = f.max;
        s.sum_exp_m1 = f.sum_exp_m1;
        s.flags = flags;
        @for(f in FIELDS) s.{f.name} = f.{f.name};
    }
    return s;
}

@if(!PACKED_ROWS) fn collapse(folds: Folds) -> State {
    var f = folds.a;
    @if(EIGHT) f = merge_fold(f, folds.b);
    let flags = flags_of(f);
    @if(WIDE) return merge_state(
        merge_state(component(f, flags, 0u), component(f, flags, 1u)),
        merge_state(component(f, flags, 2u), component(f, flags, 3u)));
    @else return component(f, flags, 0u);
}
