//! The kernel `weigh`: the sum of the rows' weights.

use super::labelled::labelled;
use crate::kernels::{Kernel, Spec, Target};
use crate::plan::work::Work;

/// The kernel: of rows without labels, it reads what weights the rows are given.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    let spec = labelled(work, Kernel::Weigh);
    match spec.target {
        Target::Labels(_) => spec,
        _ => Spec { target: Target::None, weight: None, ..spec },
    }
}
