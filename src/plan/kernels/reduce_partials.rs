//! The kernel `reduce_partials`, which sums the partials and computes the loss.

use crate::kernels::{Kernel, Outcome, RowFeatures, Spec};
use crate::loss::Divisor;
use crate::plan::work::Work;

/// Returns the kernel.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    Spec {
        weighs_rows: work.problem.weighs_rows(),
        row_features: RowFeatures::of(&work.problem).counted(),
        sums_weights: work.problem.divisor == Divisor::RowWeights,
        outcome: Outcome::Result,
        ..Spec::new(Kernel::ReducePartials, work.flat)
    }
}

/// Returns the kernel for the divisor alone, from the partials of `sum_row_weights`.
pub(in crate::plan) fn divisor(work: &Work) -> Spec {
    Spec { outcome: Outcome::Divisor, row_features: RowFeatures::default(), ..spec(work) }
}
