// Lanes that have sums over what they keep, relative to the row's maximum.

import rows::lanes;
import shared::params;

struct Sums {
    sum: f32,
    ties: f32,
    flags: u32,
    label_logit: u32,
    @for(f in FIELDS) {f.name}: {f.scalar},
}

alias Merged = Sums;

fn merge(a: Sums, b: Sums) -> Sums {
    var s: Sums;
    s.sum = a.sum + b.sum;
    s.ties = a.ties + b.ties;
    s.flags = a.flags | b.flags;
    s.label_logit = a.label_logit | b.label_logit;
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
    whole.label_logit = subgroupOr(s.label_logit);
    @for(f in FIELDS) {
        @if(f.sums) whole.{f.name} = subgroupAdd(s.{f.name});
        @elif(f.least) whole.{f.name} = subgroupMin(s.{f.name});
        @else whole.{f.name} = s.{f.name};
    }
    return whole;
}

// The sums of the whole row, which its clusters' leaders have written. A compiler that sees a subgroup's sum used by
// its leader alone may move the sum into the leader's branch, where the other lanes are missing: NVIDIA's 580.159 did so
// with `subgroupOr`. So every lane uses its own: as bits that `none` takes away, which is 0 and no compiler knows it.
@if(SUBGROUPS && REDUCTIONS && SHARED_STATES) fn whole_of(row: Sums, mine: Sums) -> Sums {
    let none = 0u - (params.turns >> 31u);
    var s = row;
    s.sum = bitcast<f32>(bitcast<u32>(row.sum) | (bitcast<u32>(mine.sum) & none));
    s.ties = bitcast<f32>(bitcast<u32>(row.ties) | (bitcast<u32>(mine.ties) & none));
    s.flags |= mine.flags & none;
    s.label_logit |= mine.label_logit & none;
    @for(f in FIELDS) s.{f.name} = bitcast<{f.scalar}>(bitcast<u32>(row.{f.name}) | (bitcast<u32>(mine.{f.name}) & none));
    return s;
}

@if(SUBGROUPS && !REDUCTIONS) fn shuffled(s: Sums, mask: u32) -> Sums {
    var other: Sums;
    other.sum = subgroupShuffleXor(s.sum, mask);
    other.ties = subgroupShuffleXor(s.ties, mask);
    other.flags = subgroupShuffleXor(s.flags, mask);
    other.label_logit = subgroupShuffleXor(s.label_logit, mask);
    @for(f in FIELDS) other.{f.name} = subgroupShuffleXor(s.{f.name}, mask);
    return other;
}

@if(SHARED_STATES) var<workgroup> shared_maxima: array<f32, WORKGROUP / CLUSTER>;

// The maximum of the row, in each of its lanes. Every lane of the group must call it, in uniform
// control flow.
fn max_lanes(of_lane: f32, thread: u32) -> f32 {
    var x_max = of_lane;
    @if(SUBGROUPS && REDUCTIONS) x_max = subgroupMax(x_max);
    @if(SUBGROUPS && !REDUCTIONS) for (var mask = 1u; mask < CLUSTER; mask *= 2u) {
        x_max = max(x_max, subgroupShuffleXor(x_max, mask));
    }
    @if(SHARED_STATES) {
        let at = index_of_cluster(thread);
        if (leads(thread)) { shared_maxima[at] = x_max; }
        workgroupBarrier();
        for (var half = CLUSTERS / 2u; half > 0u; half /= 2u) {
            if (leads(thread) && cluster_of(thread) < half) {
                shared_maxima[at] = max(shared_maxima[at], shared_maxima[at + half * ROWS]);
            }
            workgroupBarrier();
        }
        // No barrier behind it: before the next maximum there are those of `merge_lanes`, or one. `max` changes nothing,
        // but every lane uses its own maximum: see `whole_of`.
        x_max = max(shared_maxima[slot_of(thread)], x_max);
    }
    return x_max;
}
