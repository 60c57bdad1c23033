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
