// Rows that are neighbours in memory, or so short that one lane reads several of them whole. A lane has PACK rows, so
// no state is merged across lanes: one pass over the classes, and a second one for gradient or distribution if there
// are too many classes to be resident. All rows of a lane are in the same image.

import shared::{params, totals, vectors, walk};
@if(!RESIDENT) import columns::streaming;
@if(RESIDENT) import columns::resident;

fn take_block(totals: Totals, block: u32, index: u32) -> Totals {
    let row = (block * WORKGROUP + index) * PACK;
    if (row >= params.rows) { return totals; }
    return columns(totals, row);
}
