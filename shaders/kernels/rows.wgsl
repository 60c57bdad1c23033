// LANES lanes share a row, a group works on ROWS rows at a time, and groups walk over blocks of rows. Each element is
// read once. Rows that are too long to be resident are read again for gradient or distribution, each element by the
// same lane, so the output may overwrite the input. A row's loads are neighbours, or `inner` apart (STRIDED: the
// class axis is not the last).
//
// A few long rows would leave most of a GPU idle. Then every row is divided into `parts`, and the kernel runs up to
// three times: FOLD writes the state of each part, MERGE computes the state of each row and its loss, WRITE reads the
// row's state and writes the part's gradient or distribution.
//
// Rows that do not fit a binding are cut (CUT): a piece has some of their classes. FOLD runs over one piece after the
// other and merges the states of earlier pieces into its own, MERGE runs once, and WRITE runs over every piece again.

import shared::walk;
@if(PAIRS) import rows::pairs;
@else import rows::block;
