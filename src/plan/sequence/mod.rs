//! The dispatches of a plan: its kernels, in their order.

mod elements;
mod softmax;
mod states;

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
    if plan.work.problem.class_shard.is_some() {
        return states::lay_out(plan);
    }
    let outputs = plan.work.problem.outputs;
    if outputs.class_losses {
        let (spec, words) = zero_fill::class_sums(&plan.work);
        plan.clear(spec, words)?;
    }
    if outputs.grad && plan.work.problem.divisor == Divisor::RowWeights && !plan.work.own_divisor {
        find_divisor(plan)?;
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

/// Adds the dispatches that leave the mean's divisor in the workspace: one if there are few rows.
fn find_divisor(plan: &mut PlanBuilder) -> Result<(), Error> {
    if let Some(spec) = sum_row_weights::of_few_rows(&plan.work) {
        return plan.add(Dispatch { groups: 1, ..Dispatch::over(spec, 0) }).map(drop);
    }
    let weighed = plan.over_pieces(sum_row_weights::spec(&plan.work))?;
    plan.over_partials(reduce_partials::divisor(&plan.work), weighed)
}

#[cfg(test)]
mod tests {
    use crate::kernels::{Kernel, Outcome, Spec};
    use crate::loss::Shapes;
    use crate::{CrossEntropy, ElementType, LabelType, Outputs, Plan, Profile, TargetType};

    /// Few rows take few dispatches: a launch takes as long as a kernel over some thousand rows.
    #[test]
    fn few_rows_take_few_dispatches() {
        let card = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        let mut large = card.clone();
        large.limits.max_compute_invocations_per_workgroup = 1024;
        large.limits.max_compute_workgroup_size_x = 1024;
        large.limits.max_compute_workgroup_storage_size = 48 << 10;
        let kept = Outputs::loss().with_grad();
        for (profile, shape, outputs, wanted) in [
            (&card, [4, 10], Outputs::loss(), 1),
            (&card, [4, 10], kept, 1),
            (&card, [64, 1000], Outputs::loss(), 2),
            (&card, [64, 1000], kept, 2),
            (&card, [1024, 1000], kept, 2),
            (&card, [1025, 1000], kept, 3),
            (&card, [4096, 1000], kept, 3),
            (&card, [4097, 1000], kept, 4),
            (&large, [4097, 1000], kept, 3),
            (&large, [16_384, 1000], kept, 3),
            (&large, [16_385, 1000], kept, 4),
            // Groups share rows: the divisor, and three kernels. One group merges the states, and sums.
            (&card, [4, 151_936], kept, 4),
        ] {
            let labels = TargetType::Labels(LabelType::I64);
            let shapes = Shapes::new(&shape).target(labels, &shape[..1]);
            let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, profile).unwrap();
            assert_eq!(plan.dispatches(), wanted, "{shape:?} {outputs:?}\n{plan}");
        }
    }

    /// A kernel that takes on the sum has one binding more, if it needs the workspace too. It does not, where the device
    /// does not allow that.
    #[test]
    fn kernels_that_work_alone_have_as_many_bindings_as_the_device_allows() {
        let mut profile = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        let shapes = Shapes::new(&[2, 40_000])
            .target(TargetType::Labels(LabelType::I64), &[2])
            .weight(40_000)
            .weight_type(ElementType::F32)
            .row_weights(&[2]);
        let mut seen = [0; 2];
        let outputs = Outputs::loss().with_lse();
        for most in 5..=8 {
            profile.limits.max_storage_buffers_per_shader_stage = most;
            let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, &profile).unwrap();
            let bindings = plan.specs().map(|spec| spec.storage_bindings()).max();
            assert!(bindings <= Some(most.into()), "{bindings:?} of {most}: {plan}");
            let sums = |spec: Spec| spec.kernel == Kernel::ReducePartials;
            let alone = plan.specs().all(|spec| !sums(spec));
            assert_eq!(plan.specs().filter(|spec| spec.outcome == Outcome::Result).count(), 1);
            seen[usize::from(alone)] += 1;
        }
        assert!(seen.iter().all(|&plans| plans > 0), "{seen:?}");
    }
}
