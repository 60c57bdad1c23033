// The work of a group in one turn of its walk.

import rows::{lanes, loads};
import shared::{arithmetic, constants, count, offsets, params, row, totals};
@if(!RESIDENT && !MERGE) import rows::streaming;
@if(!RESIDENT) import rows::folded;
@if(!MERGE) import rows::label;
@if(RESIDENT) import rows::resident;
@if(RESIDENT) import shared::resident;
@if(PARTS) import shared::parts;
@if(WRITES) import shared::writer;

// One block: a row, or a part of one, for each slot of the group.
fn take_block(totals: Totals, block: u32, thread: u32) -> Totals {
    let item = block * ROWS + slot_of(thread);
    @if(SPLIT) {
        let row = item % params.rows;
        let part = item / params.rows;
        let present = part < params.parts;
    }
    @else {
        let row = item;
        let part = 0u;
        let present = row < params.rows;
    }
    let lane = lane_of(thread);
    let offsets = offsets_of(first_of(row));
    let range = range_of(offsets, part);
    var r = open_rows(row, present);
    @if(EVERY_ROW) let read = present;
    @else let read = present && r.kind == LIVE;   // a row that does not count is not read
    @if(RESIDENT) {
        var a: Resident;
        var b: Resident;
        var v_a: ResidentReals;
        var v_b: ResidentReals;
        var finite = false;
        if (read) { finite = load_resident(offsets, range, lane, &a, &b, &v_a, &v_b); }
        var label_logit = 0u;
        @if(LABELS) label_logit = label_logit_of(r, offsets, range, lane);
        let s = state_of_resident(&a, &b, &v_a, &v_b, label_logit, label_key_of_row(r, row, offsets), finite, thread);
    }
    @else var s = state_of_row(r, row, offsets, folded_range_of(offsets, part), lane, read, thread);

    var t = totals;
    let speaks = present && lane == 0u;
    @if(FOLD && CUT) {
        // Converts the class's number in the piece to that in the tensor.
        @if(ARGMAX) s.argmax += select(0u, params.class_base_low, s.argmax != NO_CLASS);
        @if(APART) if (speaks) { write_state(s, item); }
        @else if (speaks) { write_state(with_pieces_before(s, item), item); }
        @if(LABELS && WEIGHT && !SHARD) if (speaks && part == 0u && r.kind == LIVE && r.class_index != NO_CLASS) {
            workspace[label_weight_index(row)] = bitcast<u32>(class_weight(r.class_index));
        }
    }
    @elif(FOLD) if (speaks) { write_state(s, item); }
    @else r = close_rows(r, s, row);
    // Replaces the state of the row's first part, which this lane has read.
    @if(MERGE && KEEPS_STATES) if (speaks) { write_state(s, row); }
    @if(COUNTS) if (speaks) { t = count_rows(t, r, row); }
    @if(WRITES) if (present) {
        let w = writers(r);
        @if(RESIDENT) write_resident(w, offsets, range, lane, &a, &b, &v_a, &v_b);
        @else write_row(w, offsets, range, lane);
    }
    return t;
}
