// Lanes that have states.

alias Merged = State;

fn combine(a: State, b: State) -> State { return merge(a, b); }

#if SUBGROUPS
fn shuffled(s: State, mask: u32) -> State {
    var other: State;
    other.top = subgroupShuffleXor(s.top, mask);
    other.excess = subgroupShuffleXor(s.excess, mask);
    other.flags = subgroupShuffleXor(s.flags, mask);
    other.hit = subgroupShuffleXor(s.hit, mask);
#if SPREAD
    other.gap = subgroupShuffleXor(s.gap, mask);
    other.mass = subgroupShuffleXor(s.mass, mask);
#endif
#if ARGMAX
    other.best = subgroupShuffleXor(s.best, mask);
#endif
#if RANK
    other.before = subgroupShuffleXor(s.before, mask);
#endif
#if ENTROPY
    other.moment = subgroupShuffleXor(s.moment, mask);
#endif
#if PRODUCT
    other.product = subgroupShuffleXor(s.product, mask);
#endif
    return other;
}
#endif
