//! The entropy of the predicted distribution.

use super::options::shared_options;
use super::{
    ClassAxis, ClassShard, Divisor, EmptyMean, Function, Given, Loss, Outputs, Problem, Reduction,
    Shapes, Taken,
};
use crate::{Error, TargetType};

/// The entropy of the softmax of logits along an axis, by default the last one: PyTorch's
/// `Categorical(logits=x).entropy()`.
///
/// ```text
/// H = -sum_c p_c log p_c,   p = softmax(x)
/// gradient: dH/dx_c = p_c (-log p_c - H)
/// ```
///
/// The mean is over rows. A class at `-inf` contributes 0 and has gradient 0; a row of only `-inf`, or with `+inf` or
/// NaN, is NaN.
///
/// ```
/// use wgpu_loss::{Entropy, Inputs, Outputs, Tensor, reference};
///
/// let x = [0.0, 0.0, 3.0, 3.0];
/// let inputs = Inputs::new(Tensor::new(&x, &[2, 2]));
/// let output = reference::run(&Entropy::new(), &inputs, Outputs::loss())?;
/// assert!((output.loss[0] - 2f64.ln()).abs() < 1e-15);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Entropy {
    axis: isize,
    reduction: Reduction,
    empty_mean: EmptyMean,
    class_shard: Option<ClassShard>,
}

impl Default for Entropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy {
    shared_options!(class_shard, reduction, empty_mean);

    /// Returns the mean over rows, of distributions along the last axis.
    pub fn new() -> Self {
        let (reduction, empty_mean) = (Reduction::Mean, EmptyMean::Nan);
        Self { axis: -1, reduction, empty_mean, class_shard: None }
    }

    /// Sets the axis of the classes; negative counts from the end.
    pub fn axis(mut self, axis: isize) -> Self {
        self.axis = axis;
        self
    }
}

impl Loss for Entropy {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        if let Some((target, _)) = shapes.target {
            return Err(Error::Target {
                loss: "entropy",
                given: TargetType::described(Some(target)),
                wanted: "no target",
            });
        }
        shapes.check_class_axis(
            "entropy",
            Taken { class_weights: false, row_weights: true, states: true },
        )?;
        let axis = ClassAxis::new(shapes.input, Some(self.axis))?;
        let instead = "entropy has no labels";
        let class_shard = ClassShard::of_call(self.class_shard, &axis.view, shapes, outputs)?;
        let classes = axis.all_classes(class_shard);
        let given = Given { classes, distribution: true, labels: false, rows: true, instead };
        let outputs = outputs.checked_but_for_states(given)?;
        let row_weights = axis.row_weights(shapes.row_weights)?;
        let divisor = match self.reduction {
            Reduction::None | Reduction::Sum => Divisor::Known(1.0),
            Reduction::BatchMean => Divisor::Known(axis.batch as f64),
            Reduction::Mean if row_weights => Divisor::RowWeights,
            Reduction::Mean => Divisor::Known(axis.view.rows() as f64),
        };
        Ok(Problem {
            divisor,
            upstream: axis.upstream(self.reduction, shapes)?,
            row_weights,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
            class_shard,
            states: shapes.states,
            ..axis.problem(Function::Entropy, shapes, outputs)
        })
    }
}
