//! The kernel `variance_grad`: the gradient with respect to variances that several elements share, summed in parts.

use super::pointwise::{evaluating, laid_out, operands};
use crate::kernels::{Geometry, Kernel, Phase, PointwiseSpec, Spec};
use crate::plan::alignment::Alignment;
use crate::plan::work::Work;

/// The most elements that a lane sums if many share a variance.
const SERIAL: usize = 4096;
/// The number of parts that one lane sums.
const FEW_PARTS: u32 = 64;

/// Returns true if a gradient of variances is requested that several elements share.
pub(in crate::plan) fn is_wanted(work: &Work) -> bool {
    let shared = work.problem.pointwise.is_some_and(|pointwise| pointwise.sums_var());
    work.problem.outputs.var_grad && shared
}

/// Returns the pieces, grouped by their variances.
pub(in crate::plan) fn pieces_of_variances(work: &Work) -> Vec<Vec<usize>> {
    let Some(var) = work.problem.pointwise.and_then(|pointwise| pointwise.var) else {
        return Vec::new();
    };
    let first_of = |&piece: &usize| {
        let piece = &work.pieces[piece];
        let first = [piece.outer.start, piece.classes.start, piece.inner.start];
        var.axes.place(&work.problem.view, first)
    };
    let mut order: Vec<usize> = (0..work.pieces.len()).collect();
    order.sort_by_key(|piece| (first_of(piece), work.pieces[*piece].outer.start));
    order.chunk_by(|a, b| first_of(a) == first_of(b)).map(<[usize]>::to_vec).collect()
}

/// Returns the kernel that sums parts of a piece's elements.
pub(in crate::plan) fn fold(work: &Work, piece: usize) -> Spec {
    let spec = evaluating(work, Kernel::VarianceGrad);
    let spec = Spec { phase: Phase::Fold, upstream: work.problem.upstream, ..spec };
    laid_out(work, spec, piece, Alignment::BEST)
}

/// Returns the kernel that computes the gradient from the sums of `parts` parts.
pub(in crate::plan) fn merge(work: &Work, parts: u32) -> Spec {
    let lanes = if parts <= FEW_PARTS { 1 } else { work.flat.workgroup };
    let pointwise = PointwiseSpec {
        variance_grad: work.problem.pointwise.map(|pointwise| pointwise.var_grad),
        ..operands(work)
    };
    Spec {
        phase: Phase::Merge,
        pointwise: Some(pointwise),
        ..Spec::new(Kernel::VarianceGrad, Geometry { lanes, ..work.flat })
    }
}

/// Returns the number of parts in which the elements of pieces with the same variances are summed: enough to keep the
/// device busy, and to keep every lane's sum short.
pub(in crate::plan) fn parts(work: &Work, pieces: &[usize]) -> u32 {
    let rows = work.rows_of(pieces[0]);
    let summed = pieces.iter().map(|&piece| work.view_of(piece).classes).max().unwrap_or(0);
    let busy = work.profile.tuning.fill as usize * work.flat.workgroup as usize;
    let parts = busy.div_ceil(rows.max(1)).min(summed.div_ceil(16));
    parts.max(summed.div_ceil(SERIAL)).max(1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Shapes;
    use crate::plan::dispatch::Dispatch;
    use crate::{ElementType, GaussianNll, Outputs, Plan, Profile, TargetType};

    /// Few variances of many elements are summed in as many parts as keep the device busy, and many variances whole.
    #[test]
    fn sums_are_shared_by_as_many_lanes_as_are_idle_otherwise() {
        const F32: ElementType = ElementType::F32;
        let profile = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        let lanes = profile.tuning.fill * profile.tuning.workgroup;
        for (rows, summed) in [(1, 1 << 24), (7, 1 << 20), (1 << 20, 32), (1000, 1600)] {
            let (shape, var) = ([rows, summed], [rows, 1]);
            let target = TargetType::Values(F32);
            let shapes = Shapes::new(&shape).target(target, &shape).var(F32, &var);
            let outputs = Outputs::loss().with_var_grad();
            let plan = Plan::new(&GaussianNll::new(), &shapes, outputs, &profile).unwrap();
            let folds = |dispatch: &&Dispatch| {
                dispatch.spec.kernel == Kernel::VarianceGrad && dispatch.spec.phase == Phase::Fold
            };
            let parts = plan.all_dispatches().iter().find(folds).expect("a sum").parts;
            let (busy, summed) = (lanes.div_ceil(rows as u32), summed as u32);
            let allowed = busy.min(summed / 16)..=busy.max(summed / 4096);
            assert!(allowed.contains(&parts), "{parts} of {busy}: {plan}");
        }
    }
}
