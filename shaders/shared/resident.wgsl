// Rows short enough to be resident. A lane first issues all of its loads (RESIDENT_LOADS words or vectors for each
// half of a load), so that all are in flight before the first exp, and reads nothing twice. RESIDENT_LOADS is a
// constant of the text and so is every index, so the arrays are in registers.

import fields::all;
import shared::{arithmetic, constants, fold, softcap, state, vectors};

alias Resident = array<Words, RESIDENT_LOADS>;
alias ResidentReals = array<Reals, RESIDENT_LOADS>;   // DENSE_TARGET: the classes' shares

// Adds the maximum of each component.
fn with_maxima(fold: Fold, resident: ptr<function, Resident>) -> Fold {
    var f = fold;
    @for(k in REGISTERS) f.max = max(f.max, bitcast<Reals>(z_of((*resident)[{k}])));
    return f;
}

// Adds the words that show NaN and infinities.
fn noted(fold: Fold, resident: ptr<function, Resident>) -> Fold {
    var f = fold;
    @for(k in REGISTERS) f = note_words(f, (*resident)[{k}]);
    return f;
}

// Returns the largest upstream gradient of a class at the maximum; LOWEST if there is none.
@if(PRODUCT) fn u_max_of(x_max: Reals, resident: ptr<function, Resident>, v: ptr<function, ResidentReals>) -> Reals {
    var u = Reals(LOWEST);
    @for(k in REGISTERS) u = select(u, max(u, (*v)[{k}]), bitcast<Reals>(z_of((*resident)[{k}])) == x_max);
    return u;
}

// Sums the terms of all classes. If only a gradient is written (POWERS), exp(x - max) replaces x. `first` has the
// classes of the first load. Of finite classes only those that a lane lacks are -inf.
@for(path in PATHS) fn sum_resident{path.name}(
    x_max: Reals,
    u_max: Reals,
    resident: ptr<function, Resident>,
    v: ptr<function, ResidentReals>,
    first: Words,
    label_key: LabelKey,
) -> ResidentSums {
    var s: ResidentSums;
    @for(f in FIELDS) s.{f.name} = {f.components}({f.identity});
    @if(PRODUCT) s.u_max = u_max;
    @if(RANK) s.label_key = label_key;
    @for(k in REGISTERS) {
        {
            let words = z_of((*resident)[{k}]);
            let at_max = bitcast<Reals>(words) == x_max;
            @if(path.finite) let away = Bools({k} >= FULL) & (words == Words(NEG_INF));
            @else let away = words == Words(NEG_INF);
            let e = select(exp(bitcast<Reals>(words) - x_max), Reals(0.0), away);
            let load = Words({k});
            let c = ClassTerms(words, (*v)[{k}], class_of_load(first, load), load, x_max, e);
            s.sum += select(e, Reals(0.0), at_max);
            @if(PACKED_ROWS) s.ties += select(Words(0u), Words(1u), at_max);
            @else s.all += e;
            @if(DENSE_TARGET) s.flags |= flags_of_weight(c);
            @for(f in FIELDS) s.{f.name} = resident_{f.name}(s, c);
            // The maximum's own power is told from the others where classes have shares.
            @if(POWERS && SHARES) (*resident)[{k}] = bitcast<Words>(select(e, Reals(1.0), at_max));
            @elif(POWERS) (*resident)[{k}] = bitcast<Words>(e);
        }
    }
    @if(ARGMAX) s.argmax = select(class_of_load(first, s.argmax), s.argmax, s.argmax == Words(NO_CLASS));
    return s;
}

// Returns the sum of squares about the mean, which is known only after `sum_resident`.
@if(SQUARES) fn squares_of(x_max: Reals, mean: Reals, resident: ptr<function, Resident>) -> Reals {
    var squares = Reals(0.0);
    @for(k in REGISTERS) squares = add_square(squares, z_of((*resident)[{k}]), x_max, mean);
    return squares;
}

@if(PACKED_ROWS) fn class_of_load(first: Words, k: Words) -> Words { return first + k; }

// Returns the state of the rows of a lane: load k has class k of each row.
@if(PACKED_ROWS) fn state_of_resident(resident: ptr<function, Resident>, v: ptr<function, ResidentReals>, label_key: LabelKey) -> State {
    let f = noted(with_maxima(empty_fold(), resident), resident);
    var u_max: Reals;
    @if(PRODUCT) u_max = u_max_of(f.max, resident, v);
    let sums = sum_resident(f.max, u_max, resident, v, Words(0u), label_key);
    var s = empty_state();
    s.max = f.max;
    s.sum_exp_m1 = sums.sum + RowReals(RowInts(sums.ties) - RowInts(1));   // in integers, as in `rows/resident.wgsl`
    s.flags = flags_of(f);
    @if(DENSE_TARGET) s.flags |= sums.flags;
    @for(f in FIELDS) s.{f.name} = sums.{f.name};
    @if(SQUARES) s.squares = squares_of(f.max, mean_gap_of_state(s), resident);
    return s;
}
