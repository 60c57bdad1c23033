// Lanes that have sums over what they kept, relative to the row's maximum.

import rows::lanes;

struct Sums {
    sum: f32,
    ties: f32,
    flags: u32,
    hit: u32,
    @if(SPREAD) gap: f32,
    @if(SPREAD) mass: f32,
    @if(ARGMAX) best: u32,
    @if(RANK) before: u32,
    @if(ENTROPY) moment: f32,
    @if(PRODUCT) product: f32,
    @if(PRODUCT) u_top: f32,   // the same in all lanes
}

alias Merged = Sums;

fn combine(a: Sums, b: Sums) -> Sums {
    var s: Sums;
    s.sum = a.sum + b.sum;
    s.ties = a.ties + b.ties;
    s.flags = a.flags | b.flags;
    s.hit = a.hit | b.hit;
    @if(SPREAD) s.gap = a.gap + b.gap;
    @if(SPREAD) s.mass = a.mass + b.mass;
    @if(ARGMAX) s.best = min(a.best, b.best);
    @if(RANK) s.before = a.before + b.before;
    @if(ENTROPY) s.moment = a.moment + b.moment;
    @if(PRODUCT) s.product = a.product + b.product;
    @if(PRODUCT) s.u_top = a.u_top;
    return s;
}

@if(SUBGROUPS && REDUCTIONS) fn reduced(s: Sums) -> Sums {
    var whole: Sums;
    whole.sum = subgroupAdd(s.sum);
    whole.ties = subgroupAdd(s.ties);
    whole.flags = subgroupOr(s.flags);
    whole.hit = subgroupOr(s.hit);
    @if(SPREAD) whole.gap = subgroupAdd(s.gap);
    @if(SPREAD) whole.mass = subgroupAdd(s.mass);
    @if(ARGMAX) whole.best = subgroupMin(s.best);
    @if(RANK) whole.before = subgroupAdd(s.before);
    @if(ENTROPY) whole.moment = subgroupAdd(s.moment);
    @if(PRODUCT) whole.product = subgroupAdd(s.product);
    @if(PRODUCT) whole.u_top = s.u_top;
    return whole;
}
@if(SUBGROUPS && !REDUCTIONS) fn shuffled(s: Sums, mask: u32) -> Sums {
    var other: Sums;
    other.sum = subgroupShuffleXor(s.sum, mask);
    other.ties = subgroupShuffleXor(s.ties, mask);
    other.flags = subgroupShuffleXor(s.flags, mask);
    other.hit = subgroupShuffleXor(s.hit, mask);
    @for(f in FIELDS) other.{f} = subgroupShuffleXor(s.{f}, mask);
    return other;
}

@if(SHARED_STATES) var<workgroup> shared_tops: array<f32, WORKGROUP / CLUSTER>;

// The maximum of the row, in each of its lanes. Every lane of the group must call it, in uniform
// control flow.
fn max_lanes(of_lane: f32, thread: u32) -> f32 {
    var top = of_lane;
    @if(SUBGROUPS && REDUCTIONS) top = subgroupMax(top);
    @if(SUBGROUPS && !REDUCTIONS) for (var mask = 1u; mask < CLUSTER; mask *= 2u) {
        top = max(top, subgroupShuffleXor(top, mask));
    }
    @if(SHARED_STATES) {
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
    }
    return top;
}
