import shared::{numbers, params, tensor, words};

// Where the tensors of a lane's row (or rows) begin in their bindings, in loads.
struct Places {
    logits: u32,
    @if(PROBABILITIES) probabilities: u32,
    @if(ELEMENTS) elements: u32,
    @if(GRAD) grad: u32,
    @if(RAGGED) lead: u32,    // elements of the first load that belong to the row before
    @if(RAGGED) loads: u32,   // loads of the row, those that it shares among them
}

// For a row whose first element is number `first` of the piece, in loads (RAGGED: in elements; then
// all tensors lie alike in their loads).
fn places_of(first: u32) -> Places {
    var places: Places;
    @if(RAGGED) {
        places.lead = (params.logits_origin + first) % PACK;
        places.loads = (places.lead + params.classes + PACK - 1u) / PACK;
        places.logits = (params.logits_origin + first) / PACK;
        @if(PROBABILITIES) places.probabilities = (params.probabilities_origin + first) / PACK;
        @if(ELEMENTS) places.elements = (params.elements_origin + first) / PACK;
        @if(GRAD) places.grad = (params.grad_origin + first) / PACK;
    }
    @else {
        places.logits = params.logits_origin + first;
        @if(PROBABILITIES) places.probabilities = params.probabilities_origin + first;
        @if(ELEMENTS) places.elements = params.elements_origin + first;
        @if(GRAD) places.grad = params.grad_origin + first;
    }
    return places;
}

// The classes' weights v_c = w_c q'_c without the label's own part, for probabilities q and class
// weights w.
@if(DENSE_TARGET) fn share(q: Reals, w: Reals) -> Reals {
    @if(PROBABILITIES) return rounded(w * fma(Reals(1.0 - params.smoothing), q, Reals(params.smoothing_share)));
    @else return rounded(w * params.smoothing_share);
}

// The same of the load `at` behind a row's first one. Nothing where only the label carries weight.
fn shares_of(places: Places, at: u32, w: PackReals) -> PackReals {
    var v: PackReals;
    @if(DENSE_TARGET) {
        var q: Pack;
        @if(PROBABILITIES) q = read_probabilities(places.probabilities + at);
        @for(h in HALVES) v.{h} = share(bitcast<Reals>(q.{h}), w.{h});
    }
    return v;
}
