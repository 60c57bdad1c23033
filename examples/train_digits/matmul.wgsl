// out = a b, of matrices that all lie in one buffer. An invocation computes one element of the product.

// Element (i, j) lies at start + i * row_step + j * column_step, so a transpose only swaps the steps.
struct Matrix {
    start: u32,
    rows: u32,
    columns: u32,
    row_step: u32,
    column_step: u32,
}

struct Product {
    a: Matrix,
    b: Matrix,
    out: Matrix,
    // What becomes of a sum before it is written, and a row of numbers for it.
    finish: u32,
    bias: u32,
}

const ADD_BIAS = 1u;
const RELU_OF_BIASED = 2u;
const RELU_GRADIENT = 3u; // 0 where `out` holds a 0, which it replaces

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(1) var<storage, read> product: Product;

@compute @workgroup_size(64)
fn multiply(@builtin(global_invocation_id) id: vec3u) {
    let out = product.out;
    let i = id.x / out.columns;
    let j = id.x % out.columns;
    if i >= out.rows {
        return;
    }
    var a = product.a.start + i * product.a.row_step;
    var b = product.b.start + j * product.b.column_step;
    var sum = 0.0;
    for (var k = 0u; k < product.b.rows; k++) {
        sum += arena[a] * arena[b];
        a += product.a.column_step;
        b += product.b.row_step;
    }
    let place = out.start + i * out.row_step + j * out.column_step;
    switch product.finish {
        case ADD_BIAS: { sum += arena[product.bias + j]; }
        case RELU_OF_BIASED: { sum = max(sum + arena[product.bias + j], 0.0); }
        case RELU_GRADIENT: { sum = select(0.0, sum, arena[place] > 0.0); }
        default: {}
    }
    arena[place] = sum;
}
