// Offsets of the rows of a lane, and the shares of their classes.

import shared::{offsets, params, row, vectors};

// The rows of a lane are consecutive: PACK * classes elements, in `classes` loads.
@if(SHORT) fn offsets_of_rows(row: u32) -> Offsets { return offsets_of(row / PACK * params.classes); }
@else fn offsets_of_rows(row: u32) -> Offsets {
    return offsets_of(
        (row / params.inner * params.classes * params.inner + row % params.inner) / PACK);
}

@if(!SHORT) fn weights_of(offsets: Offsets, c: u32, at: u32) -> PackReals {
    var v: PackReals;
    @if(DENSE_TARGET) var w: PackReals;
    @if(DENSE_TARGET) w.a = Reals(class_weight(c));
    @if(DENSE_TARGET && EIGHT) w.b = w.a;
    @if(DENSE_TARGET) v = shares_of(offsets, at, w);
    return v;
}
