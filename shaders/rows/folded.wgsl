// The state of a row that is not resident.

import rows::{loads, merge};
import shared::{fold, offsets, row, state};
@if(!MERGE) import rows::{label, streaming};
@if(BY_CLASS && !WRITE) import rows::by_class;
@if(PARTS) import shared::parts;

// Returns the state of the row in each of its lanes. Every lane of the group must call it, in uniform control flow;
// `read` is false if the lane reads nothing.
fn state_of_row(
    r: Row,
    row: u32,
    offsets: Offsets,
    range: Range,
    lane: u32,
    read: bool,
    thread: u32,
) -> State {
    @if(WRITE) return read_state(row);
    @else {
        var mine = empty_state();
        if (read) {
            @if(MERGE) mine = merge_parts(row, lane);
            @else mine = collapse(fold_row(offsets, range, lane, label_keys_of_row(r, row, offsets)));
            @if(!MERGE && LABELS) mine.label_logit = label_logit_of(r, offsets, range, lane);
        }
        // A lane overwrites elements that another lane has folded.
        @if(READ_BY_OTHERS) storageBarrier();
        return merge_lanes(mine, thread);
    }
}
