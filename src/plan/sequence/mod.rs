//! The dispatches of a plan: its kernels, in their order.

mod elements;
mod softmax;

use super::alignment::Alignment;
use super::builder::PlanBuilder;
use super::dispatch::Dispatch;
use super::kernels::{nll_backward, nll_forward, reduce_partials, sum_row_weights, zero_fill};
use crate::Error;
use crate::loss::{Divisor, Function};

/// Adds the dispatches of a problem: the divisor if the gradient depends on it, the losses, the sum.
pub(super) fn lay_out(plan: &mut PlanBuilder) -> Result<(), Error> {
    if plan.work.problem.pointwise.is_some() {
        return elements::lay_out(plan);
    }
    let outputs = plan.work.problem.outputs;
    if outputs.class_losses {
        let (spec, words) = zero_fill::class_sums(&plan.work);
        plan.clear(spec, words)?;
    }
    if outputs.grad && plan.work.problem.divisor == Divisor::RowWeights {
        let weighed = plan.over_pieces(sum_row_weights::spec(&plan.work))?;
        plan.over_partials(reduce_partials::divisor(&plan.work), weighed)?;
    }
    let nll = plan.work.problem.function == Function::Nll;
    let partials = match plan.work.folds_logits() {
        true => softmax::lay_out(plan)?,
        false if nll => plan.over_pieces(nll_forward::spec(&plan.work))?,
        false => 0,
    };
    plan.over_partials(reduce_partials::spec(&plan.work), partials)?;
    if nll && outputs.grad {
        let spec = nll_backward::spec(&plan.work);
        for piece in 0..plan.work.pieces.len() {
            let spec = nll_backward::laid_out(&plan.work, spec, piece, Alignment::BEST);
            plan.add(Dispatch::over(spec, piece))?;
        }
    }
    Ok(())
}
