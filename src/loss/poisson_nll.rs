//! Negative log-likelihood under a Poisson distribution.

use super::options::shared_options;
use super::pointwise::{Formula, Statement};
use super::{EmptyMean, Function, Loss, Outputs, Problem, Reduction, Shapes};
use crate::Error;

/// Negative log-likelihood under a Poisson distribution, PyTorch's `poisson_nll_loss`.
///
/// For each element `x` of the input, the rate's logarithm or (without [`log_input`](Self::log_input)) the rate
/// itself, and its target `t`, a count:
///
/// ```text
/// loss      = exp(x) - t x              not log_input: x - t log(x + eps)
/// gradient    dloss/dx = exp(x) - t                    1 - t / (x + eps)
/// full      + t log t - t + log(2 pi t) / 2            where t > 1: Stirling's log(t!)
/// ```
///
/// The target broadcasts to the input's shape as in NumPy. The mean divides by the number of elements,
/// `batchmean` by the extent of the first axis.
///
/// Beyond PyTorch: at infinite inputs the loss is its limit, where PyTorch may have NaN (`exp(x)` grows faster than
/// `t x`, `x` grows faster than its logarithm, and a count of 0 makes the other term 0). A rate below `-eps` gives NaN,
/// as does an infinite target.
///
/// ```
/// use wgpu_loss::{Inputs, Outputs, PoissonNll, Tensor, reference};
///
/// let inputs = Inputs::new(Tensor::new(&[0.0, 1.0], &[2])).target(Tensor::new(&[2.0, 1.0], &[2]));
/// let output = reference::run(&PoissonNll::new(), &inputs, Outputs::loss().with_grad())?;
/// // (1 + (e - 1)) / 2
/// assert!((output.loss[0] - 1.359141).abs() < 1e-6);
/// assert_eq!(output.grad.unwrap()[0], -0.5);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PoissonNll {
    log_input: bool,
    full: bool,
    eps: f32,
    reduction: Reduction,
    empty_mean: EmptyMean,
}

impl Default for PoissonNll {
    fn default() -> Self {
        Self::new()
    }
}

impl PoissonNll {
    shared_options!(reduction, empty_mean);

    /// Returns the mean over elements, of the rates' logarithms, without Stirling's terms, `eps` 1e-8.
    pub fn new() -> Self {
        Self {
            log_input: true,
            full: false,
            eps: 1e-8,
            reduction: Reduction::Mean,
            empty_mean: EmptyMean::Nan,
        }
    }

    /// Sets whether the input is the rate's logarithm. True by default.
    pub fn log_input(mut self, log_input: bool) -> Self {
        self.log_input = log_input;
        self
    }

    /// Sets whether Stirling's approximation of `log(t!)` is part of the loss.
    pub fn full(mut self, full: bool) -> Self {
        self.full = full;
        self
    }

    /// Sets the term that keeps the logarithm of a rate of 0 finite, where the input is the rate itself. 1e-8 by
    /// default.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }
}

impl Loss for PoissonNll {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        if !(0.0..=f32::MAX).contains(&self.eps) {
            return Err(Error::Option {
                option: "eps",
                given: self.eps.to_string(),
                wanted: "it must be a finite number of 0 or more",
            });
        }
        let statement = Statement {
            name: "poisson_nll",
            function: Function::PoissonNll,
            formula: Formula::PoissonNll { log_input: self.log_input, full: self.full },
            eps: self.eps,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
        };
        statement.problem(shapes, outputs)
    }
}
