//! The kernel `zero_fill`, which writes zeros.

use super::pointwise::operands;
use crate::kernels::{Kernel, PointwiseSpec, RowFeatures, Spec};
use crate::plan::work::Work;
use crate::tensor::TensorSlot;
use crate::words::CLASS_WORDS;

/// Words that a lane sets to zero.
const BY_LANE: u32 = 64;

/// Returns the kernel for the sums of classes, and their number of words.
pub(in crate::plan) fn class_sums(work: &Work) -> (Spec, u64) {
    let row_features = RowFeatures { class_losses: true, ..RowFeatures::default() };
    // Plans of more classes return an error: no binding holds their sums.
    let words = u64::from(CLASS_WORDS).saturating_mul(work.problem.view.classes as u64);
    (Spec { row_features, ..Spec::new(Kernel::ZeroFill, work.flat) }, words)
}

/// Returns the kernel for the gradient of variances of an input without elements, which are sums over nothing, and the
/// number of the gradient's elements; `None` if it is not requested.
pub(in crate::plan) fn variance_grad(work: &Work) -> Option<(Spec, u64)> {
    let problem = &work.problem;
    if !problem.outputs.var_grad || problem.view.elements() > 0 {
        return None;
    }
    let variance_grad = problem.pointwise.map(|pointwise| pointwise.var_grad);
    let pointwise = PointwiseSpec { variance_grad, ..operands(work) };
    let spec = Spec { pointwise: Some(pointwise), ..Spec::new(Kernel::ZeroFill, work.flat) };
    let tensor = problem.tensor(TensorSlot::VarianceGrad);
    Some((spec, tensor.map_or(0, |tensor| tensor.elements)))
}

/// Returns the number of groups for `elements` elements.
pub(in crate::plan) fn groups(work: &Work, spec: &Spec, elements: u32) -> u32 {
    let groups = elements.div_ceil(spec.layout.geometry.workgroup * BY_LANE);
    groups.clamp(1, work.profile.limits.max_compute_workgroups_per_dimension)
}
