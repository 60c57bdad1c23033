//! The kernel `nll_forward`, which computes nll's losses.

use super::labelled::labelled;
use crate::Reduction;
use crate::kernels::{Kernel, RowFeatures, Spec};
use crate::plan::work::Work;

/// Returns the kernel.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    Spec {
        row_loss: work.problem.reduction == Reduction::None,
        input: work.problem.input_type,
        row_features: RowFeatures::of(&work.problem),
        ..labelled(work, Kernel::NllForward)
    }
}
