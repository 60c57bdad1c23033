//! The uniform block of a dispatch.

use super::spec::Spec;
use crate::tensor::TensorSlot;

/// The block's fields, in Rust and, by [`Spec::params`], in `shaders/shared/params.wgsl`.
macro_rules! params {
    ($($(#[$doc:meta])* $name:ident: $type:ident,)*) => {
        /// The parameters of a dispatch over its piece. A binding starts at a multiple of the device's offset
        /// alignment, and the piece a little later: by its origin, in units of `Spec::origin_unit`. Indices count
        /// inside the piece, which has no more than 2^31 rows and 2^32 - 2^8 bytes of any tensor.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        #[allow(missing_docs)]
        pub struct Params {
            $($(#[$doc])* pub $name: $type,)*
            /// The offsets of tensors in their bindings, by their slots.
            pub origins: [u32; TensorSlot::COUNT],
            /// Uniform blocks are bound in multiples of 16 bytes.
            pub unused: [u32; UNUSED],
        }

        /// Names and types of the fields before the origins.
        const FIELDS: &[(&str, &str)] = &[$((stringify!($name), stringify!($type))),*];
    };
}

/// Words of padding to a multiple of 16 bytes.
const UNUSED: usize =
    (FIELDS.len() + TensorSlot::COUNT).next_multiple_of(4) - FIELDS.len() - TensorSlot::COUNT;

params! {
    /// Rows of the piece.
    rows: u32,
    /// Classes of the piece.
    classes: u32,
    /// Elements from one class to the next.
    inner: u32,
    /// Blocks of work of one group.
    turns: u32,
    /// Iteration t of group g is block `g * group_step + t * turn_step`.
    group_step: u32,
    turn_step: u32,
    /// The piece's first row in the whole tensor.
    row_base: u32,
    /// The piece's first partial.
    partial_base: u32,
    /// Partials of all pieces.
    partials: u32,
    /// Partials that the workspace has space for.
    slots: u32,
    /// `ignore_index` as a 64-bit number.
    ignore_low: u32,
    ignore_high: u32,
    /// The smoothing e.
    smoothing: f32,
    /// The smoothing of each class, e / C.
    smoothing_share: f32,
    /// The divisor, if it is known from the shapes.
    divisor: f32,
    /// The value of a mean over nothing, as a word.
    empty_mean: u32,
    /// Parts of a row, if groups share it.
    parts: u32,
    /// Loads of one part.
    part_loads: u32,
    /// The start of the parts' states in the workspace, in words.
    states: u32,
    /// The start of the weights of cut rows' labels, after all states.
    label_weights: u32,
    /// The piece's first class, as a 64-bit number.
    class_base_low: u32,
    class_base_high: u32,
    /// Classes of the tensor, as a 64-bit number.
    all_classes_low: u32,
    all_classes_high: u32,
    logit_scale: f32,
    softcap: f32,
    /// The coefficient of the square of a row's log-sum-exp.
    z_loss: f32,
    /// Ranks below this are counted.
    top_k: u32,
    /// For losses of single elements: loads of the piece.
    loads: u32,
    /// The first load.
    first_load: u32,
    /// Not 0 if this piece comes after others of the same rows: for sums of variances' gradients, and for states of a
    /// shard of classes.
    continues: u32,
    /// For zeros: the number of elements.
    cleared: u32,
    /// For zeros: the number of groups.
    groups: u32,
    /// Elements from one step of the outer axis to the next.
    span: u32,
    /// Elements that share a variance.
    summed: u32,
    /// The distance between elements that share a variance.
    sum_inner: u32,
    eps: f32,
}

impl Spec {
    /// Returns names and types of the block's fields in WGSL. An origin has the name of its tensor's variable.
    pub(super) fn params(&self) -> impl Iterator<Item = (String, &'static str)> {
        let fields = FIELDS.iter().map(|&(name, kind)| (name.to_owned(), kind));
        let origin = |slot| (origin_of(self.variable(slot)), "u32");
        fields.chain(TensorSlot::ALL.into_iter().filter(|slot| self.has_origin(*slot)).map(origin))
    }

    /// Returns true if the block has a tensor's origin. The last ones are there only where states are bound.
    fn has_origin(&self, slot: TensorSlot) -> bool {
        let of_states = |slot| matches!(slot, TensorSlot::GivenStates | TensorSlot::States);
        !of_states(slot)
            || TensorSlot::ALL.into_iter().filter(|&s| of_states(s)).any(|s| self.binds_states(s))
    }
}

/// Returns the name of the origin of the tensor that is bound as `variable`.
pub(super) fn origin_of(variable: &str) -> String {
    format!("{variable}_origin")
}
