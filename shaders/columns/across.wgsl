// Resident classes of neighbouring rows: a load has one class of all of a lane's rows.

import columns::loads;
import shared::{offsets, resident, tensor, vectors};

fn load_resident(
    offsets: Offsets,
    a: ptr<function, Resident>,
    b: ptr<function, Resident>,
    v_a: ptr<function, ResidentReals>,
    v_b: ptr<function, ResidentReals>,
) {
    @for(k in REGISTERS) {
        {
            let pack = read_whole(offsets, {k});
            let v = weights_of(offsets, {k});
            (*a)[{k}] = pack.a;
            (*v_a)[{k}] = v.a;
            @if(EIGHT) (*b)[{k}] = pack.b;
            @if(EIGHT) (*v_b)[{k}] = v.b;
        }
    }
}

@if(DISTRIBUTION) fn put_distribution_resident(offsets: Offsets, a: ptr<function, Resident>, b: ptr<function, Resident>) {
    @for(k in REGISTERS) write_distribution(offsets.distribution + offset_of({k}), pack_of((*a)[{k}], (*b)[{k}]));
}

@if(GRAD) fn put_grad_resident(offsets: Offsets, a: ptr<function, Resident>, b: ptr<function, Resident>) {
    @for(k in REGISTERS) write_grad(offsets.grad + offset_of({k}), pack_of((*a)[{k}], (*b)[{k}]));
}
