// best = the first class at the maximum.

import shared::{constants, state, words};

@for(s in STATES) fn merged_best_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.words} {
    return select(select(b.best, a.best, a.max > b.max), min(a.best, b.best), a.max == b.max);
}

// Of none at all, where x is the lowest number there is; and the classes of a ragged row's first load come last.
fn pushed_best(f: Fold, c: Taken) -> Words {
    let x = bitcast<Reals>(c.words);
    return select(select(f.best, min(f.best, c.classes), x == f.max), c.classes, x > f.max);
}

// The place among what is kept: the class is told from it at the end.
@if(KEPT) fn kept_best(s: KeptSums, c: Taken) -> Words {
    return min(s.best, select(Words(NO_CLASS), c.place, bitcast<Reals>(c.words) == c.max));
}
