//! The losses, and what they share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use wgpu_loss::{EmptyMean, Reduction};

use super::{LookArgs, RunArgs, values};

/// Arguments of `cross-entropy`.
#[derive(Debug, Args)]
pub struct CrossEntropyArgs {
    /// Logits.
    pub input: PathBuf,
    /// Integer labels in the input's shape without the class axis, or float class probabilities in
    /// the input's shape.
    pub target: PathBuf,
    /// Spread this much of the target evenly over all classes, from 0 to 1.
    #[arg(long, value_name = "E", default_value = "0", value_parser = values::fraction)]
    #[arg(allow_negative_numbers = true)]
    pub label_smoothing: f32,
    /// Save the log-probabilities, in the input's shape.
    #[arg(long, value_name = "FILE")]
    pub save_log_probs: Option<PathBuf>,
    #[command(flatten)]
    pub loss: LossArgs,
    #[command(flatten)]
    pub look: LookArgs,
    #[command(flatten)]
    pub run: RunArgs,
}

/// Arguments of `nll`.
#[derive(Debug, Args)]
pub struct NllArgs {
    /// Log-probabilities.
    pub input: PathBuf,
    /// Integer labels in the input's shape without the class axis.
    pub target: PathBuf,
    #[command(flatten)]
    pub loss: LossArgs,
    #[command(flatten)]
    pub look: LookArgs,
    #[command(flatten)]
    pub run: RunArgs,
}

/// Arguments of `softmax` and `log-softmax`.
#[derive(Debug, Args)]
pub struct SoftmaxArgs {
    /// Logits.
    pub input: PathBuf,
    /// Save the result, in the input's shape.
    #[arg(long, value_name = "FILE")]
    pub save_output: Option<PathBuf>,
    #[command(flatten)]
    pub run: RunArgs,
}
/// What the losses with a target share.
#[derive(Debug, Args)]
pub struct LossArgs {
    /// One weight per class.
    #[arg(long, value_name = "FILE")]
    pub weight: Option<PathBuf>,
    /// Leave out the rows with this label [default: -100].
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true)]
    pub ignore_index: Option<i64>,
    /// How the losses of the rows become one number.
    #[arg(long, value_name = "HOW", default_value = "mean")]
    pub reduction: ReductionArg,
    /// What the mean is where no row counts.
    #[arg(long, value_name = "WHAT", default_value = "nan")]
    pub empty_mean: EmptyMeanArg,
    /// Gradient with respect to the loss: one number, or one per row for reduction none.
    #[arg(long, value_name = "FILE", requires = "save_grad")]
    pub upstream: Option<PathBuf>,
    /// Save the loss: one number, or one per row for reduction none.
    #[arg(long, value_name = "FILE")]
    pub save_loss: Option<PathBuf>,
    /// Compute the gradient with respect to the input too and save it, in the input's shape.
    #[arg(long, value_name = "FILE")]
    pub save_grad: Option<PathBuf>,
}
/// `--reduction`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReductionArg {
    /// One loss per row.
    None,
    /// The mean over rows, weighted where there are weights.
    Mean,
    /// The sum over rows.
    Sum,
    /// The sum over rows, divided by the batch size.
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
