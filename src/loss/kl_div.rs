//! Kullback-Leibler divergence, term by term.

use super::options::shared_options;
use super::pointwise::{Formula, Statement};
use super::{EmptyMean, Function, Loss, Outputs, Problem, Reduction, Shapes};
use crate::Error;

/// The terms of the Kullback-Leibler divergence, PyTorch's `kl_div`.
///
/// For each element `x` of the input, a log-probability, and its target `t`, a probability, or with
/// [`log_target`](Self::log_target) a log-probability:
///
/// ```text
/// loss       = t (log t - x)            log_target: exp(t) (t - x)
/// gradients    dloss/dx = -t                          -exp(t)
///              dloss/dt = log t - x + 1               exp(t) (t - x + 1)
/// ```
///
/// The divergence of whole distributions is the sum of their terms: reduction `batchmean`, which divides by the extent
/// of the first axis. `mean` divides by the number of elements, as PyTorch's does. The target broadcasts to the input's
/// shape as in NumPy; its gradient ([`Outputs::with_target_grad`](super::Outputs::with_target_grad)) is available for
/// targets of the input's shape.
///
/// Beyond PyTorch: a target of probability 0 (or log-probability `-inf`) gives loss 0 and gradients 0 for every input,
/// `-inf` included. Elsewhere an input of `-inf` gives `+inf`. A negative target's loss is NaN, as in PyTorch, and so
/// is that of an infinite one.
///
/// ```
/// use wgpu_loss::{Inputs, KlDiv, Outputs, Reduction, Tensor, reference};
///
/// let log_probs = [0.5f32.ln(), 0.5f32.ln()];
/// let inputs = Inputs::new(Tensor::new(&log_probs, &[1, 2])).target(Tensor::new(&[1.0, 0.0], &[1, 2]));
/// let loss = KlDiv::new().reduction(Reduction::BatchMean);
/// let output = reference::run(&loss, &inputs, Outputs::loss().with_grad().with_target_grad())?;
/// assert!((output.loss[0] - 2f64.ln()).abs() < 1e-7);
/// assert_eq!(output.grad.unwrap(), [-1.0, 0.0]);
/// assert!((output.target_grad.unwrap()[0] - 1.0 - 2f64.ln()).abs() < 1e-7);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KlDiv {
    log_target: bool,
    reduction: Reduction,
    empty_mean: EmptyMean,
}

impl Default for KlDiv {
    fn default() -> Self {
        Self::new()
    }
}

impl KlDiv {
    shared_options!(reduction, empty_mean);

    /// Returns the mean over elements, of probabilities as target.
    pub fn new() -> Self {
        Self { log_target: false, reduction: Reduction::Mean, empty_mean: EmptyMean::Nan }
    }

    /// Sets whether targets are log-probabilities.
    pub fn log_target(mut self, log_target: bool) -> Self {
        self.log_target = log_target;
        self
    }
}

impl Loss for KlDiv {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        let statement = Statement {
            name: "kl_div",
            function: Function::KlDiv,
            formula: Formula::KlDiv { log_target: self.log_target },
            eps: 0.0,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
        };
        statement.problem(shapes, outputs)
    }
}
