// The mergeable state of a set of classes. One merge serves the components of a load, the lanes of a row, and the
// parts of a row that several groups share.
//
//   max        = max_c x_c
//   sum_exp_m1 = sum_c exp(x_c - max) - 1, computed without the term 1 of the maximum itself
//   log(sum_c exp x_c) = max + log1p(sum_exp_m1)
//
// Without the maximum's 1 a confident row is exact: its loss of 1e-12 is `sum_exp_m1` itself, and 1 + 1e-12 would
// round to 1. The identity is (LOWEST, -1).
//
// FIELDS are further sums over the classes. The meaning and the merge of each are in its file in `fields/`, its name
// and types in `src/kernels/fields.rs`.

import shared::vectors;

// The state of a lane's row or rows.
struct State {
    max: RowReals,
    sum_exp_m1: RowReals,
    flags: RowWords,
    label_logit: RowWords,   // the label's logit as a word; 0 in lanes that have not read it
    @for(f in FIELDS) {f.name}: {f.rows},
}

// The label's logit and class: classes that come before it are counted.
struct LabelKey {
    class_index: Words,
    @if(RANK) z: Reals,
}

// One for each half of a load.
struct LabelKeys {
    @for(h in HALVES) {h}: LabelKey,
}

// A lane's running state: one state for each component.
struct Fold {
    max: Reals,
    sum_exp_m1: Reals,
    // The largest word as a signed and as an unsigned number. +inf and NaN show in one of the two, -inf in neither.
    signed: Ints,
    unsigned: Words,
    @if(DENSE_TARGET) flags: Words,
    @if(RANK) label_key: LabelKey,
    @for(f in FIELDS) {f.name}: {f.components},
}

// One fold for each half of a load.
struct Folds {
    @for(h in HALVES) {h}: Fold,
}

// Sums over resident classes, relative to a maximum that is known before the first exp, so no sum is rescaled.
struct ResidentSums {
    sum: Reals,     // sum of exp(x - max) over the classes below the maximum
    // The number of classes at the maximum, itself included. Lanes that share a row have it from the sum over all
    // classes, which is larger by exp(0) for each: an addition in place of a selection and an addition. If a row has
    // one lane, integers take far fewer registers.
    @if(PACKED_ROWS) ties: Words,
    @else all: Reals,
    @if(DENSE_TARGET) flags: Words,
    @if(RANK) label_key: LabelKey,
    @for(f in FIELDS) {f.name}: {f.components},
}

// The terms of an accumulation: a class for each component.
struct ClassTerms {
    words: Words,     // z
    v: Reals,         // DENSE_TARGET: their shares; PRODUCT: the upstream gradients
    classes: Words,   // their numbers
    load: Words,      // of resident classes: the number of their load
    max: Reals,       // the maximum, these classes included
    e: Reals,         // exp(-|z - m|), m the maximum before them; of resident classes exp(z - max)
}
