// Neighbouring rows are neighbours in memory: a lane per pack of rows, so loads coalesce and no
// state is ever merged across lanes. One pass over the classes, and a second one for gradient or
// log-probabilities. Packs never straddle two images: `inner` is a multiple of PACK.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var totals = empty_totals();
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let row = (block * WORKGROUP + index) * PACK;
        if (row < params.rows) { column(&totals, row); }
    }
    write_partial(totals, index, params.partial_base + group.x);
}

// The rows of one lane. Element (o, c, i) is at (o * classes + c) * inner + i; in packs, classes
// are `stride` apart.
fn column(totals: ptr<function, Totals>, row: u32) {
    let stride = params.inner / PACK;
    let first = (row / params.inner * params.classes * params.inner + row % params.inner) / PACK;
    let f = fold_column(first, stride);
    let a = settle(totals, f, 0u, row, first, stride);
#if WIDE
    let b = settle(totals, f, 1u, row + 1u, first, stride);
    let c = settle(totals, f, 2u, row + 2u, first, stride);
    let d = settle(totals, f, 3u, row + 3u, first, stride);
#if WRITES
    write_column(writer_of_four(a, b, c, d), first, stride);
#endif
#else
#if WRITES
    write_column(writer(a), first, stride);
#endif
#endif
}

// Component `k` of the fold is the row `row`: its target, its loss, its part in the totals.
fn settle(totals: ptr<function, Totals>, f: Fold, k: u32, row: u32, first: u32, stride: u32) -> Row {
    var r = open_row(row, true);
    var s = component(f, k);
#if LABELS
    if (r.kind == LIVE) {
        let words = logits[params.logits_origin + first + r.class_index * stride];
#if WIDE
        s.hit = words[k];
#else
        s.hit = words;
#endif
    }
#endif
    close_row(&r, s, row);
    count_row(totals, r, row);
    return r;
}

fn push_class(f: ptr<function, Fold>, words: Words, c: u32, at: u32) {
    push_pack(f, words, Reals(class_weight(c)), at);
}

fn fold_column(first: u32, stride: u32) -> Fold {
#if CHUNKS
    var whole = empty_fold();
    for (var c = 0u; c < params.classes; c += CHUNK) {
        absorb(&whole, fold_chunk(c, min(params.classes, c + CHUNK), first + c * stride, stride));
    }
    return whole;
#else
    return fold_chunk(0u, params.classes, first, stride);
#endif
}

// Classes `start` to `end`; `first` is the first one's pack.
fn fold_chunk(start: u32, end: u32, first: u32, stride: u32) -> Fold {
    let origin = params.logits_origin;
    var f = empty_fold();
    var c = start;
    var at = first;
#if FOURS
    // Four independent loads under way before the first exp.
    for (; c + 3u < end; c += 4u) {
        let w0 = logits[origin + at];
        let w1 = logits[origin + at + stride];
        let w2 = logits[origin + at + 2u * stride];
        let w3 = logits[origin + at + 3u * stride];
        push_class(&f, w0, c, at);
        push_class(&f, w1, c + 1u, at + stride);
        push_class(&f, w2, c + 2u, at + 2u * stride);
        push_class(&f, w3, c + 3u, at + 3u * stride);
        at += 4u * stride;
    }
#endif
    for (; c < end; c += 1u) {
        push_class(&f, logits[origin + at], c, at);
        at += stride;
    }
    return f;
}

#if WRITES
fn write_column(w: Writer, first: u32, stride: u32) {
#if CHUNKS
    for (var c = 0u; c < params.classes; c += CHUNK) {
        write_chunk(w, c, min(params.classes, c + CHUNK), first + c * stride, stride);
    }
#else
    write_chunk(w, 0u, params.classes, first, stride);
#endif
}

fn write_chunk(w: Writer, start: u32, end: u32, first: u32, stride: u32) {
    var c = start;
    var at = first;
#if FOURS
    for (; c + 3u < end; c += 4u) {
        write_class(w, c, at);
        write_class(w, c + 1u, at + stride);
        write_class(w, c + 2u, at + 2u * stride);
        write_class(w, c + 3u, at + 3u * stride);
        at += 4u * stride;
    }
#endif
    for (; c < end; c += 1u) {
        write_class(w, c, at);
        at += stride;
    }
}

fn write_class(w: Writer, c: u32, at: u32) {
    write_pack(w, Words(c), Reals(class_weight(c)), at);
}
#endif
