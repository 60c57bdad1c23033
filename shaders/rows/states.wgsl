// Lanes of streaming rows have states.

import shared::{fold, state};

alias Merged = State;

fn merge(a: State, b: State) -> State { return merge_state(a, b); }

@if(SUBGROUPS) fn shuffled(s: State, mask: u32) -> State {
    var other: State;
    other.max = subgroupShuffleXor(s.max, mask);
    other.sum_exp_m1 = subgroupShuffleXor(s.sum_exp_m1, mask);
    other.flags = subgroupShuffleXor(s.flags, mask);
    other.label_logit = subgroupShuffleXor(s.label_logit, mask);
    @for(f in FIELDS) other.{f.name} = subgroupShuffleXor(s.{f.name}, mask);
    return other;
}
