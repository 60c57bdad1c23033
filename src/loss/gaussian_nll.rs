//! Negative log-likelihood under a normal distribution.

use super::options::shared_options;
use super::pointwise::{Formula, Statement};
use super::{EmptyMean, Function, Loss, Outputs, Problem, Reduction, Shapes};
use crate::Error;

/// Negative log-likelihood under a normal distribution, PyTorch's `gaussian_nll_loss`.
///
/// For each element `x` of the input, a mean, its target `t`, and its variance `v`, which is bounded from below as
/// `u = max(v, eps)`:
///
/// ```text
/// loss       = (log u + (x - t)^2 / u) / 2         full: + log(2 pi) / 2
/// gradients    dloss/dx = (x - t) / u
///              dloss/dt = (t - x) / u
///              dloss/dv = (1 - (x - t)^2 / u) / (2 u)
/// ```
///
/// The variance ([`Inputs::var`](crate::Inputs::var)) has the input's shape (heteroscedastic); or one value for each
/// row (homoscedastic), in the input's shape without the last axis or with 1 for one of its axes; or it is a single
/// number. Its gradient has its shape: where elements share a variance, it is the sum over them. As in PyTorch, the
/// bound of the variance has no gradient of its own: `dloss/dv` is taken at `u`. A negative variance is an
/// [`Error::BadValues`]. The target broadcasts to the input's shape as in NumPy; its gradient is available for targets
/// of the input's shape.
///
/// Beyond PyTorch: reduction `batchmean`. An infinite input gives the loss `+inf`; an infinite target or
/// variance gives NaN.
///
/// ```
/// use wgpu_loss::{GaussianNll, Inputs, Outputs, Tensor, reference};
///
/// let inputs = Inputs::new(Tensor::new(&[1.0, 3.0], &[1, 2]))
///     .target(Tensor::new(&[2.0, 1.0], &[1, 2]))
///     .var(Tensor::new(&[2.0], &[1, 1]));
/// let outputs = Outputs::loss().with_grad().with_var_grad();
/// let output = reference::run(&GaussianNll::new(), &inputs, outputs)?;
/// // (log 2 + (1 + 4) / 4) / 2
/// assert!((output.loss[0] - 0.971574).abs() < 1e-6);
/// assert_eq!(output.grad.unwrap(), [-0.25, 0.5]);
/// // The mean of (1 - 1/2) / 4 and (1 - 4/2) / 4.
/// assert_eq!(output.var_grad.unwrap(), [-0.0625]);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianNll {
    full: bool,
    eps: f32,
    reduction: Reduction,
    empty_mean: EmptyMean,
}

impl Default for GaussianNll {
    fn default() -> Self {
        Self::new()
    }
}

impl GaussianNll {
    shared_options!(reduction, empty_mean);

    /// Returns the mean over elements, without the constant, `eps` 1e-6.
    pub fn new() -> Self {
        Self { full: false, eps: 1e-6, reduction: Reduction::Mean, empty_mean: EmptyMean::Nan }
    }

    /// Sets whether the constant `log(2 pi) / 2` is part of the loss.
    pub fn full(mut self, full: bool) -> Self {
        self.full = full;
        self
    }

    /// Sets the lower bound of the variance, 1e-6 by default.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }
}

impl Loss for GaussianNll {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        if !(f32::MIN_POSITIVE..=f32::MAX).contains(&self.eps) {
            return Err(Error::Option {
                option: "eps",
                given: self.eps.to_string(),
                wanted: "it must be a finite number above 0 (and no denormal one)",
            });
        }
        let statement = Statement {
            name: "gaussian_nll",
            function: Function::GaussianNll,
            formula: Formula::GaussianNll { full: self.full },
            eps: self.eps,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
        };
        statement.problem(shapes, outputs)
    }
}
