// Rows short enough to be kept: a lane loads all of its share first (KEPT words or vectors for each
// half of a load), so that every load is under way before the first exp, and never reads it again.
// KEPT is in the text and every index a constant, so the arrays live in registers.

alias Kept = array<Words, KEPT>;
alias KeptReals = array<Reals, KEPT>;   // the classes' weights, where SPREAD

// The fold of what is kept. The maximum is known before the first exp, so nothing is ever rescaled.
// Where a gradient is all that is written, exp(x - top) takes the place of x.
fn fold_kept(kept: ptr<function, Kept>, v: ptr<function, KeptReals>) -> Fold {
    var f = empty_fold();
#each
    f = note_words(f, (*kept)[$]);
    f.top = max(f.top, bitcast<Reals>((*kept)[$]));
#end
    var sum = Reals(0.0);
    var ties = Reals(-1.0);   // the maximum's own 1 is left out, another class that equals it is not
#each
    {
        let words = (*kept)[$];
        let at_top = bitcast<Reals>(words) == f.top;
        let away = words == Words(NEG_INF);
        let e = select(exp(bitcast<Reals>(words) - f.top), Reals(0.0), away);
        sum += select(e, Reals(0.0), at_top);
        ties += select(Reals(0.0), Reals(1.0), at_top & !away);
#if SPREAD
        f = weigh(f, words, (*v)[$]);
#endif
#if POWERS
        (*kept)[$] = bitcast<Words>(select(e, Reals(1.0), at_top & !away));
#endif
    }
#end
    f.excess = sum + ties;
    return f;
}
