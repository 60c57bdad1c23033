//! The jobs of the subcommands for losses of single elements.

use wgpu_loss::{Bce, BceWithLogits, GaussianNll, KlDiv, LargeOutput, Outputs, PoissonNll};

use super::{Job, Named};
use crate::args::{
    BceArgs, BceWithLogitsArgs, GaussianNllArgs, KlDivArgs, PointArgs, PoissonNllArgs, Tensor,
};
use crate::data::Role;
use crate::formula::Formula;

impl From<BceArgs> for Job {
    fn from(args: BceArgs) -> Self {
        let PointArgs { loss, inspect, run, shards } = args.shared;
        let formula =
            Bce::new().reduction(loss.reduction.into()).empty_mean(loss.empty_mean.into());
        let files = Named::pairs(Role::Values, args.input, args.target, shards);
        Self::new("bce", Formula::Bce(formula), files, run)
            .with(Role::ElementWeight, args.weight.map(Tensor::File))
            .reduced(loss)
            .seen(inspect)
    }
}

impl From<BceWithLogitsArgs> for Job {
    fn from(args: BceWithLogitsArgs) -> Self {
        let PointArgs { loss, inspect, run, shards } = args.shared;
        let formula = BceWithLogits::new()
            .reduction(loss.reduction.into())
            .empty_mean(loss.empty_mean.into());
        let files = Named::pairs(Role::Values, args.input, args.target, shards);
        Self::new("bce-with-logits", Formula::BceWithLogits(formula), files, run)
            .with(Role::ElementWeight, args.weight.map(Tensor::File))
            .with(Role::PosWeight, args.pos_weight)
            .reduced(loss)
            .seen(inspect)
    }
}

impl From<KlDivArgs> for Job {
    fn from(args: KlDivArgs) -> Self {
        let PointArgs { loss, inspect, run, shards } = args.shared;
        let log_target = args.log_target;
        let formula = KlDiv::new()
            .log_target(log_target)
            .reduction(loss.reduction.into())
            .empty_mean(loss.empty_mean.into());
        let files = Named::pairs(Role::Values, args.input, args.target, shards);
        Self::new("kl-div", Formula::KlDiv { loss: formula, log_target }, files, run)
            .reduced(loss)
            .seen(inspect)
            .saving(args.save_target_grad, LargeOutput::TargetGrad, Outputs::with_target_grad)
    }
}

impl From<GaussianNllArgs> for Job {
    fn from(args: GaussianNllArgs) -> Self {
        let PointArgs { loss, inspect, run, shards } = args.shared;
        let eps = args.eps;
        let formula = GaussianNll::new()
            .full(args.full)
            .eps(eps)
            .reduction(loss.reduction.into())
            .empty_mean(loss.empty_mean.into());
        let files = Named::pairs(Role::Values, args.input, args.target, shards);
        Self::new("gaussian-nll", Formula::GaussianNll { loss: formula, eps }, files, run)
            .with(Role::Var, args.var)
            .reduced(loss)
            .seen(inspect)
            .saving(args.save_target_grad, LargeOutput::TargetGrad, Outputs::with_target_grad)
            .saving(args.save_var_grad, LargeOutput::VarGrad, Outputs::with_var_grad)
    }
}

impl From<PoissonNllArgs> for Job {
    fn from(args: PoissonNllArgs) -> Self {
        let PointArgs { loss, inspect, run, shards } = args.shared;
        let (log_input, full, eps) = (!args.no_log_input, args.full, args.eps);
        let formula = PoissonNll::new()
            .log_input(log_input)
            .full(full)
            .eps(eps)
            .reduction(loss.reduction.into())
            .empty_mean(loss.empty_mean.into());
        let files = Named::pairs(Role::Values, args.input, args.target, shards);
        let formula = Formula::PoissonNll { loss: formula, log_input, full, eps };
        Self::new("poisson-nll", formula, files, run).reduced(loss).seen(inspect)
    }
}
