//! The kernel `nll_backward`, which writes nll's gradient.

use super::labelled::{labelled, with_grad};
use crate::kernels::{Kernel, Spec, is_half};
use crate::plan::work::Work;
use crate::tensor::ClassView;

/// Returns the kernel.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    with_grad(work, labelled(work, Kernel::NllBackward))
}

/// Returns the number of lanes for the elements of a piece of this view: one for each element. If two elements share a
/// word, one for each word of each run of consecutive elements, which may start inside a word.
pub(super) fn lanes(spec: &Spec, view: ClassView, rows: u64) -> u64 {
    let (classes, inner) = (view.classes as u64, view.inner as u64);
    let positions = rows.min(inner);
    match positions == inner {
        _ if !is_half(spec.output) => rows * classes,
        true => rows * classes / 2 + 1,
        false => classes * (positions / 2 + 1),
    }
}
