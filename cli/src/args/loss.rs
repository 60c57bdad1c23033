//! The losses over classes, and the arguments that they share.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use wgpu_loss::{EmptyMean, Reduction};

use super::{InspectArgs, RunArgs, ShardArgs, values};

/// Arguments of `cross-entropy`.
#[derive(Debug, Args)]
pub struct CrossEntropyArgs {
    /// Logits.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub input: Option<PathBuf>,
    /// Integer labels in the input's shape without the class axis, or float class probabilities in
    /// the input's shape.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub target: Option<PathBuf>,
    /// Spread this much of the target evenly over all classes, from 0 to 1.
    #[arg(long, value_name = "E", default_value = "0", value_parser = values::fraction)]
    pub label_smoothing: f32,
    /// Multiply the logits by this before the softmax, after any soft cap: 1 over the temperature.
    #[arg(long, value_name = "S", default_value = "1", value_parser = values::positive)]
    pub logit_scale: f32,
    /// Bound the logits smoothly: replace x by CAP * tanh(x / CAP).
    #[arg(long, value_name = "CAP", value_parser = values::positive)]
    pub softcap: Option<f32>,
    /// Add COEF times the square of each row's log-sum-exp to the function that the gradient is taken of. It is
    /// reported separately from the loss.
    #[arg(long, value_name = "COEF", default_value = "0", value_parser = values::finite)]
    pub z_loss: f32,
    /// Count the rows whose label has the largest logit.
    #[arg(long)]
    pub accuracy: bool,
    /// Count the rows whose label is among the K largest logits.
    #[arg(long, value_name = "K", value_parser = values::small_count)]
    pub top_k: Option<u32>,
    /// Show the rows and the mean loss of each class, worst first.
    #[arg(long)]
    pub per_class: bool,
    /// Save the log-probabilities, in the input's shape.
    #[arg(long, value_name = "FILE")]
    pub save_log_probs: Option<PathBuf>,
    /// Save each row's log-sum-exp, f32.
    #[arg(long, value_name = "FILE")]
    pub save_lse: Option<PathBuf>,
    /// Save each row's predicted class, uint32; 4294967295 where NaN or +inf leaves none.
    #[arg(long, value_name = "FILE")]
    pub save_argmax: Option<PathBuf>,
    /// Save how many classes come before each row's label, uint32: 0 where the prediction is right,
    /// 4294967295 where the row does not count.
    #[arg(long, value_name = "FILE")]
    pub save_rank: Option<PathBuf>,
    /// Save the entropy of each row's distribution, f32.
    #[arg(long, value_name = "FILE")]
    pub save_entropy: Option<PathBuf>,
    /// Save the variance of each row's log-probabilities, f32.
    #[arg(long, value_name = "FILE")]
    pub save_variance: Option<PathBuf>,
    /// Save each row's contribution to the divisor of the mean, f32: 0 where it does not count.
    #[arg(long, value_name = "FILE")]
    pub save_row_weights: Option<PathBuf>,
    #[command(flatten)]
    pub labels: LabelArgs,
    #[command(flatten)]
    pub loss: LossArgs,
    #[command(flatten)]
    pub inspect: InspectArgs,
    #[command(flatten)]
    pub classes: ClassArgs,
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub shards: ShardArgs,
}

/// Arguments of `nll`.
#[derive(Debug, Args)]
pub struct NllArgs {
    /// Log-probabilities.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub input: Option<PathBuf>,
    /// Integer labels in the input's shape without the class axis.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub target: Option<PathBuf>,
    #[command(flatten)]
    pub labels: LabelArgs,
    #[command(flatten)]
    pub loss: LossArgs,
    #[command(flatten)]
    pub inspect: InspectArgs,
    #[command(flatten)]
    pub classes: ClassArgs,
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub shards: ShardArgs,
}

