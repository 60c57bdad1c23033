// Resident rows: RESIDENT_LOADS is the number of classes. Each class has a vector with a component for each row; `b`
// is the second half of a load of eight rows.

import columns::loads;
import shared::{count, fold, params, resident, row, state, totals, vectors};
@if(STAGED) import shared::offsets;
@if(!SHORT) import columns::across;
@if(SHORT) import columns::short;
@if(WRITES) import shared::writer;

fn columns(
    totals: Totals,
    row: u32,
    @if(STAGED) offsets: Offsets,
) -> Totals {
    @if(STAGED) let present = row < params.rows;
    @else let present = true;
    @if(!STAGED) let offsets = offsets_of_rows(row);
    var a: Resident;
    var b: Resident;
    var v_a: ResidentReals;
    var v_b: ResidentReals;
    load_resident(offsets, &a, &b, &v_a, &v_b);

    var r_a = open_rows(row, present);
    let label_logit_a = label_logits(r_a, &a);   // before the fold, which may replace logits by powers
    var label_key_a: LabelKey;
    @if(RANK) label_key_a = label_key_of(r_a.class_index, label_logit_a);
    var s_a = state_of_resident(&a, &v_a, label_key_a);
    s_a.label_logit = label_logit_a;
    r_a = close_rows(r_a, s_a, row);
    @if(STAGED) var t = count_present(totals, r_a, row);
    @else var t = count_rows(totals, r_a, row);
    @if(EIGHT) {
        var r_b = open_rows(row + HALF, present);
        let label_logit_b = label_logits(r_b, &b);
        var label_key_b: LabelKey;
        @if(RANK) label_key_b = label_key_of(r_b.class_index, label_logit_b);
        var s_b = state_of_resident(&b, &v_b, label_key_b);
        s_b.label_logit = label_logit_b;
        r_b = close_rows(r_b, s_b, row + HALF);
        @if(STAGED) t = count_present(t, r_b, row + HALF);
        @else t = count_rows(t, r_b, row + HALF);
    }
    @if(WRITES) {
        @for(h in HALVES) let w_{h} = writer(r_{h});
        var out_a: Resident;
        var out_b: Resident;
    }
    @if(DISTRIBUTION) @for(k in REGISTERS) {
        out_a[{k}] = probability_word(w_a, a[{k}]);
        @if(EIGHT) out_b[{k}] = probability_word(w_b, b[{k}]);
    }
    @if(DISTRIBUTION) put_distribution_resident(offsets, &out_a, &out_b);
    @if(GRAD) @for(k in REGISTERS) {
        out_a[{k}] = gradient(w_a, a[{k}], Words({k}), v_a[{k}]);
        @if(EIGHT) out_b[{k}] = gradient(w_b, b[{k}], Words({k}), v_b[{k}]);
    }
    @if(GRAD) put_grad_resident(offsets, &out_a, &out_b);
    return t;
}

// Counts rows, if there are any: a lane without rows computes with what the stage has.
@if(STAGED) fn count_present(totals: Totals, r: Row, row: u32) -> Totals {
    if (row >= params.rows) { return totals; }
    return count_rows(totals, r, row);
}

// Returns the labels' logits.
fn label_logits(r: Row, resident: ptr<function, Resident>) -> RowWords {
    var words = RowWords(0u);
    @if(LABELS) @for(k in REGISTERS) words = select(words, (*resident)[{k}], r.class_index == RowWords({k}));
    return words;
}
