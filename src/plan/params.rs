//! The uniform block of a dispatch.

/// What a dispatch is told about its piece; mirrors `shaders/prelude/params.wgsl`, field for field.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub rows: u32,
    pub classes: u32,
    pub inner: u32,
    pub turns: u32,
    pub group_step: u32,
    pub turn_step: u32,
    pub row_base: u32,
    pub partial_base: u32,
    pub partials: u32,
    pub logits_origin: u32,
    pub label_origin: u32,
    pub probabilities_origin: u32,
    pub upstream_origin: u32,
    pub row_loss_origin: u32,
    pub grad_origin: u32,
    pub elements_origin: u32,
    pub ignore_low: u32,
    pub ignore_high: u32,
    pub smoothing: f32,
    pub smoothing_share: f32,
    pub divisor: f32,
    pub empty_mean: u32,
    pub weight_origin: u32,
    pub parts: u32,
    pub part_loads: u32,
    pub states: u32,
    pub class_base_low: u32,
    pub class_base_high: u32,
    pub all_classes_low: u32,
    pub all_classes_high: u32,
    pub row_weights_origin: u32,
    pub record_origin: u32,
    pub classes_origin: u32,
    pub logit_scale: f32,
    pub softcap: f32,
    pub z_loss: f32,
    pub top_k: u32,
    /// Uniform blocks are bound in multiples of 16 bytes.
    pub padding: [u32; 3],
}
