// The gradient of nll: -w_t times the scale at the label, 0 elsewhere. A lane per word that is
// written, so that writes coalesce; the input is not read.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    // A piece of some positions has a stretch of them for each class, `inner` apart; any other is one
    // stretch. In all there are less than 2^31 elements: each has two bytes at least.
    let boxed = params.rows < params.inner;
    let stretches = select(1u, params.classes, boxed);
    let elements = select(params.rows * params.classes, params.rows, boxed);
#if GRAD_HALVES
    let words = elements / 2u + 1u;   // the first element may be in the middle of one
#else
    let words = elements;
#endif
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let word = block * WORKGROUP + index;
        if (word < stretches * words) {
            write_word(word / words * params.inner, word % words, elements);
        }
    }
}

#if GRAD_HALVES
// Word `word` of the elements from `start` on: two of them. Of the first word and the last, one half may
// be another piece's, whose dispatch is another one.
fn write_word(start: u32, word: u32, elements: u32) {
    let lead = (params.grad_origin + start) % 2u;
    let end = lead + elements;
    if (2u * word >= end) { return; }
    var value = 0u;
    var mask = 0u;
    if (2u * word >= lead) {
        value = narrowed_{grad}(gathered_gradient(start + 2u * word - lead));
        mask = 0xffffu;
    }
    if (2u * word + 1u < end) {
        value |= narrowed_{grad}(gathered_gradient(start + 2u * word + 1u - lead)) << 16u;
        mask |= 0xffff0000u;
    }
    let at = (params.grad_origin + start) / 2u + word;
    if (mask != 0xffffffffu) { value |= grad[at] & ~mask; }
    grad[at] = value;
}
#else
// Element `word` of those from `start` on.
fn write_word(start: u32, word: u32, elements: u32) {
    grad[params.grad_origin + start + word] = gathered_gradient(start + word);
}
#endif

// The gradient at the element that is `at` behind the piece's first one.
fn gathered_gradient(at: u32) -> u32 {
    let plane = at / params.inner;
    let row = plane / params.classes * params.inner + at % params.inner;
    let r = open_rows(row, true);
    if (r.kind == BAD) { return NAN; }
    if (r.kind != LIVE || r.class_index != plane % params.classes) { return 0u; }
    return bitcast<u32>(-r.own * gradient_scale(row));
}
