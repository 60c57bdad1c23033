import shared::{arithmetic, constants, params, row, vectors};

// The rows' further outputs: a record of RECORD_WORDS words for each row, one word for each output that is switched
// on, in this order. `src/kernels/stores.rs` generates the stores: whole loads for four rows if they are aligned
// (RECORD_PACKS), single words otherwise.
fn write_records(r: Row, row: u32) {
    let live = r.kind == RowWords(LIVE);
    let lost = (r.flags & RowWords(HAS_NAN)) != RowWords(0u);   // no distribution
    let no_classes = RowBools(params.classes == 0u);            // a distribution over no classes
    @if(RECORD_LSE) {
        let log_sum = select(bitcast<RowWords>(r.lse), RowWords(NEG_INF), no_classes);
        let lse = select(log_sum, RowWords(NAN), lost);
    }
    @if(RECORD_ARGMAX) let argmax = select(r.argmax, RowWords(NO_CLASS), lost | no_classes);
    @if(RECORD_RANK) let rank = select(RowWords(NO_CLASS), r.label_rank, live & !lost);
    @if(RECORD_ENTROPY) let entropy = select(bitcast<RowWords>(r.entropy), RowWords(NAN), lost);
    @if(RECORD_VARIANCE) let variance = select(bitcast<RowWords>(r.variance), RowWords(NAN), lost);
    @if(RECORD_WEIGHTS) let weights = select(RowWords(0u), bitcast<RowWords>(r.weight), live);
    @if(RECORD_Z_LOSS) {
        let of_live = select(bitcast<RowWords>(r.z_loss), RowWords(NAN), lost);
        let of_others = select(RowWords(0u), RowWords(NAN), r.kind == RowWords(BAD));
        let z_loss = select(of_others, of_live, live);
    }
    @if(RECORD_PACKS) let at = params.record_origin + RECORD_WORDS * row / 4u;
    @else let at = params.record_origin + RECORD_WORDS * row;
    @for(store in RECORD_STORES) {store}
}
