// Neighbouring rows are neighbours in memory, or rows are so short that one lane takes a few of them
// whole. A lane has PACK rows to itself, so no state is ever merged across lanes: one pass over the
// classes, and a second one for gradient or log-probabilities where they are too many to keep. The
// rows of a lane never straddle two images.

import shared::{params, totals, vectors, walk};
@if(!RESIDENT) import columns::streaming;
@if(RESIDENT) import columns::resident;

fn take_block(totals: Totals, block: u32, index: u32) -> Totals {
    let row = (block * WORKGROUP + index) * PACK;
    if (row >= params.rows) { return totals; }
    return columns(totals, row);
}
