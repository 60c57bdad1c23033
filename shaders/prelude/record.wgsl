// What is written of a row beside its loss: one word for each thing that is wanted, one behind the other.
// `lost` rows have no distribution.
fn write_record(
    row: u32,
    kind: u32,
    lost: bool,
    lse: f32,
    best: u32,
    rank: u32,
    entropy: f32,
    weight: f32,
    z_loss: f32,
) {
    var at = params.record_origin + RECORD_WORDS * row;
#if RECORD_LSE
    record[at] = select(bitcast<u32>(lse), NAN, lost);
    at += 1u;
#endif
#if RECORD_ARGMAX
    record[at] = select(best, NO_CLASS, lost);
    at += 1u;
#endif
#if RECORD_RANK
    record[at] = select(NO_CLASS, rank, kind == LIVE && !lost);
    at += 1u;
#endif
#if RECORD_ENTROPY
    record[at] = select(bitcast<u32>(entropy), NAN, lost);
    at += 1u;
#endif
#if RECORD_WEIGHTS
    record[at] = select(0u, bitcast<u32>(weight), kind == LIVE);
    at += 1u;
#endif
#if RECORD_Z_LOSS
    let word = select(0u, bitcast<u32>(z_loss), kind == LIVE);
    record[at] = select(word, NAN, (kind == LIVE && lost) || kind == BAD);
#endif
}
