import shared::{arithmetic, params, tensor, vectors};

// Offsets of the tensors of a lane's row (or rows) in their bindings, in loads.
struct Offsets {
    logits: u32,
    @if(PROBABILITIES) probabilities: u32,
    @if(DISTRIBUTION) distribution: u32,
    @if(GRAD) grad: u32,
    @if(RAGGED) lead: u32,    // elements of the first load that belong to the row before
    @if(RAGGED) loads: u32,   // loads of the row, shared ones included
    @if(STAGED) lane: u32,    // the lane's number in its group
    @if(STAGED) moved: u32,   // the loads that it moves between memory and the stage
    @if(STAGED) whole: bool,  // these are RESIDENT_LOADS in every lane of the group
}

// Returns the offsets of the row whose first element is number `first` of the piece, counted in loads. RAGGED:
// counted in elements; then all tensors have the same offset within a load.
fn offsets_of(first: u32) -> Offsets {
    var offsets: Offsets;
    @if(RAGGED) {
        offsets.lead = (params.logits_origin + first) % PACK;
        offsets.loads = (offsets.lead + params.classes + PACK - 1u) / PACK;
        offsets.logits = (params.logits_origin + first) / PACK;
        @if(PROBABILITIES) offsets.probabilities = (params.probabilities_origin + first) / PACK;
        @if(DISTRIBUTION) offsets.distribution = (params.distribution_origin + first) / PACK;
        @if(GRAD) offsets.grad = (params.grad_origin + first) / PACK;
    }
    @else {
        offsets.logits = params.logits_origin + first;
        @if(PROBABILITIES) offsets.probabilities = params.probabilities_origin + first;
        @if(DISTRIBUTION) offsets.distribution = params.distribution_origin + first;
        @if(GRAD) offsets.grad = params.grad_origin + first;
    }
    return offsets;
}

// Returns the shares v_c = w_c q'_c without the label's own part, for probabilities q and class weights w.
@if(DENSE_TARGET) fn share(q: Reals, w: Reals) -> Reals {
    @if(PROBABILITIES) return rounded(w * fma(Reals(1.0 - params.smoothing), q, Reals(params.smoothing_share)));
    @else return rounded(w * params.smoothing_share);
}

// Returns the shares of the load `at` loads after a row's first one; unset if only the label carries weight.
fn shares_of(offsets: Offsets, at: u32, w: PackReals) -> PackReals {
    var v: PackReals;
    @if(DENSE_TARGET) {
        var q: Pack;
        @if(PROBABILITIES) q = read_probabilities(offsets.probabilities + at);
        @for(h in HALVES) v.{h} = share(bitcast<Reals>(q.{h}), w.{h});
    }
    return v;
}
