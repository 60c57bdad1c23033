// The gradient of nll: -w_t times the scale at the label, 0 elsewhere. A lane per element, so
// writes coalesce; the input is not read.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let at = block * WORKGROUP + index;
        if (at < params.rows * params.classes) {
            grad[params.grad_origin + at] = gathered_gradient(at);
        }
    }
}

fn gathered_gradient(at: u32) -> u32 {
    let plane = at / params.inner;
    let row = plane / params.classes * params.inner + at % params.inner;
    let r = open_rows(row, true);
    if (r.kind == BAD) { return NAN; }
    if (r.kind != LIVE || r.class_index != plane % params.classes) { return 0u; }
    return bitcast<u32>(-r.own * gradient_scale(row));
}
