// The loads of a lane's rows: their offsets, their contents, and the shares of their classes.

import shared::{offsets, params, row, tensor, vectors};
@if(SCALED) import shared::logits;

// The rows of a lane are consecutive: PACK * classes elements, in `classes` loads.
@if(SHORT) fn offsets_of_rows(row: u32) -> Offsets { return offsets_of(row / PACK * params.classes); }
@else fn offsets_of_rows(row: u32) -> Offsets {
    return offsets_of(
        (row / params.inner * params.classes * params.inner + row % params.inner) / PACK);
}

// Returns the offsets of the first rows of a group's lanes, which share a stage.
@if(STAGED) fn offsets_of_group(block: u32, index: u32) -> Offsets {
    let first = block * WORKGROUP * RESIDENT_LOADS;
    let loads = min(WORKGROUP * RESIDENT_LOADS, params.rows / PACK * RESIDENT_LOADS - first);
    var offsets = offsets_of(first);
    offsets.lane = index;
    offsets.moved = (loads + WORKGROUP - 1u - index) / WORKGROUP;
    offsets.whole = loads == WORKGROUP * RESIDENT_LOADS;
    return offsets;
}

@if(!SHORT) {
// A lane's loads are its rows' classes, one after the other.
const STEP: u32 = 1u;

// Returns the offset of class `c` from the first one, in loads.
fn offset_of(c: u32) -> u32 { return c * (params.inner / PACK); }

fn read_whole(offsets: Offsets, c: u32) -> Pack { return read_logits(offsets.logits + offset_of(c)); }

// Returns class `c` for every row of the lane.
fn classes_of(offsets: Offsets, c: u32) -> Pack {
    var classes: Pack;
    @for(h in HALVES) classes.{h} = Words(c);
    return classes;
}

fn weights_of(offsets: Offsets, c: u32) -> PackReals {
    var v: PackReals;
    @if(DENSE_TARGET) {
        var w: PackReals;
        @for(h in HALVES) w.{h} = Reals(class_weight(c));
        v = shares_of(offsets, offset_of(c), w);
    }
    return v;
}
}
