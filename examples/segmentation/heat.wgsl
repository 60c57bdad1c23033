// The losses of an image's pixels over the image. It is drawn several dots to a pixel.

@group(0) @binding(0) var<storage, read> losses: array<f32>; // as the library leaves them
@group(0) @binding(1) var image: texture_2d<f32>;

override dots: u32; // of a pixel, along a side

// A triangle that covers everything.
@vertex
fn cover(@builtin(vertex_index) corner: u32) -> @builtin(position) vec4f {
    let x = select(-1.0, 3.0, corner == 1u);
    let y = select(-1.0, 3.0, corner == 2u);
    return vec4f(x, y, 0.0, 1.0);
}

@fragment
fn heat(@builtin(position) position: vec4f) -> @location(0) vec4f {
    let pixel = vec2u(position.xy) / dots;
    let loss = losses[pixel.y * textureDimensions(image).x + pixel.x];
    // The loss is -log p of the label, so this is what the other classes were given: 0 to 1.
    let wrong = 1.0 - exp(-loss);
    // Pixels that are told right, and those without a label, show the image, in dark grey.
    let grey = dot(textureLoad(image, pixel, 0).rgb, vec3f(0.21, 0.72, 0.07));
    return vec4f(mix(vec3f(0.5 * grey), color(wrong), smoothstep(0.0, 0.3, wrong)), 1.0);
}

// From dark violet over red and orange to pale yellow.
fn color(up: f32) -> vec3f {
    var stops = array(
        vec3f(0.20, 0.04, 0.35),
        vec3f(0.55, 0.09, 0.41),
        vec3f(0.86, 0.24, 0.27),
        vec3f(0.98, 0.56, 0.09),
        vec3f(0.99, 0.98, 0.68),
    );
    let place = clamp(up, 0.0, 1.0) * 4.0;
    let low = min(u32(place), 3u);
    return mix(stops[low], stops[low + 1u], place - f32(low));
}
