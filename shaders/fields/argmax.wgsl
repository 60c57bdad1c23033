// argmax = the first class at the maximum.

import shared::{constants, state, vectors};

@for(s in STATES) fn merged_argmax_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.words} {
    return select(select(b.argmax, a.argmax, a.max > b.max), min(a.argmax, b.argmax), a.max == b.max);
}

// The minimum is needed if x is the lowest number, which is the identity's maximum, and because the classes of a
// ragged row's first load come last.
fn accumulated_argmax(f: Fold, c: ClassTerms) -> Words {
    let x = bitcast<Reals>(c.words);
    return select(select(f.argmax, min(f.argmax, c.classes), x == f.max), c.classes, x > f.max);
}

// The number of the load: `sum_resident` converts it to the class.
@if(RESIDENT) fn resident_argmax(s: ResidentSums, c: ClassTerms) -> Words {
    return min(s.argmax, select(Words(NO_CLASS), c.load, bitcast<Reals>(c.words) == c.max));
}
