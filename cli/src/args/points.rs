//! The losses of single elements.

use std::path::PathBuf;

use clap::Args;

use super::values::{self, Tensor};
use super::{InspectArgs, LossArgs, RunArgs, ShardArgs};

/// Arguments that the losses of single elements share.
#[derive(Debug, Args)]
pub struct PointArgs {
    #[command(flatten)]
    pub loss: LossArgs,
    #[command(flatten)]
    pub inspect: InspectArgs,
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub shards: ShardArgs,
}

/// Arguments of `bce`.
#[derive(Debug, Args)]
pub struct BceArgs {
    /// Probabilities, from 0 to 1.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub input: Option<PathBuf>,
    /// Floats from 0 to 1, in the input's shape.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub target: Option<PathBuf>,
    /// A weight for each element, in a shape that broadcasts to the input's.
    #[arg(long, value_name = "FILE")]
    pub weight: Option<PathBuf>,
    #[command(flatten)]
    pub shared: PointArgs,
}

/// Arguments of `bce-with-logits`.
#[derive(Debug, Args)]
pub struct BceWithLogitsArgs {
    /// Logits.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub input: Option<PathBuf>,
    /// Floats from 0 to 1, in the input's shape.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub target: Option<PathBuf>,
    /// A weight for each element, in a shape that broadcasts to the input's.
    #[arg(long, value_name = "FILE")]
    pub weight: Option<PathBuf>,
    /// A weight for the positive part of each element's loss, in a shape that broadcasts to the input's: one for each
    /// class on the last axis, for example. Or one number.
    #[arg(long, value_name = "FILE or NUMBER", value_parser = values::tensor)]
    pub pos_weight: Option<Tensor>,
    #[command(flatten)]
    pub shared: PointArgs,
}

/// Arguments of `kl-div`.
#[derive(Debug, Args)]
pub struct KlDivArgs {
    /// Log-probabilities.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub input: Option<PathBuf>,
    /// Probabilities, in a shape that broadcasts to the input's.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub target: Option<PathBuf>,
    /// The target is log-probabilities, too.
    #[arg(long)]
    pub log_target: bool,
    /// Compute the gradient with respect to the target too and save it, in the target's shape.
    #[arg(long, value_name = "FILE", group = "grads")]
    pub save_target_grad: Option<PathBuf>,
    #[command(flatten)]
    pub shared: PointArgs,
}

/// Arguments of `gaussian-nll`.
#[derive(Debug, Args)]
pub struct GaussianNllArgs {
    /// Expected values.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub input: Option<PathBuf>,
    /// Observations, in a shape that broadcasts to the input's.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub target: Option<PathBuf>,
    /// The variance: in the input's shape, in that without the last axis, in that with 1 for one of its
    /// axes, or one number.
    #[arg(long, value_name = "FILE or NUMBER", value_parser = values::tensor, required_unless_present = "list")]
    pub var: Option<Tensor>,
    /// Add the constant term, log(2 pi) / 2.
    #[arg(long)]
    pub full: bool,
    /// Raise smaller variances to this.
    #[arg(long, value_name = "E", default_value = "1e-6", value_parser = values::finite)]
    pub eps: f32,
    /// Compute the gradient with respect to the target too and save it, in the target's shape.
    #[arg(long, value_name = "FILE", group = "grads")]
    pub save_target_grad: Option<PathBuf>,
    /// Compute the gradient with respect to the variance too and save it, in the variance's shape.
    #[arg(long, value_name = "FILE", group = "grads")]
    pub save_var_grad: Option<PathBuf>,
    #[command(flatten)]
    pub shared: PointArgs,
}

/// Arguments of `poisson-nll`.
#[derive(Debug, Args)]
pub struct PoissonNllArgs {
    /// Logarithms of expected counts.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub input: Option<PathBuf>,
    /// Counts, in a shape that broadcasts to the input's.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub target: Option<PathBuf>,
    /// The input is the expected counts themselves.
    #[arg(long)]
    pub no_log_input: bool,
    /// Add Stirling's approximation of log(target!), where the target is above 1.
    #[arg(long)]
    pub full: bool,
    /// Add this to a count before its logarithm is taken.
    #[arg(long, value_name = "E", default_value = "1e-8", value_parser = values::finite)]
    pub eps: f32,
    #[command(flatten)]
    pub shared: PointArgs,
}
