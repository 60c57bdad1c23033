// Merges the states of each row: those of its parts, which are in the workspace, or those that are given, one of each
// shard of its classes. A lane per row, in the order of the parts.

import shared::{params, parts, walk};

fn take_block(block: u32, index: u32) {
    let row = block * WORKGROUP + index;
    if (row < params.rows) { write_state(merge_parts(row, 0u), row); }
}
