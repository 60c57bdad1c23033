// The label's logit of a row.

import rows::loads;
import shared::{arithmetic, constants, fold, offsets, params, row, state, vectors};

// Returns the label's class among those of the piece. If it is not one of them, they all come before it or after it.
@if(CUT && RANK) fn order_of_label(r: Row) -> u32 {
    let elsewhere = select(NO_CLASS, 0u, r.label < params.class_base_low);
    return select(r.class_index, elsewhere, r.class_index == NO_CLASS);
}

// Returns the key of a row's label. All lanes read its logit before any of them writes.
fn label_key_of_row(r: Row, row: u32, offsets: Offsets) -> LabelKey {
    var m: LabelKey;
    @if(RANK && CUT) if (r.kind == LIVE) { m = label_key_of(order_of_label(r), workspace[label_logit_index(row)]); }
    @elif(RANK) if (r.kind == LIVE) { m = label_key_of(r.class_index, logit_word(offsets, r.class_index)); }
    return m;
}

fn label_keys_of_row(r: Row, row: u32, offsets: Offsets) -> LabelKeys {
    var label_keys: LabelKeys;
    label_keys.a = label_key_of_row(r, row, offsets);
    @if(EIGHT) label_keys.b = label_keys.a;
    return label_keys;
}

// Returns the label's logit in the lane that has its load, 0 in others: no other lane reads an element that this lane
// may overwrite.
@if(LABELS) fn label_logit_of(r: Row, offsets: Offsets, range: Range, lane: u32) -> u32 {
    @if(BY_CLASS) let p = r.class_index / PACK;
    @elif(RAGGED) let p = turn_of(offsets, (r.class_index + offsets.lead) / PACK);
    @else let p = r.class_index / PACK;
    @if(CUT) if (r.class_index == NO_CLASS) { return 0u; }
    if (r.kind != LIVE || p < range.start || p >= range.end) { return 0u; }
    if ((p - range.start) % LANES != lane) { return 0u; }
    return logit_word(offsets, r.class_index);
}
