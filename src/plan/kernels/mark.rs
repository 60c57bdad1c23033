//! The kernel `mark`: the labels' logits of rows that are cut, for those that count classes in front of the label's.

use super::labelled::labelled;
use crate::kernels::{Extras, Kernel, Spec};
use crate::plan::work::Work;

/// The kernel. Its states have the same places as for the kernels behind it.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    let extras = Extras::of(&work.problem).without_records();
    Spec { input: work.problem.input_type, extras, ..labelled(work, Kernel::Mark) }
}
