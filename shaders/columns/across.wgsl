// What a lane of neighbouring rows keeps: a load has one class of all of them.

import columns::loads;
import shared::{kept, params, places, tensor, words};
@if(SCALED) import shared::logits;

fn keep(
    places: Places,
    a: ptr<function, Kept>,
    b: ptr<function, Kept>,
    v_a: ptr<function, KeptReals>,
    v_b: ptr<function, KeptReals>,
) {
    let stride = params.inner / PACK;
    @for(k in REGISTERS) {
        {
            let pack = read_logits(places.logits + {k} * stride);
            let v = weights_of(places, {k}, {k} * stride);
            (*a)[{k}] = pack.a;
            (*v_a)[{k}] = v.a;
            @if(EIGHT) (*b)[{k}] = pack.b;
            @if(EIGHT) (*v_b)[{k}] = v.b;
        }
    }
}

@if(ELEMENTS) fn put_elements_kept(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    let stride = params.inner / PACK;
    @for(k in REGISTERS) write_elements(places.elements + {k} * stride, pack_of((*a)[{k}], (*b)[{k}]));
}

@if(GRAD) fn put_grad_kept(places: Places, a: ptr<function, Kept>, b: ptr<function, Kept>) {
    let stride = params.inner / PACK;
    @for(k in REGISTERS) write_grad(places.grad + {k} * stride, pack_of((*a)[{k}], (*b)[{k}]));
}
