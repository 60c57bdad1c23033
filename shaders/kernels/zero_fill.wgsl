// Writes zeros: the initial sums of classes, or the gradient of variances that no element uses.

import shared::{params, tensor, vectors};

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    for (var at = group.x * WORKGROUP + index; at < params.cleared; at += params.groups * WORKGROUP) {
        @if(CLASS_LOSSES) classes[params.classes_origin + at] = 0u;
        @else write_variance_grad(params.variance_grad_origin + at, pack_of(0u, 0u));
    }
}
