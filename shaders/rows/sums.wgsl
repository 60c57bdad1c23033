// Lanes that have sums over what they kept, relative to the row's maximum.

import rows::lanes;

struct Sums {
    sum: f32,
    ties: f32,
    flags: u32,
    hit: u32,
    @for(f in FIELDS) {f.name}: {f.scalar},
}

alias Merged = Sums;

fn combine(a: Sums, b: Sums) -> Sums {
    var s: Sums;
    s.sum = a.sum + b.sum;
    s.ties = a.ties + b.ties;
    s.flags = a.flags | b.flags;
    s.hit = a.hit | b.hit;
    @for(f in FIELDS) {
        @if(f.sums) s.{f.name} = a.{f.name} + b.{f.name};
        @elif(f.least) s.{f.name} = min(a.{f.name}, b.{f.name});
        @else s.{f.name} = a.{f.name};
    }
    return s;
}

@if(SUBGROUPS && REDUCTIONS) fn reduced(s: Sums) -> Sums {
    var whole: Sums;
    whole.sum = subgroupAdd(s.sum);
    whole.ties = subgroupAdd(s.ties);
    whole.flags = subgroupOr(s.flags);
    whole.hit = subgroupOr(s.hit);
    @for(f in FIELDS) {
        @if(f.sums) whole.{f.name} = subgroupAdd(s.{f.name});
        @elif(f.least) whole.{f.name} = subgroupMin(s.{f.name});
        @else whole.{f.name} = s.{f.name};
    }
    return whole;
}

@if(SUBGROUPS && !REDUCTIONS) fn shuffled(s: Sums, mask: u32) -> Sums {
    var other: Sums;
    other.sum = subgroupShuffleXor(s.sum, mask);
    other.ties = subgroupShuffleXor(s.ties, mask);
    other.flags = subgroupShuffleXor(s.flags, mask);
    other.hit = subgroupShuffleXor(s.hit, mask);
    @for(f in FIELDS) other.{f.name} = subgroupShuffleXor(s.{f.name}, mask);
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
