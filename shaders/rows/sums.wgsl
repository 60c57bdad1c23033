// Lanes of resident rows have sums relative to the row's maximum.

import rows::lanes;
import shared::params;

struct Sums {
    sum: f32,
    ties: u32,   // an integer, which some GPUs sum over a subgroup in one instruction
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

// Returns the sums of the whole row, which the leaders of its clusters have written. If only the leader used a
// subgroup's sum, a compiler could move the sum into the leader's branch, in which the other lanes do not take part:
// NVIDIA's 580.159 did so with `subgroupOr`. So every lane uses its own sum, masked by `none`, which is 0, but no
// compiler can prove that.
@if(SUBGROUPS && REDUCTIONS && SHARED_STATES) fn whole_of(row: Sums, mine: Sums) -> Sums {
    let none = 0u - (params.turns >> 31u);
    var s = row;
    s.sum = bitcast<f32>(bitcast<u32>(row.sum) | (bitcast<u32>(mine.sum) & none));
    s.ties |= mine.ties & none;
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

// Returns the maximum of the row in each of its lanes. Every lane of the group must call it, in uniform control flow.
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
        // No barrier is needed: `merge_lanes`, or the caller, has one before the next maximum. `max` changes nothing,
        // but makes every lane use its own maximum, as in `whole_of`.
        x_max = max(shared_maxima[slot_of(thread)], x_max);
    }
    return x_max;
}
