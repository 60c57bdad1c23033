//! The kernel `merge_states`, which merges the states of rows.

use crate::kernels::{Kernel, Phase, RowFeatures, Spec, StatePlace};
use crate::plan::work::Work;

/// Returns the kernel that merges states at `from` into the call's tensor.
pub(in crate::plan) fn spec(work: &Work, from: StatePlace) -> Spec {
    Spec {
        phase: Phase::Merge,
        dense_target: work.problem.has_dense_target(),
        row_features: RowFeatures::of(&work.problem).of_fields(),
        states_from: from,
        states_to: StatePlace::Tensor,
        ..Spec::new(Kernel::MergeStates, work.flat)
    }
}
