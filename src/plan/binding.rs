//! Which tensors a problem binds, and the alignment of their offsets.

use crate::loss::{Operand, Pointwise, Upstream};
use crate::tensor::Slot;
use crate::{Problem, Reduction};

/// What the offsets of bindings are multiples of: what the device asks for, and the widest load.
pub(crate) fn offset_alignment(limits: &wgpu::Limits) -> u64 {
    u64::from(limits.min_storage_buffer_offset_alignment).max(32)
}

/// The slots that a problem's tensors fill.
pub(crate) fn bound_slots(problem: &Problem) -> Vec<Slot> {
    let operand = |of: fn(&Pointwise) -> Option<Operand>| {
        problem.pointwise.as_ref().is_some_and(|pointwise| of(pointwise).is_some())
    };
    [
        (true, Slot::Logits),
        (problem.target.is_some(), Slot::Target),
        (problem.is_weighted(), Slot::Weight),
        (operand(|p| p.weight), Slot::ElementWeight),
        (operand(|p| p.pos_weight), Slot::PosWeight),
        (operand(|p| p.var), Slot::Variance),
        (problem.outputs.any_grad() && problem.upstream != Upstream::Ones, Slot::Upstream),
        (problem.row_weights, Slot::RowWeights),
        (problem.reduction == Reduction::None, Slot::RowLoss),
        (problem.outputs.grad, Slot::Grad),
        (problem.outputs.target_grad, Slot::TargetGrad),
        (problem.outputs.var_grad, Slot::VarianceGrad),
        (problem.outputs.log_probs || problem.outputs.probs, Slot::Elements),
        (!problem.record().is_empty(), Slot::Record),
        (problem.outputs.class_losses, Slot::Classes),
    ]
    .into_iter()
    .filter_map(|(on, slot)| on.then_some(slot))
    .collect()
}
