// The gradient of nll: -w_t times the scale at the label, 0 elsewhere. A lane per element, so
// writes coalesce; the input is not read.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let item = block * WORKGROUP + index;
        // Below 2^31: elements of a piece have two bytes at least.
        if (item < params.rows * params.classes) { write_gradient(item); }
    }
}

// A piece has positions of one step of the outer axis, or all of them of several steps.
fn write_gradient(item: u32) {
    let positions = min(params.rows, params.inner);
    let plane = item / positions;
    let position = item % positions;
    let row = plane / params.classes * params.inner + position;
    let at = plane * params.inner + position;
    grad[params.grad_origin + at] = gathered_gradient(row, plane % params.classes);
}

fn gathered_gradient(row: u32, class_index: u32) -> u32 {
    let r = open_rows(row, true);
    if (r.kind == BAD) { return NAN; }
    if (r.kind != LIVE || r.class_index != class_index) { return 0u; }
    return bitcast<u32>(-r.own * gradient_scale(row));
}
