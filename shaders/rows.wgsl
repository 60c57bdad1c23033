// LANES lanes share a row, WORKGROUP / LANES rows are under way in a group, and groups walk over
// blocks of rows. The logits are read once; for gradient or log-probabilities, the same lanes read
// their own packs a second time and write them, so the output may be the input. A row's packs are
// neighbours, or (STRIDED: a large vocabulary on an axis that is not the last) `inner` apart.

const ROWS: u32 = WORKGROUP / LANES;

#if WIDE
fn classes_of(pack: u32) -> Words { return Words(4u * pack) + Words(0u, 1u, 2u, 3u); }
fn class_weights(pack: u32) -> Reals {
    let c = 4u * pack;
    return Reals(class_weight(c), class_weight(c + 1u), class_weight(c + 2u), class_weight(c + 3u));
}
#else
fn classes_of(pack: u32) -> Words { return pack; }
fn class_weights(pack: u32) -> Reals { return class_weight(pack); }
#endif

// Where pack `p` of the row that starts at `first` is.
fn place(first: u32, p: u32) -> u32 {
#if STRIDED
    return first + p * params.inner;
#else
    return first + p;
#endif
}

fn push_place(f: ptr<function, Fold>, words: Words, first: u32, p: u32) {
    push_pack(f, words, class_weights(p), place(first, p));
}

// This lane's share of the row whose first pack is `first`: packs lane, lane + LANES, ...
fn fold_row(first: u32, packs: u32, lane: u32) -> State {
#if CHUNKS
    var whole = empty_fold();
    for (var start = lane; start < packs; start += CHUNK * LANES) {
        absorb(&whole, fold_chunk(first, start, min(packs, start + CHUNK * LANES)));
    }
    return collapse(whole);
#else
    return collapse(fold_chunk(first, lane, packs));
#endif
}

fn fold_chunk(first: u32, start: u32, end: u32) -> Fold {
    let base = params.logits_origin + first;
    var f = empty_fold();
    var p = start;
#if FOURS
    // Four independent loads under way before the first exp.
    for (; p + 3u * LANES < end; p += 4u * LANES) {
        let a = logits[place(base, p)];
        let b = logits[place(base, p + LANES)];
        let c = logits[place(base, p + 2u * LANES)];
        let d = logits[place(base, p + 3u * LANES)];
        push_place(&f, a, first, p);
        push_place(&f, b, first, p + LANES);
        push_place(&f, c, first, p + 2u * LANES);
        push_place(&f, d, first, p + 3u * LANES);
    }
#endif
    for (; p < end; p += LANES) {
        push_place(&f, logits[place(base, p)], first, p);
    }
    return f;
}

#if LABELS
// The label's logit, read by the one lane that owns its pack: no other lane ever touches an element
// that this lane may overwrite.
fn label_word(r: Row, first: u32, lane: u32) -> u32 {
    let pack = r.class_index / PACK;
    if (r.kind != LIVE || pack % LANES != lane) { return 0u; }
#if WIDE
    return logits[place(params.logits_origin + first, pack)][r.class_index % PACK];
#else
    return logits[place(params.logits_origin + first, pack)];
#endif
}
#endif

#if WRITES
fn write_row(r: Row, first: u32, packs: u32, lane: u32) {
#if CHUNKS
    for (var start = lane; start < packs; start += CHUNK * LANES) {
        write_chunk(writer(r), first, start, min(packs, start + CHUNK * LANES));
    }
#else
    write_chunk(writer(r), first, lane, packs);
#endif
}

fn write_chunk(w: Writer, first: u32, start: u32, end: u32) {
    var p = start;
#if FOURS
    for (; p + 3u * LANES < end; p += 4u * LANES) {
        write_place(w, first, p);
        write_place(w, first, p + LANES);
        write_place(w, first, p + 2u * LANES);
        write_place(w, first, p + 3u * LANES);
    }
#endif
    for (; p < end; p += LANES) {
        write_place(w, first, p);
    }
}

fn write_place(w: Writer, first: u32, p: u32) {
    write_pack(w, classes_of(p), class_weights(p), place(first, p));
}
#endif

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
#if SUBGROUPS
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
#endif
) {
#if SUBGROUPS
    let thread = subgroup * subgroup_size + subgroup_lane;
#else
    let thread = index;
#endif
    let lane = thread % LANES;
    let slot = thread / LANES;
    let packs = params.classes / PACK;
    var totals = empty_totals();
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let row = block * ROWS + slot;
        let present = row < params.rows;
        var r = open_row(row, present);
#if STRIDED
        let first = row / params.inner * params.classes * params.inner + row % params.inner;
#else
        let first = row * packs;
#endif
#if ELEMENTS
        let read = present;
#else
        let read = r.kind == LIVE;   // a row that does not count is not read
#endif
        var s = empty_state();
        if (read) {
            s = fold_row(first, packs, lane);
#if LABELS
            s.hit = label_word(r, first, lane);
#endif
        }
        s = merge_lanes(s, thread);
        close_row(&r, s, row);
        if (lane == 0u && present) { count_row(&totals, r, row); }
#if WRITES
        if (present) { write_row(r, first, packs, lane); }
#endif
    }
    write_partial(totals, index, params.partial_base + group.x);
}
