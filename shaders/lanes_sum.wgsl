// Maxima and sums over the lanes of a row that is kept. Every lane of the group must call these
// functions, in uniform control flow; each gets what is the whole row's.

struct Sums {
    sum: f32,
    ties: f32,
    flags: u32,
    hit: u32,
#if SPREAD
    gap: f32,
    mass: f32,
#endif
}

#if SHARED_STATES
var<workgroup> shared_tops: array<f32, WORKGROUP / CLUSTER>;
var<workgroup> shared_sums: array<Sums, WORKGROUP / CLUSTER>;
#endif

fn max_lanes(lane_top: f32, thread: u32) -> f32 {
    var top = lane_top;
#if SUBGROUPS
#if WHOLE_SUBGROUPS
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
    top = shared_tops[slot_of(thread)];
    // No barrier: the next to write is `sum_lanes`, elsewhere.
#endif
    return top;
}

fn add_sums(a: Sums, b: Sums) -> Sums {
    var s: Sums;
    s.sum = a.sum + b.sum;
    s.ties = a.ties + b.ties;
    s.flags = a.flags | b.flags;
    s.hit = a.hit | b.hit;
#if SPREAD
    s.gap = a.gap + b.gap;
    s.mass = a.mass + b.mass;
#endif
    return s;
}

fn sum_lanes(lane_sums: Sums, thread: u32) -> Sums {
    var s = lane_sums;
#if SUBGROUPS
#if WHOLE_SUBGROUPS
    s.sum = subgroupAdd(s.sum);
    s.ties = subgroupAdd(s.ties);
    s.flags = subgroupOr(s.flags);
    s.hit = subgroupOr(s.hit);
#if SPREAD
    s.gap = subgroupAdd(s.gap);
    s.mass = subgroupAdd(s.mass);
#endif
#else
    for (var mask = 1u; mask < CLUSTER; mask *= 2u) {
        var other: Sums;
        other.sum = subgroupShuffleXor(s.sum, mask);
        other.ties = subgroupShuffleXor(s.ties, mask);
        other.flags = subgroupShuffleXor(s.flags, mask);
        other.hit = subgroupShuffleXor(s.hit, mask);
#if SPREAD
        other.gap = subgroupShuffleXor(s.gap, mask);
        other.mass = subgroupShuffleXor(s.mass, mask);
#endif
        s = add_sums(s, other);
    }
#endif
#endif
#if SHARED_STATES
    let place = place_of_cluster(thread);
    if (leads(thread)) { shared_sums[place] = s; }
    workgroupBarrier();
    for (var half = CLUSTERS / 2u; half > 0u; half /= 2u) {
        if (leads(thread) && cluster_of(thread) < half) {
            shared_sums[place] = add_sums(shared_sums[place], shared_sums[place + half * ROWS]);
        }
        workgroupBarrier();
    }
    s = shared_sums[slot_of(thread)];
    workgroupBarrier();
#endif
    return s;
}
