// Resident classes of neighbouring rows: a load has one class of all of a lane's rows.

import columns::loads;
import shared::{offsets, params, resident, tensor, vectors};
@if(SCALED) import shared::logits;

fn load_resident(
    offsets: Offsets,
    a: ptr<function, Resident>,
    b: ptr<function, Resident>,
    v_a: ptr<function, ResidentReals>,
    v_b: ptr<function, ResidentReals>,
) {
    let stride = params.inner / PACK;
    @for(k in REGISTERS) {
        {
            let pack = read_logits(offsets.logits + {k} * stride);
            let v = weights_of(offsets, {k}, {k} * stride);
            (*a)[{k}] = pack.a;
            (*v_a)[{k}] = v.a;
            @if(EIGHT) (*b)[{k}] = pack.b;
            @if(EIGHT) (*v_b)[{k}] = v.b;
        }
    }
}

@if(DISTRIBUTION) fn put_distribution_resident(offsets: Offsets, a: ptr<function, Resident>, b: ptr<function, Resident>) {
    let stride = params.inner / PACK;
    @for(k in REGISTERS) write_distribution(offsets.distribution + {k} * stride, pack_of((*a)[{k}], (*b)[{k}]));
}

@if(GRAD) fn put_grad_resident(offsets: Offsets, a: ptr<function, Resident>, b: ptr<function, Resident>) {
    let stride = params.inner / PACK;
    @for(k in REGISTERS) write_grad(offsets.grad + {k} * stride, pack_of((*a)[{k}], (*b)[{k}]));
}
