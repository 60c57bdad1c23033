// What a lane of neighbouring rows keeps: a load has one class of all of them.

fn keep(
    places: Places,
    a: ptr<function, Kept>,
    b: ptr<function, Kept>,
    v_a: ptr<function, KeptReals>,
    v_b: ptr<function, KeptReals>,
) {
    let stride = params.inner / PACK;
#each
    {
        let pack = read_logits(places.logits + $ * stride);
        let v = weights_of(places, $, $ * stride);
        (*a)[$] = pack.a;
        (*v_a)[$] = v.a;
#if EIGHT
        (*b)[$] = pack.b;
        (*v_b)[$] = v.b;
#endif
    }
#end
}

#if ELEMENTS
fn put_elements_kept(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    let stride = params.inner / PACK;
#each
    write_elements(places.elements + $ * stride, pack_of((*a)[$], (*b)[$]));
#end
}
#endif

#if GRAD
fn put_grad_kept(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    let stride = params.inner / PACK;
#each
    write_grad(places.grad + $ * stride, pack_of((*a)[$], (*b)[$]));
#end
}
#endif
