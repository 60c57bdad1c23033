//! The width of loads, and the number that a lane keeps.

use crate::kernels::{VectorWidth, is_half};
use crate::tensor::ElementType;

/// The most loads of a lane that are written out in the text: compile time grows faster than their number.
pub(super) const UNROLLED: usize = 32;

/// Returns the load by which rows are read that do not start on one.
pub(crate) fn ragged_load(input: ElementType) -> VectorWidth {
    if is_half(input) { VectorWidth::Eight } else { VectorWidth::Four }
}

/// Returns the widest load with a property.
pub(super) fn widest_that(holds: impl Fn(VectorWidth) -> bool) -> Option<VectorWidth> {
    [VectorWidth::Eight, VectorWidth::Four, VectorWidth::One].into_iter().find(|&load| holds(load))
}
