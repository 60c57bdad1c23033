// Rows that are kept: a lane has the loads lane, lane + LANES, ... of the row, KEPT of them at most.
//
// Every lane loads KEPT times: where there is no load left for it, its first one again. A branch would hold
// the last loads back until the ones in front of it have arrived: compilers widen these before it.

fn keep(
    places: Places,
    range: Range,
    lane: u32,
    a: ptr<function, Kept>,
    b: ptr<function, Kept>,
    v_a: ptr<function, KeptReals>,
    v_b: ptr<function, KeptReals>,
) {
#each
    {
        let turn = lane + $ * LANES;
        let here = $ < FULL || turn < range.end;
        let p = select(min(lane, range.end - 1u), turn, here);
        let pack = read_pack(places, p);
        let v = weights_of(places, p);
        (*a)[$] = select(Words(NEG_INF), pack.a, here);
        (*v_a)[$] = select(Reals(0.0), v.a, here);
#if EIGHT
        (*b)[$] = select(Words(NEG_INF), pack.b, here);
        (*v_b)[$] = select(Reals(0.0), v.b, here);
#endif
    }
#end
}

#if WIDE
fn across(v: Reals) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn highest(v: Reals) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn bits_of(v: Words) -> u32 { return (v.x | v.y) | (v.z | v.w); }
fn least(v: Words) -> u32 { return min(min(v.x, v.y), min(v.z, v.w)); }
fn in_all(v: Words) -> u32 { return (v.x + v.y) + (v.z + v.w); }
#else
fn across(v: Reals) -> f32 { return v; }
fn highest(v: Reals) -> f32 { return v; }
fn bits_of(v: Words) -> u32 { return v; }
fn least(v: Words) -> u32 { return v; }
fn in_all(v: Words) -> u32 { return v; }
#endif

// The classes of a lane's first load, and those of its load number k from there.
fn first_classes(lane: u32) -> Pack {
    var places: Places;
    return classes_of(places, lane);
}

fn number_of_kept(first: Words, k: Words) -> Words { return first + PACK * LANES * k; }

// The sums over the components of a lane's loads.
fn sums_of(kept: KeptSums) -> Sums {
    var s: Sums;
    s.sum = across(kept.sum);
    s.ties = across(kept.ties);
#if SPREAD
    s.gap = across(kept.gap);
    s.mass = across(kept.mass);
    s.flags = bits_of(kept.flags);
#endif
#if ARGMAX
    s.best = least(kept.best);
#endif
#if RANK
    s.before = in_all(kept.before);
#endif
#if ENTROPY
    s.moment = across(kept.moment);
#endif
#if PRODUCT
    s.product = across(kept.product);
    s.u_top = highest(kept.u_top);
#endif
    return s;
}

// The state of the row: first its maximum, then the sums below it. Every lane of the group must call
// it, in uniform control flow.
fn state_of_kept(
    a: ptr<function, Kept>,
    b: ptr<function, Kept>,
    v_a: ptr<function, KeptReals>,
    v_b: ptr<function, KeptReals>,
    hit: u32,
    mark: Mark,
    thread: u32,
) -> State {
    var f = scan_kept(empty_fold(), a);
#if EIGHT
    f = scan_kept(f, b);
#endif
    let top = max_lanes(highest(f.top), thread);
    // Load $ of the lane is number lane + $ LANES of the row.
    let first = first_classes(lane_of(thread));
    var u_top: Reals;
#if PRODUCT
#if SHARED_STATES
    workgroupBarrier();   // all lanes have the first maximum
#endif
    u_top = u_top_of(Reals(top), a, v_a);
#if EIGHT
    u_top = max(u_top, u_top_of(Reals(top), b, v_b));
#endif
    u_top = Reals(max_lanes(highest(u_top), thread));
#endif
    var s = sums_of(sum_kept(Reals(top), u_top, a, v_a, first.a, mark));
#if EIGHT
    s = combine(s, sums_of(sum_kept(Reals(top), u_top, b, v_b, first.b, mark)));
#endif
    s.flags |= bits_of(flags_of(f));
    s.hit = hit;
    s = merge_lanes(s, thread);
    var state: State;
    state.top = top;
    // The 1 is taken away as an integer: as a float, a compiler may take it from the sum, which drowns in it.
    state.excess = s.sum + f32(i32(s.ties) - 1);
    state.flags = s.flags;
    state.hit = s.hit;
#fields
    state.@ = s.@;
#end
    return state;
}

#if WRITES
fn write_kept(
    w: Writers,
    places: Places,
    range: Range,
    lane: u32,
    a: ptr<function, Kept>,
    b: ptr<function, Kept>,
    v_a: ptr<function, KeptReals>,
    v_b: ptr<function, KeptReals>,
) {
#each
    {
        let p = lane + $ * LANES;
        if ($ < FULL || p < range.end) {
            var v: PackReals;
            v.a = (*v_a)[$];
#if EIGHT
            v.b = (*v_b)[$];
#endif
            let pack = pack_of((*a)[$], (*b)[$]);
            write_pack(w, places, place_of(p), pack, classes_of(places, p), v);
        }
    }
#end
}
#endif
