// Resident rows: a lane has the loads lane, lane + LANES, ... of the row, RESIDENT_LOADS of them at most.
//
// Every lane loads RESIDENT_LOADS times; if it has fewer loads, it reads its first one again. With a branch the last
// loads would wait for the earlier ones, because compilers convert those before the branch.

import rows::{lanes, loads, merge, sums};
@if(SQUARES) import fields::exp_gap_sum;
import shared::{arithmetic, fold, offsets, resident, state, vectors};
@if(FINITE_PATH) import shared::tensor;
@if(WRITES) import shared::writer;

// FINITE_PATH: returns true if none of them is NaN or infinite.
fn load_resident(
    offsets: Offsets,
    range: Range,
    lane: u32,
    a: ptr<function, Resident>,
    b: ptr<function, Resident>,
    v_a: ptr<function, ResidentReals>,
    v_b: ptr<function, ResidentReals>,
) -> bool {
    var carries = 0u;
    @for(k in REGISTERS) {
        {
            let turn = lane + {k} * LANES;
            let here = {k} < FULL || turn < range.end;
            let p = select(min(lane, range.end - 1u), turn, here);
            @if(FINITE_PATH) {
                let loaded = load_logits(offsets.logits + offset_of(p));
                carries |= carries_logits(loaded);
                let pack = widened_logits(loaded);
            }
            @else let pack = read_pack(offsets, p);
            let v = weights_of(offsets, p);
            (*a)[{k}] = select(Words(NEG_INF), pack.a, here);
            (*v_a)[{k}] = select(Reals(0.0), v.a, here);
            @if(EIGHT) (*b)[{k}] = select(Words(NEG_INF), pack.b, here);
            @if(EIGHT) (*v_b)[{k}] = select(Reals(0.0), v.b, here);
        }
    }
    @if(FINITE_PATH) return is_finite_logits(carries);
    @else return false;
}

@if(WIDE) {
fn across(v: Reals) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn highest(v: Reals) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn bits_of(v: Words) -> u32 { return (v.x | v.y) | (v.z | v.w); }
fn least(v: Words) -> u32 { return min(min(v.x, v.y), min(v.z, v.w)); }
fn in_all(v: Words) -> u32 { return (v.x + v.y) + (v.z + v.w); }
}
@else {
fn across(v: Reals) -> f32 { return v; }
fn highest(v: Reals) -> f32 { return v; }
fn bits_of(v: Words) -> u32 { return v; }
fn least(v: Words) -> u32 { return v; }
fn in_all(v: Words) -> u32 { return v; }
}

// Returns the classes of a lane's first load; `class_of_load` derives those of load k.
fn first_classes(lane: u32) -> Pack {
    var offsets: Offsets;
    return classes_of(offsets, lane);
}

fn class_of_load(first: Words, k: Words) -> Words { return first + PACK * LANES * k; }

// Returns the sums over the components of a lane's loads.
fn sums_of(resident: ResidentSums) -> Sums {
    var s: Sums;
    s.sum = across(resident.sum);
    s.ties = u32(across(round(resident.all - resident.sum)));
    @if(DENSE_TARGET) s.flags = bits_of(resident.flags);
    @for(f in FIELDS) {
        @if(f.sums && f.is_real) s.{f.name} = across(resident.{f.name});
        @elif(f.sums) s.{f.name} = in_all(resident.{f.name});
        @elif(f.least) s.{f.name} = least(resident.{f.name});
        @else s.{f.name} = highest(resident.{f.name});
    }
    return s;
}

// Returns the sums over a lane's loads.
@for(path in PATHS) fn sums_of_lane{path.name}(
    x_max: Reals,
    u_max: Reals,
    a: ptr<function, Resident>,
    b: ptr<function, Resident>,
    v_a: ptr<function, ResidentReals>,
    v_b: ptr<function, ResidentReals>,
    first: Pack,
    label_key: LabelKey,
) -> Sums {
    var s = sums_of(sum_resident{path.name}(x_max, u_max, a, v_a, first.a, label_key));
    @if(EIGHT) s = merge(s, sums_of(sum_resident{path.name}(x_max, u_max, b, v_b, first.b, label_key)));
    return s;
}

