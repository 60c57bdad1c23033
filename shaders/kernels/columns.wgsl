// Rows that are neighbours in memory, or so short that one lane reads several of them whole. A lane has PACK rows, so
// no state is merged across lanes: one pass over the classes, and a second one for gradient or distribution if there
// are too many classes to be resident. All rows of a lane are in the same image.

import shared::{params, totals, vectors, walk};
@if(STAGED) import columns::loads;
@if(!RESIDENT) import columns::streaming;
@if(RESIDENT) import columns::resident;

// Lanes that share a stage stay together for its barriers, those without rows too.
@if(STAGED) fn take_block(totals: Totals, block: u32, index: u32) -> Totals {
    if (block * WORKGROUP * PACK >= params.rows) { return totals; }
    return columns(totals, (block * WORKGROUP + index) * PACK, offsets_of_group(block, index));
}
@else fn take_block(totals: Totals, block: u32, index: u32) -> Totals {
    let row = (block * WORKGROUP + index) * PACK;
    if (row >= params.rows) { return totals; }
    return columns(totals, row);
}
