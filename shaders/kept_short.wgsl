// What a lane of short rows keeps: its PACK rows follow each other in memory, PACK * KEPT elements in
// KEPT loads. Loads become vectors over rows, one for each class, and back, by way of single elements in
// the order of memory. All of it is in registers and every index a constant, so nothing moves.

alias Packs = array<Pack, KEPT>;
alias Flat = array<u32, PACK * KEPT>;

fn keep(
    places: Places,
    a: ptr<function, Kept>,
    b: ptr<function, Kept>,
    v_a: ptr<function, KeptReals>,
    v_b: ptr<function, KeptReals>,
) {
    var packs: Packs;
#each
    packs[$] = read_logits(places.logits + $);
#end
    by_class(&packs, a, b);
#if SPREAD
    var q_a: Kept;
    var q_b: Kept;
#if PROBABILITIES
#each
    packs[$] = read_probabilities(places.probabilities + $);
#end
    by_class(&packs, &q_a, &q_b);
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
fn by_class(packs: ptr<function, Packs>, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    var flat: Flat;
#each
    flat[PACK * $] = (*packs)[$].a.x;
    flat[PACK * $ + 1u] = (*packs)[$].a.y;
    flat[PACK * $ + 2u] = (*packs)[$].a.z;
    flat[PACK * $ + 3u] = (*packs)[$].a.w;
#if EIGHT
    flat[PACK * $ + 4u] = (*packs)[$].b.x;
    flat[PACK * $ + 5u] = (*packs)[$].b.y;
    flat[PACK * $ + 6u] = (*packs)[$].b.z;
    flat[PACK * $ + 7u] = (*packs)[$].b.w;
#endif
#end
#each
    (*a)[$] = Words(flat[$], flat[KEPT + $], flat[2u * KEPT + $], flat[3u * KEPT + $]);
#if EIGHT
    (*b)[$] = Words(
        flat[4u * KEPT + $], flat[5u * KEPT + $], flat[6u * KEPT + $], flat[7u * KEPT + $]);
#endif
#end
}

#if WRITES
// And back.
fn by_row(packs: ptr<function, Packs>, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    var flat: Flat;
#each
    flat[$] = (*a)[$].x;
    flat[KEPT + $] = (*a)[$].y;
    flat[2u * KEPT + $] = (*a)[$].z;
    flat[3u * KEPT + $] = (*a)[$].w;
#if EIGHT
    flat[4u * KEPT + $] = (*b)[$].x;
    flat[5u * KEPT + $] = (*b)[$].y;
    flat[6u * KEPT + $] = (*b)[$].z;
    flat[7u * KEPT + $] = (*b)[$].w;
#endif
#end
#each
    (*packs)[$].a = Words(
        flat[PACK * $], flat[PACK * $ + 1u], flat[PACK * $ + 2u], flat[PACK * $ + 3u]);
#if EIGHT
    (*packs)[$].b = Words(
        flat[PACK * $ + 4u], flat[PACK * $ + 5u], flat[PACK * $ + 6u], flat[PACK * $ + 7u]);
#endif
#end
}
#endif

#if ELEMENTS
fn put_elements_kept(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    var packs: Packs;
    by_row(&packs, a, b);
#each
    write_elements(places.elements + $, packs[$]);
#end
}
#endif

#if GRAD
fn put_grad_kept(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    var packs: Packs;
    by_row(&packs, a, b);
#each
    write_grad(places.grad + $, packs[$]);
#end
}
#endif
