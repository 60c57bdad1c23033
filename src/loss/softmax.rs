//! The distribution itself: softmax and log-softmax along an axis.

use super::{
    ClassAxis, Divisor, EmptyMean, Function, Loss, Outputs, Problem, Reduction, Shapes, Upstream,
};
use crate::{Error, TargetType};

/// Softmax or log-softmax along an axis, the last one unless told otherwise.
///
/// ```text
/// log_softmax: y_c = x_c - log(sum_j exp x_j)
/// softmax:     y_c = exp(x_c) / sum_j exp x_j
/// ```
///
/// There is no loss: the result is in [`Output::log_probs`](crate::Output::log_probs) or
/// [`Output::probs`](crate::Output::probs). Classes at `-inf` have probability exactly 0; a row of
/// nothing but `-inf`, or with `+inf` or NaN, is NaN.
///
/// ```
/// use wgpu_loss::{Inputs, Outputs, Softmax, Tensor, reference};
///
/// let x = [0.0, 0.0, 1.0, 1.0];
/// let inputs = Inputs::new(Tensor::new(&x, &[2, 2]));
/// let output = reference::run(&Softmax::probs(), &inputs, Outputs::loss())?;
/// assert_eq!(output.probs, Some(vec![0.5; 4]));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    axis: isize,
    log: bool,
}

impl Softmax {
    /// Probabilities.
    pub fn probs() -> Self {
        Self { axis: -1, log: false }
    }

    /// Log-probabilities.
    pub fn log_probs() -> Self {
        Self { axis: -1, log: true }
    }

    /// The axis that is normalised; negative counts from the end.
    pub fn axis(mut self, axis: isize) -> Self {
        self.axis = axis;
        self
    }
}

impl Loss for Softmax {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        if let Some((target, _)) = shapes.target {
            return Err(Error::Target {
                loss: "softmax",
                given: TargetType::described(Some(target)),
                wanted: "no target",
            });
        }
        if outputs.grad || outputs.log_probs {
            return Err(Error::Option {
                option: "outputs",
                given: "gradient or log_probs".into(),
                wanted: "softmax gives its result and nothing beside it",
            });
        }
        shapes.check_class_axis("softmax")?;
        outputs.check_class_axis()?;
        // A scalar is a distribution over one class, as in PyTorch.
        let scalar = shapes.input.is_empty() && (self.axis == 0 || self.axis == -1);
        let axis = ClassAxis::new(if scalar { &[1] } else { shapes.input }, Some(self.axis))?;
        Ok(Problem {
            function: Function::Softmax,
            divisor: Divisor::Known(1.0),
            upstream: Upstream::Ones,
            view: axis.view,
            input_shape: shapes.input.to_vec(),
            class_axis: axis.axis,
            input_type: shapes.input_type,
            output_type: outputs.element_type(shapes.input_type),
            row_shape: axis.row_shape,
            target: None,
            weight_type: None,
            ignore_index: -100,
            label_smoothing: 0.0,
            reduction: Reduction::Sum,
            empty_mean: EmptyMean::Nan,
            outputs: Outputs { grad: false, log_probs: self.log, probs: !self.log, ..outputs },
            pointwise: None,
        })
    }
}
