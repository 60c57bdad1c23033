//! The kernel `clear`: zeros.

use super::pointwise::operands;
use crate::kernels::{Extras, Kernel, PointwiseSpec, Spec};
use crate::plan::work::Work;
use crate::tensor::Slot;
use crate::words::CLASS_WORDS;

/// Words that a lane sets to zero.
const BY_LANE: u32 = 64;

/// The kernel for the sums of classes, and how many words these have.
pub(in crate::plan) fn class_sums(work: &Work) -> (Spec, u64) {
    let extras = Extras { class_losses: true, ..Extras::default() };
    // Plans of more classes than that are refused: no binding holds their sums.
    let words = u64::from(CLASS_WORDS).saturating_mul(work.problem.view.classes as u64);
    (Spec { extras, ..Spec::new(Kernel::Clear, work.flat) }, words)
}

/// The kernel for a gradient of variances of an input that has no elements, sums over nothing, and how many elements the
/// gradient has; `None` where none is wanted.
pub(in crate::plan) fn variance_grad(work: &Work) -> Option<(Spec, u64)> {
    let problem = &work.problem;
    if !problem.outputs.var_grad || problem.view.elements() > 0 {
        return None;
    }
    let variance_grad = problem.pointwise.map(|pointwise| pointwise.var_grad);
    let pointwise = PointwiseSpec { variance_grad, ..operands(work) };
    let spec = Spec { pointwise: Some(pointwise), ..Spec::new(Kernel::Clear, work.flat) };
    let tensor = problem.tensor(Slot::VarianceGrad);
    Some((spec, tensor.map_or(0, |tensor| tensor.elements)))
}

/// Groups for so many elements.
pub(in crate::plan) fn groups(work: &Work, spec: &Spec, elements: u32) -> u32 {
    let groups = elements.div_ceil(spec.layout.geometry.workgroup * BY_LANE);
    groups.clamp(1, work.profile.limits.max_compute_workgroups_per_dimension)
}