/// Arguments of `softmax` and `log-softmax`.
#[derive(Debug, Args)]
pub struct SoftmaxArgs {
    /// Logits.
    pub input: PathBuf,
    /// Save the result, in the input's shape.
    #[arg(long, value_name = "FILE")]
    pub save_output: Option<PathBuf>,
    /// Gradient with respect to the result, in the input's shape.
    #[arg(long, value_name = "FILE", requires = "save_grad")]
    pub upstream: Option<PathBuf>,
    /// Compute the gradient with respect to the input too and save it, in the input's shape.
    #[arg(long, value_name = "FILE", requires = "upstream")]
    pub save_grad: Option<PathBuf>,
    #[command(flatten)]
    pub classes: ClassArgs,
    #[command(flatten)]
    pub run: RunArgs,
}
/// Arguments of `entropy`.
#[derive(Debug, Args)]
pub struct EntropyArgs {
    /// Logits.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub input: Option<PathBuf>,
    /// A weight for each row, in the input's shape without the class axis; 0 leaves a row out.
    #[arg(long, value_name = "FILE")]
    pub row_weights: Option<PathBuf>,
    #[command(flatten)]
    pub loss: LossArgs,
    #[command(flatten)]
    pub inspect: InspectArgs,
    #[command(flatten)]
    pub classes: ClassArgs,
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub shards: ShardArgs,
}

/// Arguments that the losses over classes share.
#[derive(Debug, Args)]
pub struct ClassArgs {
    /// Axis of the classes, negative from the end [default: 1, or 0 for one axis; the last one for the
    /// softmaxes and the entropy].
    #[arg(long, value_name = "AXIS")]
    pub class_axis: Option<isize>,
}

/// Arguments that the losses of labels share.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// One weight per class.
    #[arg(long, value_name = "FILE")]
    pub weight: Option<PathBuf>,
    /// A weight for each row, in the labels' shape, which applies to its loss and in the mean; 0 leaves a row out.
    #[arg(long, value_name = "FILE")]
    pub row_weights: Option<PathBuf>,
    /// Leave out the rows with this label [default: -100].
    #[arg(long, value_name = "LABEL")]
    pub ignore_index: Option<i64>,
}

/// Arguments that all losses share.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("grads").multiple(true)))]
pub struct LossArgs {
    /// Reduction of the losses to one number.
    #[arg(long, value_name = "HOW", default_value = "mean")]
    pub reduction: ReductionArg,
    /// The mean if no loss counts.
    #[arg(long, value_name = "WHAT", default_value = "nan")]
    pub empty_mean: EmptyMeanArg,
    /// Gradient with respect to the loss: one number, or one for each loss for reduction none.
    #[arg(long, value_name = "FILE", requires = "grads")]
    pub upstream: Option<PathBuf>,
    /// Save the loss: one number, or each loss for reduction none.
    #[arg(long, value_name = "FILE")]
    pub save_loss: Option<PathBuf>,
    /// Compute the gradient with respect to the input too and save it, in the input's shape.
    #[arg(long, value_name = "FILE", group = "grads")]
    pub save_grad: Option<PathBuf>,
}
/// `--reduction`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReductionArg {
    /// Every loss.
    None,
    /// Their mean, weighted where there are weights.
    Mean,
    /// Their sum.
    Sum,
    /// Their sum, divided by the batch size.
    #[value(name = "batchmean")]
    BatchMean,
}

impl From<ReductionArg> for Reduction {
    fn from(arg: ReductionArg) -> Self {
        match arg {
            ReductionArg::None => Reduction::None,
            ReductionArg::Mean => Reduction::Mean,
            ReductionArg::Sum => Reduction::Sum,
            ReductionArg::BatchMean => Reduction::BatchMean,
        }
    }
}

/// `--empty-mean`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EmptyMeanArg {
    /// Not a number.
    Nan,
    /// 0.
    Zero,
}

impl From<EmptyMeanArg> for EmptyMean {
    fn from(arg: EmptyMeanArg) -> Self {
        match arg {
            EmptyMeanArg::Nan => EmptyMean::Nan,
            EmptyMeanArg::Zero => EmptyMean::Zero,
        }
    }
}
