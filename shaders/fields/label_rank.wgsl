// label_rank = the number of classes that come before the label's: those with a larger z, or an equal z and a smaller
// number.

import shared::{state, vectors};

@for(s in STATES) fn merged_label_rank_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.words} {
    return a.label_rank + b.label_rank;
}

fn accumulated_label_rank(f: Fold, c: ClassTerms) -> Words {
    return f.label_rank + select(Words(0u), Words(1u), come_before(bitcast<Reals>(c.words), c.classes, f.label_key));
}

@if(RESIDENT) fn resident_label_rank(s: ResidentSums, c: ClassTerms) -> Words {
    return s.label_rank + select(Words(0u), Words(1u), come_before(bitcast<Reals>(c.words), c.classes, s.label_key));
}

// Returns true for classes that come before the label's.
fn come_before(z: Reals, classes: Words, label_key: LabelKey) -> Bools {
    return (z > label_key.z) | ((z == label_key.z) & (classes < label_key.class_index));
}
