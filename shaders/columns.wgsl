// Neighbouring rows are neighbours in memory: a lane per row, so loads coalesce and no state is
// ever merged across lanes. One pass over the classes, and a second one for gradient or
// log-probabilities.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var totals = empty_totals();
    for (var block = group.x; block < params.blocks; block += params.groups) {
        let row = block * WORKGROUP + index;
        if (row < params.rows) { column(&totals, row); }
    }
    write_partial(totals, index, params.partial_base + group.x);
}

// Rows of one lane: element (o, c, i) is at (o * classes + c) * inner + i.
fn column(totals: ptr<function, Totals>, row: u32) {
    let first = row / params.inner * params.classes * params.inner + row % params.inner;
    var r = open_row(row, true);
    var s = empty_state();
#if ELEMENTS
    let read = true;
#else
    let read = r.kind == LIVE;
#endif
    if (read) {
        s = fold_column(first);
#if LABELS
        if (r.kind == LIVE) { s.hit = logits_at(first + r.class_index * params.inner); }
#endif
    }
    close_row(&r, s, row);
    count_row(totals, r, row);
#if WRITES
    write_column(r, first);
#endif
}

fn logits_at(at: u32) -> u32 { return logits[params.logits_origin + at]; }

fn fold_column(first: u32) -> State {
    var f = empty_fold();
    var c = 0u;
    var at = first;
    for (; c + 3u < params.classes; c += 4u) {
        let w0 = logits_at(at);
        let w1 = logits_at(at + params.inner);
        let w2 = logits_at(at + 2u * params.inner);
        let w3 = logits_at(at + 3u * params.inner);
#if SPREAD
        push(&f, w0, spread_weights(c, at));
        push(&f, w1, spread_weights(c + 1u, at + params.inner));
        push(&f, w2, spread_weights(c + 2u, at + 2u * params.inner));
        push(&f, w3, spread_weights(c + 3u, at + 3u * params.inner));
#else
        push(&f, w0);
        push(&f, w1);
        push(&f, w2);
        push(&f, w3);
#endif
        at += 4u * params.inner;
    }
    for (; c < params.classes; c += 1u) {
#if SPREAD
        push(&f, logits_at(at), spread_weights(c, at));
#else
        push(&f, logits_at(at));
#endif
        at += params.inner;
    }
    return collapse(f);
}

#if WRITES
fn write_column(r: Row, first: u32) {
    var at = first;
    for (var c = 0u; c < params.classes; c += 1u) {
        let words = logits_at(at);
#if ELEMENTS
        elements[params.elements_origin + at] = element(r, words);
#endif
#if GRAD
        let word = gradient(r, words, c, at);
#if IN_PLACE
        logits[params.logits_origin + at] = word;
#else
        grad[params.grad_origin + at] = word;
#endif
#endif
        at += params.inner;
    }
}
#endif
