// Rows that are kept: a lane has the loads lane, lane + LANES, ... of the row, KEPT of them at most.

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
        let p = lane + $ * LANES;
        (*a)[$] = Words(NEG_INF);
        (*v_a)[$] = Reals(0.0);
#if EIGHT
        (*b)[$] = Words(NEG_INF);
        (*v_b)[$] = Reals(0.0);
#endif
        if ($ < FULL || p < range.end) {
            let pack = read_pack(places, p);
            let v = weights_of(places, p);
            (*a)[$] = pack.a;
            (*v_a)[$] = v.a;
#if EIGHT
            (*b)[$] = pack.b;
            (*v_b)[$] = v.b;
#endif
        }
    }
#end
}

#if WIDE
fn across(v: Reals) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn highest(v: Reals) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn bits_of(v: Words) -> u32 { return (v.x | v.y) | (v.z | v.w); }
#else
fn across(v: Reals) -> f32 { return v; }
fn highest(v: Reals) -> f32 { return v; }
fn bits_of(v: Words) -> u32 { return v; }
#endif

// The state of the row: first its maximum, then the sums below it. Every lane of the group must call
// it, in uniform control flow.
fn state_of_kept(
    a: ptr<function, Kept>,
    b: ptr<function, Kept>,
    v_a: ptr<function, KeptReals>,
    v_b: ptr<function, KeptReals>,
    hit: u32,
    thread: u32,
) -> State {
    var f = scan_kept(empty_fold(), a);
#if EIGHT
    f = scan_kept(f, b);
#endif
    let top = max_lanes(highest(f.top), thread);
    var s: Sums;
    let sums = sum_kept(Reals(top), a, v_a);
    s.sum = across(sums.sum);
    s.ties = across(sums.ties);
    s.flags = bits_of(flags_of(f));
    s.hit = hit;
#if SPREAD
    s.gap = across(sums.gap);
    s.mass = across(sums.mass);
    s.flags |= bits_of(sums.flags);
#endif
#if EIGHT
    let more = sum_kept(Reals(top), b, v_b);
    s.sum += across(more.sum);
    s.ties += across(more.ties);
#if SPREAD
    s.gap += across(more.gap);
    s.mass += across(more.mass);
    s.flags |= bits_of(more.flags);
#endif
#endif
    s = merge_lanes(s, thread);
    var state: State;
    state.top = top;
    state.excess = s.sum + (s.ties - 1.0);
    state.flags = s.flags;
    state.hit = s.hit;
#if SPREAD
    state.gap = s.gap;
    state.mass = s.mass;
#endif
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
