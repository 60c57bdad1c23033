//! Binary cross-entropy of logits.

use super::options::shared_options;
use super::pointwise::{Formula, Statement};
use super::{EmptyMean, Function, Loss, Outputs, Problem, Reduction, Shapes};
use crate::Error;

/// Binary cross-entropy of logits, PyTorch's `binary_cross_entropy_with_logits`.
///
/// For each element `x` of the input, its target `t`, its weight `w` and its positive weight `p`, with
/// `softplus(x) = log(1 + exp x)` and `sigmoid(x) = 1 / (1 + exp -x)`:
///
/// ```text
/// loss      = w (p t softplus(-x) + (1 - t) softplus(x))
/// gradient    dloss/dx = w ((1 - t) sigmoid(x) - p t sigmoid(-x))
/// ```
///
/// For targets in `[0, 1]` every term is positive, so nothing cancels: the loss at logit 20 and target 1 is
/// 2e-9, not 0. The target has the input's shape; the weights
/// ([`Inputs::element_weight`](crate::Inputs::element_weight) and
/// [`Inputs::pos_weight`](crate::Inputs::pos_weight)) broadcast to it as in NumPy. The mean divides by the
/// number of elements, whatever the weights; `batchmean` by the extent of the first axis.
///
/// Beyond PyTorch: at an infinite logit the loss is its limit, 0 or infinite depending on the target, where PyTorch has
/// NaN. An infinite target or weight gives NaN.
///
/// ```
/// use wgpu_loss::{BceWithLogits, Inputs, Outputs, Tensor, reference};
///
/// let logits = Tensor::new(&[2.0, -1.0], &[2]);
/// let inputs = Inputs::new(logits)
///     .target(Tensor::new(&[1.0, 0.0], &[2]))
///     .pos_weight(Tensor::new(&[3.0], &[1]));
/// let output = reference::run(&BceWithLogits::new(), &inputs, Outputs::loss())?;
/// // (3 log(1 + exp -2) + log(1 + exp -1)) / 2
/// assert!((output.loss[0] - 0.347023).abs() < 1e-6);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BceWithLogits {
    reduction: Reduction,
    empty_mean: EmptyMean,
}

impl Default for BceWithLogits {
    fn default() -> Self {
        Self::new()
    }
}

impl BceWithLogits {
    shared_options!(reduction, empty_mean);

    /// Returns the mean over elements.
    pub fn new() -> Self {
        Self { reduction: Reduction::Mean, empty_mean: EmptyMean::Nan }
    }
}

impl Loss for BceWithLogits {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        let statement = Statement {
            name: "bce_with_logits",
            function: Function::BceWithLogits,
            formula: Formula::BceWithLogits,
            eps: 0.0,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
        };
        statement.problem(shapes, outputs)
    }
}
