// The gradient of nll: -w_t times the scale at the label, 0 elsewhere. A lane per word that is
// written, so that writes coalesce; the input is not read.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        write_word(block * WORKGROUP + index);
    }
}

#if GRAD_HALVES
// Two elements to a word. Of the first word and the last, one half may be another piece's, whose
// dispatch is another one.
fn write_word(word: u32) {
    let lead = params.grad_origin % 2u;
    let end = lead + params.rows * params.classes;
    if (2u * word >= end) { return; }
    var value = 0u;
    var mask = 0u;
    if (2u * word >= lead) {
        value = narrowed_{grad}(gathered_gradient(2u * word - lead));
        mask = 0xffffu;
    }
    if (2u * word + 1u < end) {
        value |= narrowed_{grad}(gathered_gradient(2u * word + 1u - lead)) << 16u;
        mask |= 0xffff0000u;
    }
    let at = params.grad_origin / 2u + word;
    if (mask != 0xffffffffu) { value |= grad[at] & ~mask; }
    grad[at] = value;
}
#else
fn write_word(at: u32) {
    if (at < params.rows * params.classes) {
        grad[params.grad_origin + at] = gathered_gradient(at);
    }
}
#endif

// The gradient at element `at` of the piece.
fn gathered_gradient(at: u32) -> u32 {
    let plane = at / params.inner;
    let row = plane / params.classes * params.inner + at % params.inner;
    let r = open_rows(row, true);
    if (r.kind == BAD) { return NAN; }
    if (r.kind != LIVE || r.class_index != plane % params.classes) { return 0u; }
    return bitcast<u32>(-r.own * gradient_scale(row));
}
