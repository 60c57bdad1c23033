//! Binary cross-entropy of probabilities.

use super::options::shared_options;
use super::pointwise::{Formula, Statement};
use super::{EmptyMean, Function, Loss, Outputs, Problem, Reduction, Shapes};
use crate::Error;

/// Binary cross-entropy of probabilities, PyTorch's `binary_cross_entropy`.
///
/// For each element `x` of the input, its target `t` and its weight `w`:
///
/// ```text
/// loss      = -w (t log x + (1 - t) log(1 - x)),   each log at least -100
/// gradient    dloss/dx = w (x - t) / max(x (1 - x), 1e-12)
/// ```
///
/// Input and target have one shape and lie in `[0, 1]`: other values are an [`Error::BadValues`] that names
/// the first of them, and their losses and gradients are NaN. The weight
/// ([`Inputs::element_weight`](crate::Inputs::element_weight)) broadcasts to the input's shape as in NumPy. The
/// mean divides by the number of elements, whatever the weights; `batchmean` by the extent of the first
/// axis.
///
/// The logs keep their digits near 1: a loss of 1e-7 is as exact as one of 1. Where the input is logits,
/// [`BceWithLogits`](super::BceWithLogits) is more exact than a sigmoid and this.
///
/// Beyond PyTorch: a NaN is no error. Its loss and gradient are NaN, and the [`Summary`](crate::Summary) counts it. The
/// same holds for an infinite weight.
///
/// ```
/// use wgpu_loss::{Bce, Inputs, Outputs, Tensor, reference};
///
/// let inputs = Inputs::new(Tensor::new(&[0.8, 0.4], &[2])).target(Tensor::new(&[1.0, 0.0], &[2]));
/// let output = reference::run(&Bce::new(), &inputs, Outputs::loss().with_grad())?;
/// // -(log 0.8 + log 0.6) / 2
/// assert!((output.loss[0] - 0.366985).abs() < 1e-6);
/// assert!((output.grad.unwrap()[0] + 0.5 / 0.8).abs() < 1e-6);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bce {
    reduction: Reduction,
    empty_mean: EmptyMean,
}

impl Default for Bce {
    fn default() -> Self {
        Self::new()
    }
}

impl Bce {
    shared_options!(reduction, empty_mean);

    /// Returns the mean over elements.
    pub fn new() -> Self {
        Self { reduction: Reduction::Mean, empty_mean: EmptyMean::Nan }
    }
}

impl Loss for Bce {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        let statement = Statement {
            name: "bce",
            function: Function::Bce,
            formula: Formula::Bce,
            eps: 0.0,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
        };
        statement.problem(shapes, outputs)
    }
}
