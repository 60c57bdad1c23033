// Zeros in the place of the sums of classes.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    // `partials` words, by `turn_step` groups.
    for (var at = group.x * WORKGROUP + index; at < params.partials; at += params.turn_step * WORKGROUP) {
        classes[params.classes_origin + at] = 0u;
    }
}
