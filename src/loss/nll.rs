//! Negative log-likelihood of log-probabilities: the gather.

use super::options::shared_options;
use super::{
    ClassAxis, EmptyMean, Function, Given, Loss, Outputs, Problem, Reduction, Shapes, Taken,
    check_shape,
};
use crate::{Error, TargetType};

/// Negative log-likelihood of given log-probabilities, PyTorch's `nll_loss`.
///
/// ```text
/// loss = -w_t x_t
/// gradient: dloss/dx_t = -w_t, and 0 at every other class
/// ```
///
/// The input is not normalised here: it is the output of a log-softmax. Only one element per row is
/// read. The class axis is axis 1 (0 for rank 1) unless [`class_axis`](Self::class_axis) says
/// otherwise; labels have the input's shape without it.
///
/// ```
/// use wgpu_loss::{Inputs, Nll, Outputs, Tensor, reference};
///
/// let log_probs = [-0.2, -1.5, -2.0, -1.0, -0.1, -1.3];
/// let inputs = Inputs::new(Tensor::new(&log_probs, &[2, 3]))
///     .labels(&[0u8, 1], &[2])
///     .weight(&[1.0, 0.5, 2.0]);
/// let output = reference::run(&Nll::new(), &inputs, Outputs::loss())?;
/// // (1 * 0.2 + 0.5 * 0.1) / (1 + 0.5)
/// assert!((output.loss[0] - 0.25 / 1.5).abs() < 1e-7);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Nll {
    class_axis: Option<isize>,
    ignore_index: Option<i64>,
    reduction: Reduction,
    empty_mean: EmptyMean,
}

impl Default for Nll {
    fn default() -> Self {
        Self::new()
    }
}

impl Nll {
    shared_options!(class_axis, ignore_index, reduction, empty_mean);

    /// Returns the mean over rows, `ignore_index` -100.
    pub fn new() -> Self {
        Self {
            class_axis: None,
            ignore_index: None,
            reduction: Reduction::Mean,
            empty_mean: EmptyMean::Nan,
        }
    }
}

impl Loss for Nll {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        let axis = ClassAxis::new(shapes.input, self.class_axis)?;
        let target = match shapes.target {
            Some((target @ TargetType::Labels(_), shape)) => {
                check_shape("labels", shape, &axis.row_shape)?;
                target
            }
            other => {
                return Err(Error::Target {
                    loss: "nll",
                    given: TargetType::described(other.map(|(target, _)| target)),
                    wanted: "labels",
                });
            }
        };
        axis.check_weight(shapes.weight, axis.view.classes)?;
        shapes.check_class_axis(
            "nll",
            Taken { class_weights: true, row_weights: true, states: false },
        )?;
        if outputs.log_probs {
            return Err(Error::Option {
                option: "log_probs",
                given: "true".into(),
                wanted: "the input of nll is the log-probabilities already",
            });
        }
        let instead = "nll takes log-probabilities and looks at one of each row";
        let classes = axis.view.classes;
        outputs.check(Given { classes, distribution: false, labels: true, rows: true, instead })?;
        let row_weights = axis.row_weights(shapes.row_weights)?;
        Ok(Problem {
            divisor: self.reduction.divisor(target, &axis, row_weights),
            upstream: axis.upstream(self.reduction, shapes)?,
            target: Some(target),
            weight_type: shapes.given_weight_type(),
            ignore_index: self.ignore_index.unwrap_or(-100),
            row_weights,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
            ..axis.problem(Function::Nll, shapes, outputs)
        })
    }
}
