// The mean's divisor, from labels and weights alone: the sum of what live rows weigh. It runs before the
// gradient kernels, which need it; a loss without gradient gathers it on the way.

import shared::{numbers, params, row, totals};

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var totals = empty_totals();
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        let block = group.x * params.group_step + turn * params.turn_step;
        let row = block * WORKGROUP + index;
        if (row < params.rows) {
            let r = open_rows(row, true);
            @if(CUT) let counts = r.kind == LIVE && is_counted_here(r);
            @else let counts = r.kind == LIVE;
            if (counts) {
                totals = add(totals, Terms(0.0, r.weight, 0.0, 1.0, false));
                totals.live += 1u;
            }
        }
    }
    write_partial(totals, index, params.partial_base + group.x);
}
