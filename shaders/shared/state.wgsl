// The mergeable state of a set of classes. One merge serves the components of a load, the lanes of
// a row and the parts of a row that several groups share.
//
//   max    = max_c x_c
//   sum_exp_m1 = sum_c exp(x_c - max), less the one term 1 of the maximum itself
//   so that  log(sum_c exp x_c) = max + log1p(sum_exp_m1)
//
// Leaving the maximum's own 1 out of the sum is what keeps a confident row exact: a loss of 1e-12
// is the sum_exp_m1 itself, which would vanish in 1 + 1e-12. The identity is (LOWEST, -1).
//
// FIELDS are further sums over the classes, where they are wanted: what each one is, and how it is merged, stands in its
// file in `fields/`; its name and types, in `src/kernels/fields.rs`.

import shared::vectors;

// The state of a lane's row or rows.
struct State {
    max: RowReals,
    sum_exp_m1: RowReals,
    flags: RowWords,
    label_logit: RowWords,      // the label's logit as a word, or 0 in lanes that did not meet it
    @for(f in FIELDS) {f.name}: {f.rows},
}

// The label's logit and class, in front of which classes are counted.
struct LabelKey {
    class_index: Words,
    @if(RANK) z: Reals,
}

// One for each half of a load.
struct LabelKeys {
    @for(h in HALVES) {h}: LabelKey,
}

// A lane's running state: as many states side by side as the arithmetic has components.
struct Fold {
    max: Reals,
    sum_exp_m1: Reals,
    // Largest word seen as signed and as unsigned number: +inf and NaN show in one or the other,
    // -inf in neither.
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

// Ties are counted in integers where rows have lanes of their own: that takes half of the instructions and far
// fewer registers. Lanes that share a row add them up as floats, which software drivers do faster.
@if(PACKED_ROWS) alias Ties = Words;
@else alias Ties = Reals;

// Sums over what is resident, relative to a maximum that is known before the first exp: nothing is rescaled.
struct ResidentSums {
    sum: Reals,     // sum of exp(x - max) over the classes below the maximum
    ties: Ties,     // classes at the maximum, the maximum itself among them
    @if(DENSE_TARGET) flags: Words,
    @if(RANK) label_key: LabelKey,
    @for(f in FIELDS) {f.name}: {f.components},
}

// Classes as they are taken in, one for each component.
struct ClassTerms {
    words: Words,     // z
    v: Reals,         // their weights, where DENSE_TARGET; for PRODUCT the upstream gradients
    classes: Words,   // their numbers
    load: Words,      // of classes that are resident: where
    max: Reals,       // the maximum, these among the classes
    e: Reals,         // exp(-|z - t|), t the maximum without them; exp(z - max) of classes that are resident
}