// Returns the state of the row: its maximum first, then the sums below it. Every lane of the group must call it, in
// uniform control flow.
fn state_of_resident(
    a: ptr<function, Resident>,
    b: ptr<function, Resident>,
    v_a: ptr<function, ResidentReals>,
    v_b: ptr<function, ResidentReals>,
    label_logit: u32,
    label_key: LabelKey,
    finite: bool,
    thread: u32,
) -> State {
    var f = with_maxima(empty_fold(), a);
    @if(EIGHT) f = with_maxima(f, b);
    if (!finite) {
        f = noted(f, a);
        @if(EIGHT) f = noted(f, b);
    }
    let x_max = max_lanes(highest(f.max), thread);
    // Load k of the lane is number lane + k LANES of the row.
    let first = first_classes(lane_of(thread));
    var u_max: Reals;
    @if(PRODUCT) {
        @if(SHARED_STATES) workgroupBarrier();   // all lanes have the first maximum
        u_max = u_max_of(Reals(x_max), a, v_a);
        @if(EIGHT) u_max = max(u_max, u_max_of(Reals(x_max), b, v_b));
        u_max = Reals(max_lanes(highest(u_max), thread));
    }
    var s: Sums;
    @if(FINITE_PATH) {
        if (finite) {
            s = sums_of_lane_finite(Reals(x_max), u_max, a, b, v_a, v_b, first, label_key);
        } else {
            s = sums_of_lane(Reals(x_max), u_max, a, b, v_a, v_b, first, label_key);
        }
    }
    @else s = sums_of_lane(Reals(x_max), u_max, a, b, v_a, v_b, first, label_key);
    s.flags |= bits_of(flags_of(f));
    s.label_logit = label_logit;
    s = merge_lanes(s, thread);
    var state: State;
    state.max = x_max;
    // The 1 is subtracted as an integer. From a float, a compiler could subtract it from the sum, and round the sum
    // away.
    state.sum_exp_m1 = s.sum + f32(i32(s.ties) - 1);
    state.flags = s.flags;
    state.label_logit = s.label_logit;
    @for(f in FIELDS) state.{f.name} = s.{f.name};
    @if(SQUARES) {
        let mean = Reals(mean_gap_of_state(state));
        var squares = across(squares_of(Reals(x_max), mean, a));
        @if(EIGHT) squares += across(squares_of(Reals(x_max), mean, b));
        var of_lane: Sums;
        of_lane.squares = squares;
        state.squares = merge_lanes(of_lane, thread).squares;
    }
    return state;
}

@if(WRITES) fn write_resident(
    w: Writers,
    offsets: Offsets,
    range: Range,
    lane: u32,
    a: ptr<function, Resident>,
    b: ptr<function, Resident>,
    v_a: ptr<function, ResidentReals>,
    v_b: ptr<function, ResidentReals>,
) {
    @if(PLAIN_GRAD) if (w.plain) {
        write_plain(w, offsets, range, lane, a, b);
        return;
    }
    @for(k in REGISTERS) {
        {
            let p = lane + {k} * LANES;
            if ({k} < FULL || p < range.end) {
                var v: PackReals;
                @for(h in HALVES) v.{h} = (*v_{h})[{k}];
                let pack = pack_of((*a)[{k}], (*b)[{k}]);
                write_pack(w, offsets, offset_of(p), pack, classes_of(offsets, p), v);
            }
        }
    }
}

@if(PLAIN_GRAD) fn write_plain(
    w: Writers,
    offsets: Offsets,
    range: Range,
    lane: u32,
    a: ptr<function, Resident>,
    b: ptr<function, Resident>,
) {
    let label_load = label_load_of(w.a.class_index.x, offsets);
    @for(k in REGISTERS) {
        {
            let p = lane + {k} * LANES;
            let here = {k} < FULL || p < range.end;
            if (here) {
                var out = plain_gradients(w, pack_of((*a)[{k}], (*b)[{k}]));
                if (p == label_load) { out = with_label(w, out, classes_of(offsets, p)); }
                write_finite_grad(offsets.grad + offset_of(p), out);
            }
        }
    }
}
