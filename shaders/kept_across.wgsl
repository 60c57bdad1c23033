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
        let pack = unpacked(logits[places.logits + $ * stride]);
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
fn put_elements(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    let stride = params.inner / PACK;
#each
    elements[places.elements + $ * stride] = packed(pack_of((*a)[$], (*b)[$]));
#end
}
#endif

#if GRAD
fn put_gradient(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    let stride = params.inner / PACK;
#each
#if IN_PLACE
    logits[places.logits + $ * stride] = packed(pack_of((*a)[$], (*b)[$]));
#else
    grad[places.grad + $ * stride] = packed(pack_of((*a)[$], (*b)[$]));
#endif
#end
}
#endif
