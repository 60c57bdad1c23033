// What a dispatch is told about its piece. A binding starts at a multiple of the device's offset
// alignment and the piece a little later: by its origin, in elements of the binding (packs where it
// holds packs; labels, or words where a label has two). Indices count inside the piece, which has no
// more than 2^31 rows and 2^32 - 2^8 bytes of any tensor. Mirrored by `Params` in src/plan/params.rs.
struct Params {
    rows: u32,                  // rows of the piece
    classes: u32,               // classes of the piece
    inner: u32,                 // elements from one class to the next
    turns: u32,                 // blocks of work of one group
    group_step: u32,            // group g's turn t is block g * group_step + t * turn_step
    turn_step: u32,
    row_base: u32,              // the piece's first row in the whole tensor
    partial_base: u32,          // the piece's first partial
    partials: u32,              // partials of all pieces
    logits_origin: u32,
    label_origin: u32,
    probabilities_origin: u32,
    upstream_origin: u32,
    row_loss_origin: u32,
    grad_origin: u32,
    elements_origin: u32,
    ignore_low: u32,            // ignore_index as a 64-bit number
    ignore_high: u32,
    smoothing: f32,             // e
    smoothing_share: f32,       // e / C
    divisor: f32,               // where it is known from the shapes
    empty_mean: u32,            // the mean of nothing, as a word
    weight_origin: u32,
    parts: u32,                 // parts of a row, where groups share it
    part_loads: u32,            // loads of one part
    states: u32,                // where the parts' states begin in the workspace, in words
    label_weights: u32,         // where the weights of cut rows' labels do, behind all states
    class_base_low: u32,        // the piece's first class, as a 64-bit number
    class_base_high: u32,
    all_classes_low: u32,       // classes of the tensor, as a 64-bit number
    all_classes_high: u32,
    row_weights_origin: u32,
    record_origin: u32,         // in words, or in loads of four
    classes_origin: u32,        // in words
    logit_scale: f32,
    softcap: f32,
    z_loss: f32,                // what the square of a row's log-sum-exp is multiplied by
    top_k: u32,
    // For losses of single elements: `rows` is how many loads, `weight_origin`, `probabilities_origin` and
    // `elements_origin` are not theirs.
    first: u32,                 // the first load; where variances' gradients are summed, whether this
                                // piece comes after others of the same rows
    span: u32,                  // elements from one step of the outer axis to the next
    summed: u32,                // elements that share a variance
    sum_inner: u32,             // how far these are apart
    eps: f32,
    target_origin: u32,
    element_weight_origin: u32,
    pos_weight_origin: u32,
    variance_origin: u32,
    target_grad_origin: u32,
    variance_grad_origin: u32,
    result_origin: u32,
}
