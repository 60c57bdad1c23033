// What a lane of short rows keeps: its PACK rows follow each other in memory, PACK * KEPT elements in
// KEPT loads. They go through `Flat`, an array of single elements that exists in registers only: every
// index is a constant, so turning rows into classes moves nothing.

alias Flat = array<u32, PACK * KEPT>;

fn keep(
    places: Places,
    a: ptr<function, Kept>,
    b: ptr<function, Kept>,
    v_a: ptr<function, KeptReals>,
    v_b: ptr<function, KeptReals>,
) {
    var flat: Flat;
#each
    {
        let pack = unpacked(logits[places.logits + $]);
        flat[PACK * $] = pack.a.x;
        flat[PACK * $ + 1u] = pack.a.y;
        flat[PACK * $ + 2u] = pack.a.z;
        flat[PACK * $ + 3u] = pack.a.w;
#if EIGHT
        flat[PACK * $ + 4u] = pack.b.x;
        flat[PACK * $ + 5u] = pack.b.y;
        flat[PACK * $ + 6u] = pack.b.z;
        flat[PACK * $ + 7u] = pack.b.w;
#endif
    }
#end
    by_class(&flat, a, b);
#if SPREAD
    var q_a: Kept;
    var q_b: Kept;
#if PROBABILITIES
#each
    {
        let pack = unpacked(probabilities[places.probabilities + $]);
        flat[PACK * $] = pack.a.x;
        flat[PACK * $ + 1u] = pack.a.y;
        flat[PACK * $ + 2u] = pack.a.z;
        flat[PACK * $ + 3u] = pack.a.w;
#if EIGHT
        flat[PACK * $ + 4u] = pack.b.x;
        flat[PACK * $ + 5u] = pack.b.y;
        flat[PACK * $ + 6u] = pack.b.z;
        flat[PACK * $ + 7u] = pack.b.w;
#endif
    }
#end
    by_class(&flat, &q_a, &q_b);
#endif
#each
    (*v_a)[$] = share(bitcast<Reals>(q_a[$]), Reals(class_weight($)));
#if EIGHT
    (*v_b)[$] = share(bitcast<Reals>(q_b[$]), Reals(class_weight($)));
#endif
#end
#endif
}

// The elements of the rows as vectors over rows, one for each class.
fn by_class(flat: ptr<function, Flat>, a: ptr<function, Kept>, b: ptr<function, Kept>) {
#each
    (*a)[$] = Words(
        (*flat)[$], (*flat)[KEPT + $], (*flat)[2u * KEPT + $], (*flat)[3u * KEPT + $]);
#if EIGHT
    (*b)[$] = Words(
        (*flat)[4u * KEPT + $], (*flat)[5u * KEPT + $],
        (*flat)[6u * KEPT + $], (*flat)[7u * KEPT + $]);
#endif
#end
}

#if WRITES
// And back.
fn by_row(flat: ptr<function, Flat>, a: ptr<function, Kept>, b: ptr<function, Kept>) {
#each
    (*flat)[$] = (*a)[$].x;
    (*flat)[KEPT + $] = (*a)[$].y;
    (*flat)[2u * KEPT + $] = (*a)[$].z;
    (*flat)[3u * KEPT + $] = (*a)[$].w;
#if EIGHT
    (*flat)[4u * KEPT + $] = (*b)[$].x;
    (*flat)[5u * KEPT + $] = (*b)[$].y;
    (*flat)[6u * KEPT + $] = (*b)[$].z;
    (*flat)[7u * KEPT + $] = (*b)[$].w;
#endif
#end
}
#endif

#if ELEMENTS
fn put_elements(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    var flat: Flat;
    by_row(&flat, a, b);
    var out: Pack;
#each
    out.a = Words(flat[PACK * $], flat[PACK * $ + 1u], flat[PACK * $ + 2u], flat[PACK * $ + 3u]);
#if EIGHT
    out.b = Words(flat[8u * $ + 4u], flat[8u * $ + 5u], flat[8u * $ + 6u], flat[8u * $ + 7u]);
#endif
    elements[places.elements + $] = packed(out);
#end
}
#endif

#if GRAD
fn put_gradient(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    var flat: Flat;
    by_row(&flat, a, b);
    var out: Pack;
#each
    out.a = Words(flat[PACK * $], flat[PACK * $ + 1u], flat[PACK * $ + 2u], flat[PACK * $ + 3u]);
#if EIGHT
    out.b = Words(flat[8u * $ + 4u], flat[8u * $ + 5u], flat[8u * $ + 6u], flat[8u * $ + 7u]);
#endif
#if IN_PLACE
    logits[places.logits + $] = packed(out);
#else
    grad[places.grad + $] = packed(out);
#endif
#end
}
#endif
