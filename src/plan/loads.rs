//! Loads: which width, and how many a lane keeps.

use crate::kernels::{Load, is_half};
use crate::tensor::ElementType;

/// Loads of a lane at most that are written out in the text: compilers take longer than in proportion.
pub(super) const UNROLLED: usize = 32;

/// The loads in which rows are read that do not start on one.
pub(crate) fn ragged_load(input: ElementType) -> Load {
    if is_half(input) { Load::Eight } else { Load::Four }
}

/// The widest load with a property.
pub(super) fn widest_that(holds: impl Fn(Load) -> bool) -> Option<Load> {
    [Load::Eight, Load::Four, Load::One].into_iter().find(|&load| holds(load))
}
