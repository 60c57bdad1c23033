// Rows of an odd number of two-byte elements: every second row starts in the middle of a word in which the row before
// it ends. So the lanes of a slot compute two consecutive rows, and one lane writes the load that they share.

import rows::{folded, lanes, loads, streaming};
import shared::{arithmetic, count, offsets, params, row, tensor, totals, vectors, writer};

// One block: a pair of rows, or a part of one, for each slot of the group.
fn take_block(totals: Totals, block: u32, thread: u32) -> Totals {
    let item = block * ROWS + slot_of(thread);
    let pairs = (params.rows + 1u) / 2u;
    @if(SPLIT) {
        let pair = item % pairs;
        let part = item / pairs;
        let present = part < params.parts;
    }
    @else {
        let pair = item;
        let part = 0u;
        let present = pair < pairs;
    }
    let lane = lane_of(thread);
    let x = 2u * pair;
    let y = x + 1u;
    let both = present && y < params.rows;
    let offsets_x = offsets_of(first_of(x));
    let offsets_y = offsets_of(first_of(y));
    var range_x = range_of(offsets_x, part);
    var range_y = range_of(offsets_y, part);
    let r_x = closed_row(x, present, offsets_x, folded_range_of(offsets_x, part), lane, thread);
    let r_y = closed_row(y, both, offsets_y, folded_range_of(offsets_y, part), lane, thread);

    var t = totals;
    @if(COUNTS) if (lane == 0u) {
        if (present) { t = count_rows(t, r_x, x); }
        if (both) { t = count_rows(t, r_y, y); }
    }
    let w_x = writers(r_x);
    let w_y = writers(r_y);
    if (both) {
        // The last load of x is the first of y.
        range_x.left_out = offsets_x.loads - 1u;
        range_y.left_out = 0u;
        let turn = turn_of(offsets_x, range_x.left_out);
        if (lane == 0u && turn >= range_x.start && turn < range_x.end) {
            write_seam(w_x, offsets_x, range_x.left_out, w_y, offsets_y);
        }
        write_row(w_y, offsets_y, range_y, lane);
    }
    if (present) { write_row(w_x, offsets_x, range_x, lane); }
    return t;
}

// Returns row `row` with its loss.
fn closed_row(
    row: u32,
    present: bool,
    offsets: Offsets,
    range: Range,
    lane: u32,
    thread: u32,
) -> Row {
    let r = open_rows(row, present);
    @if(EVERY_ROW) let read = present;
    @else let read = present && r.kind == LIVE;
    return close_rows(r, state_of_row(r, row, offsets, range, lane, read, thread), row);
}

// Writes load `p` of row x, which is the first load of row y.
fn write_seam(w_x: Writers, offsets_x: Offsets, p: u32, w_y: Writers, offsets_y: Offsets) {
    let pack_x = read_pack(offsets_x, p);
    let pack_y = read_pack(offsets_y, 0u);
    let classes_x = classes_of(offsets_x, p);
    @if(DISTRIBUTION) write_distribution(offsets_x.distribution + p,
        joint(classes_x, distribution_of(w_x, pack_x), distribution_of(w_y, pack_y)));
    @if(GRAD) {
        let of_x = gradients(w_x, pack_x, classes_x, weights_of(offsets_x, p));
        let of_y = gradients(w_y, pack_y, classes_of(offsets_y, 0u), weights_of(offsets_y, 0u));
        write_grad(offsets_x.grad + p, joint(classes_x, of_x, of_y));
    }
}

// Returns the elements of row x from one load and the rest from the other.
fn joint(classes_x: Pack, of_x: Pack, of_y: Pack) -> Pack {
    var out: Pack;
    out.a = select(of_y.a, of_x.a, classes_x.a < Words(params.classes));
    out.b = select(of_y.b, of_x.b, classes_x.b < Words(params.classes));
    return out;
}
