// Resident classes of short rows. The PACK rows of a lane are consecutive in memory: PACK * RESIDENT_LOADS elements
// in RESIDENT_LOADS loads. Loads are transposed into vectors over rows, one for each class, and back. All values are
// in registers and every index is a constant, so the transpositions cost no instructions.

import shared::{offsets, resident, row, tensor, vectors};
@if(STAGED) import columns::staged;
@if(SCALED) import shared::logits;

alias Packs = array<Pack, RESIDENT_LOADS>;
alias Flat = array<u32, PACK * RESIDENT_LOADS>;

fn load_resident(
    offsets: Offsets,
    a: ptr<function, Resident>,
    b: ptr<function, Resident>,
    v_a: ptr<function, ResidentReals>,
    v_b: ptr<function, ResidentReals>,
) {
    var packs: Packs;
    @if(STAGED) stage_logits(offsets);
    @for(k in REGISTERS) {
        @if(STAGED) packs[{k}] = read_logits(own_place(offsets, {k}));
        @else packs[{k}] = read_logits(offsets.logits + {k});
    }
    by_class(&packs, a, b);
    @if(DENSE_TARGET) {
        var q_a: Resident;
        var q_b: Resident;
        @if(PROBABILITIES) read_shares(&packs, offsets);
        @if(PROBABILITIES) by_class(&packs, &q_a, &q_b);
        @for(k in REGISTERS) {
            @for(h in HALVES) (*v_{h})[{k}] = share(bitcast<Reals>(q_{h}[{k}]), Reals(class_weight({k})));
        }
    }
}

@if(PROBABILITIES) fn read_shares(packs: ptr<function, Packs>, offsets: Offsets) {
    @if(STAGED) stage_probabilities(offsets);
    @for(k in REGISTERS) {
        @if(STAGED) (*packs)[{k}] = read_probabilities(own_place(offsets, {k}));
        @else (*packs)[{k}] = read_probabilities(offsets.probabilities + {k});
    }
}

// Transposes loads into vectors over rows, one for each class.
fn by_class(packs: ptr<function, Packs>, a: ptr<function, Resident>, b: ptr<function, Resident>) {
    var flat: Flat;
    @for(k in REGISTERS) {
        flat[PACK * {k}] = (*packs)[{k}].a.x;
        flat[PACK * {k} + 1u] = (*packs)[{k}].a.y;
        flat[PACK * {k} + 2u] = (*packs)[{k}].a.z;
        flat[PACK * {k} + 3u] = (*packs)[{k}].a.w;
        @if(EIGHT) {
            flat[PACK * {k} + 4u] = (*packs)[{k}].b.x;
            flat[PACK * {k} + 5u] = (*packs)[{k}].b.y;
            flat[PACK * {k} + 6u] = (*packs)[{k}].b.z;
            flat[PACK * {k} + 7u] = (*packs)[{k}].b.w;
        }
    }
    @for(k in REGISTERS) {
        (*a)[{k}] = Words(flat[{k}], flat[RESIDENT_LOADS + {k}],
            flat[2u * RESIDENT_LOADS + {k}], flat[3u * RESIDENT_LOADS + {k}]);
        @if(EIGHT) (*b)[{k}] = Words(
            flat[4u * RESIDENT_LOADS + {k}], flat[5u * RESIDENT_LOADS + {k}],
            flat[6u * RESIDENT_LOADS + {k}], flat[7u * RESIDENT_LOADS + {k}]);
    }
}

// Transposes vectors over rows into loads.
@if(WRITES) fn by_row(packs: ptr<function, Packs>, a: ptr<function, Resident>, b: ptr<function, Resident>) {
    var flat: Flat;
    @for(k in REGISTERS) {
        flat[{k}] = (*a)[{k}].x;
        flat[RESIDENT_LOADS + {k}] = (*a)[{k}].y;
        flat[2u * RESIDENT_LOADS + {k}] = (*a)[{k}].z;
        flat[3u * RESIDENT_LOADS + {k}] = (*a)[{k}].w;
        @if(EIGHT) {
            flat[4u * RESIDENT_LOADS + {k}] = (*b)[{k}].x;
            flat[5u * RESIDENT_LOADS + {k}] = (*b)[{k}].y;
            flat[6u * RESIDENT_LOADS + {k}] = (*b)[{k}].z;
            flat[7u * RESIDENT_LOADS + {k}] = (*b)[{k}].w;
        }
    }
    @for(k in REGISTERS) {
        (*packs)[{k}].a = Words(
            flat[PACK * {k}], flat[PACK * {k} + 1u], flat[PACK * {k} + 2u], flat[PACK * {k} + 3u]);
        @if(EIGHT) (*packs)[{k}].b = Words(
            flat[PACK * {k} + 4u], flat[PACK * {k} + 5u], flat[PACK * {k} + 6u], flat[PACK * {k} + 7u]);
    }
}

@if(DISTRIBUTION) fn put_distribution_resident(offsets: Offsets, a: ptr<function, Resident>, b: ptr<function, Resident>) {
    var packs: Packs;
    by_row(&packs, a, b);
    @for(k in REGISTERS) {
        @if(STAGED) write_distribution(own_place(offsets, {k}), packs[{k}]);
        @else write_distribution(offsets.distribution + {k}, packs[{k}]);
    }
    @if(STAGED) unstage_distribution(offsets);
}

@if(GRAD) fn put_grad_resident(offsets: Offsets, a: ptr<function, Resident>, b: ptr<function, Resident>) {
    var packs: Packs;
    by_row(&packs, a, b);
    @if(STAGED && DISTRIBUTION) {
        // The other lanes have stored the distribution.
        workgroupBarrier();
    }
    @for(k in REGISTERS) {
        @if(STAGED) write_grad(own_place(offsets, {k}), packs[{k}]);
        @else write_grad(offsets.grad + {k}, packs[{k}]);
    }
    @if(STAGED) unstage_grad(offsets);
}
