//! The kernel `label_logits`, which stores the labels' logits of cut rows, for kernels that count classes before the
//! label's.

use super::labelled::labelled;
use crate::kernels::{Kernel, RowFeatures, Spec};
use crate::plan::work::Work;

/// Returns the kernel. Its states are at the same offsets as for the later kernels.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    let row_features = RowFeatures::of(&work.problem).without_records();
    Spec { input: work.problem.input_type, row_features, ..labelled(work, Kernel::LabelLogits) }
}
