// Lanes that have sums over what they kept, relative to the row's maximum.

struct Sums {
    sum: f32,
    ties: f32,
    flags: u32,
    hit: u32,
#if SPREAD
    gap: f32,
    mass: f32,
#endif
#if ARGMAX
    best: u32,
#endif
#if RANK
    before: u32,
#endif
#if ENTROPY
    moment: f32,
#endif
#if PRODUCT
    product: f32,
    u_top: f32,   // the same in all lanes
#endif
}

alias Merged = Sums;

fn combine(a: Sums, b: Sums) -> Sums {
    var s: Sums;
    s.sum = a.sum + b.sum;
    s.ties = a.ties + b.ties;
    s.flags = a.flags | b.flags;
    s.hit = a.hit | b.hit;
#if SPREAD
    s.gap = a.gap + b.gap;
    s.mass = a.mass + b.mass;
#endif
#if ARGMAX
    s.best = min(a.best, b.best);
#endif
#if RANK
    s.before = a.before + b.before;
#endif
#if ENTROPY
    s.moment = a.moment + b.moment;
#endif
#if PRODUCT
    s.product = a.product + b.product;
    s.u_top = a.u_top;
#endif
    return s;
}

#if SUBGROUPS
#if REDUCTIONS
fn reduced(s: Sums) -> Sums {
    var whole: Sums;
    whole.sum = subgroupAdd(s.sum);
    whole.ties = subgroupAdd(s.ties);
    whole.flags = subgroupOr(s.flags);
    whole.hit = subgroupOr(s.hit);
#if SPREAD
    whole.gap = subgroupAdd(s.gap);
    whole.mass = subgroupAdd(s.mass);
#endif
#if ARGMAX
    whole.best = subgroupMin(s.best);
#endif
#if RANK
    whole.before = subgroupAdd(s.before);
#endif
#if ENTROPY
    whole.moment = subgroupAdd(s.moment);
#endif
#if PRODUCT
    whole.product = subgroupAdd(s.product);
    whole.u_top = s.u_top;
#endif
    return whole;
}
#else
fn shuffled(s: Sums, mask: u32) -> Sums {
    var other: Sums;
    other.sum = subgroupShuffleXor(s.sum, mask);
    other.ties = subgroupShuffleXor(s.ties, mask);
    other.flags = subgroupShuffleXor(s.flags, mask);
    other.hit = subgroupShuffleXor(s.hit, mask);
#fields
    other.@ = subgroupShuffleXor(s.@, mask);
#end
    return other;
}
#endif
#endif

#if SHARED_STATES
var<workgroup> shared_tops: array<f32, WORKGROUP / CLUSTER>;
#endif

// The maximum of the row, in each of its lanes. Every lane of the group must call it, in uniform
// control flow.
fn max_lanes(of_lane: f32, thread: u32) -> f32 {
    var top = of_lane;
#if SUBGROUPS
#if REDUCTIONS
    top = subgroupMax(top);
#else
    for (var mask = 1u; mask < CLUSTER; mask *= 2u) {
        top = max(top, subgroupShuffleXor(top, mask));
    }
#endif
#endif
#if SHARED_STATES
    let place = place_of_cluster(thread);
    if (leads(thread)) { shared_tops[place] = top; }
    workgroupBarrier();
    for (var half = CLUSTERS / 2u; half > 0u; half /= 2u) {
        if (leads(thread) && cluster_of(thread) < half) {
            shared_tops[place] = max(shared_tops[place], shared_tops[place + half * ROWS]);
        }
        workgroupBarrier();
    }
    // No barrier behind it: before the next maximum there are those of `merge_lanes`, or one.
    top = shared_tops[slot_of(thread)];
#endif
    return top;
}
