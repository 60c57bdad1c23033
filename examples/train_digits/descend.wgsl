// Gradient descent with momentum, over all parameters at once. They are stored one after the other, and so are
// their gradients and their velocities.

struct Descent {
    parameters: u32,
    gradient: u32,
    velocity: u32,
    count: u32,
    rate: f32,
    momentum: f32,
}

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(1) var<storage, read> descent: Descent;

@compute @workgroup_size(64)
fn descend(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= descent.count {
        return;
    }
    let velocity = descent.momentum * arena[descent.velocity + id.x] + arena[descent.gradient + id.x];
    arena[descent.velocity + id.x] = velocity;
    arena[descent.parameters + id.x] -= descent.rate * velocity;
}
