// The gradient times the upstream gradient, which is a number on the GPU. Both are bound to be written,
// since Burn may have them in one buffer.

@group(0) @binding(0) var<storage, read_write> grad: array<f32>;
@group(0) @binding(1) var<storage, read_write> upstream: array<f32>;
@group(0) @binding(2) var<uniform> length: vec4<u32>;

@compute @workgroup_size(256)
fn scale(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let factor = upstream[0];
    if factor == 1.0 {
        return;
    }
    let stride = groups.x * 256u;
    for (var i = id.x; i < length.x; i += stride) {
        let value = grad[i];
        // What does not count has no gradient, whatever the factor.
        if value != 0.0 {
            grad[i] = value * factor;
        }
    }
}
