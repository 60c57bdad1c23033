//! The kernel `sum_row_weights`, which sums the rows' weights.

use super::labelled::labelled;
use crate::kernels::{Kernel, Spec, Target};
use crate::plan::work::Work;

/// Returns the kernel: for rows without labels, it reads the row weights alone.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    let spec = labelled(work, Kernel::SumRowWeights);
    match spec.target {
        Target::Labels(_) => spec,
        _ => Spec { target: Target::None, weight: None, ..spec },
    }
}
