// The end of a group that has done all of the work: its totals are those of all rows.

import shared::{outcome, params, totals};
@if(LABELS && RESULT) import shared::labels;

fn write_outcome_of_group(totals: Totals, index: u32) {
    let t = group_totals(totals, index);
    if (index != 0u) { return; }
    @if(LABELS && RESULT) if (t.bad != 0u) {
        let words = label_words(t.first_bad - params.row_base);
        write_bad(words.x, words.y, 0u);
    }
    write_outcome(t);
}
