// label_rank = the classes in front of the label's: those with a larger z, or an equal one and a smaller number.

import shared::{state, words};

@for(s in STATES) fn merged_label_rank_{s.name}(a: {s.type}, b: {s.type}, x_max: {s.reals}, e: {s.reals}) -> {s.words} {
    return a.label_rank + b.label_rank;
}

fn pushed_label_rank(f: Fold, c: Taken) -> Words {
    return f.label_rank + select(Words(0u), Words(1u), come_before(bitcast<Reals>(c.words), c.classes, f.mark));
}

@if(KEPT) fn kept_label_rank(s: KeptSums, c: Taken) -> Words {
    return s.label_rank + select(Words(0u), Words(1u), come_before(bitcast<Reals>(c.words), c.classes, s.mark));
}

// Where classes with these logits come before the label's.
fn come_before(z: Reals, classes: Words, mark: Mark) -> Bools {
    return (z > mark.z) | ((z == mark.z) & (classes < mark.class_index));
}
