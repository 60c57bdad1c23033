// Where the rows of a lane are, and what their classes weigh.

import shared::{params, places, row, words};

// The rows of a lane follow each other: PACK * classes elements, in `classes` loads.
@if(SHORT) fn places_of_rows(row: u32) -> Places { return places_of(row / PACK * params.classes); }
@else fn places_of_rows(row: u32) -> Places {
    return places_of(
        (row / params.inner * params.classes * params.inner + row % params.inner) / PACK);
}

@if(!SHORT) fn weights_of(places: Places, c: u32, at: u32) -> PackReals {
    var v: PackReals;
    @if(DENSE_TARGET) var w: PackReals;
    @if(DENSE_TARGET) w.a = Reals(class_weight(c));
    @if(DENSE_TARGET && EIGHT) w.b = w.a;
    @if(DENSE_TARGET) v = shares_of(places, at, w);
    return v;
}
