// LANES lanes share a row, ROWS rows are under way in a group, and groups walk over blocks of rows.
// Each element is read once, or once more where gradient or log-probabilities are wanted of rows too
// long to keep: by the same lane, so the output may be the input. A row's loads are neighbours, or
// (STRIDED: the classes' axis is not the last) `inner` apart.
//
// A few long rows would leave most of a GPU idle. Then every row is cut into `parts`, and the kernel
// runs up to three times: FOLD writes the state of each part, MERGE the state of each row and its
// loss, WRITE reads the row's state and writes what is wanted of the part.
//
// Rows that do not fit a binding are cut (CUT): then a piece has some of their classes. FOLD runs over
// one such piece after the other and takes what was folded before into its states, MERGE runs once, and
// WRITE over every piece again.

import shared::walk;
@if(PAIRS) import rows::pairs;
@else import rows::block;
