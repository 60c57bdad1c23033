//! The kernel `finish`: the partials' sums, and the loss.

use crate::kernels::{Extras, Kernel, Spec};
use crate::loss::Divisor;
use crate::plan::work::Work;

/// The kernel.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    Spec {
        weighs_rows: work.problem.weighs_rows(),
        extras: Extras::of(&work.problem).counted(),
        sums_weights: work.problem.divisor == Divisor::RowWeights,
        ..Spec::new(Kernel::Finish, work.flat)
    }
}

/// The same for the divisor alone, from what `weigh` has left.
pub(in crate::plan) fn divisor(work: &Work) -> Spec {
    Spec { divisor_only: true, extras: Extras::default(), ..spec(work) }
}
