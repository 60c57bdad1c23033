//! The kernels' texts: the description of a kernel ([`Spec`]) and its WGSL, from the files in `shaders/`. Nothing here
//! depends on a device or a plan.

mod fields;
mod geometry;
mod layout;
mod names;
mod operand;
mod params;
mod pointwise;
mod record;
mod row_features;
mod source;
mod spec;
mod stage;
mod stores;
mod template;
mod tensor;

pub use layout::VectorWidth;
pub(crate) use source::pack_bytes;
pub(crate) use spec::{SUMMED_ROWS, is_half};
// Public for the tests of this crate, and excluded from semver.
#[doc(hidden)]
pub use {
    crate::tensor::TensorSlot,
    geometry::Geometry,
    layout::{CHUNK, Layout, Residency, RowLoads},
    params::Params,
    pointwise::{OperandSpec, PointwiseSpec, Reading},
    row_features::RowFeatures,
    source::Access,
    spec::{Distribution, Kernel, Outcome, Phase, Spec, StatePlace, Target},
    template::{Asked, Assembly},
};
