//! The kernel `gather_grad`: nll's gradient.

use super::labelled::{labelled, with_grad};
use crate::kernels::{Kernel, Spec, is_half};
use crate::plan::work::Work;
use crate::tensor::ClassView;

/// The kernel.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    with_grad(work, labelled(work, Kernel::GatherGrad))
}

/// Lanes for the elements of a piece of this view: one for each. Where two share a word, one for each word of each
/// stretch of elements that follow each other, which may start inside a word.
pub(super) fn lanes(spec: &Spec, view: ClassView, rows: u64) -> u64 {
    let (classes, inner) = (view.classes as u64, view.inner as u64);
    let positions = rows.min(inner);
    match positions == inner {
        _ if !is_half(spec.output) => rows * classes,
        true => rows * classes / 2 + 1,
        false => classes * (positions / 2 + 1),
    }
}
