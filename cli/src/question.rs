//! A loss, its outputs and its data, and the way they go through a device.

use wgpu_loss::loss::{Divisor, Function};
use wgpu_loss::{Error, Inputs, Outputs, Problem, Reduction};

use crate::data::{Data, Stop};
use crate::error::Failure;
use crate::formula::Formula;

/// A loss, the requested outputs, and the data.
pub struct Question<'a> {
    /// The loss.
    pub formula: &'a Formula,
    /// The outputs requested in addition to the loss.
    pub outputs: Outputs,
    /// The tensors.
    pub data: &'a Data<'a>,
    /// The problem of the loss over this data.
    pub problem: &'a Problem,
}

impl Question<'_> {
    /// Passes the tensors to a stream in batches of as many steps of the first axis as are converted at once. The
    /// classes must not be on that axis.
    pub fn batches(
        &self,
        push: &mut dyn FnMut(&Inputs<'_>) -> Result<(), Error>,
    ) -> Result<(), Stop> {
        let Self { data, problem, .. } = self;
        let (extent, steps) = (problem.input_shape[0], data.batch_steps(problem));
        // At least one batch, so that the shape of the loss is known.
        for start in (0..extent.max(1)).step_by(steps) {
            let end = extent.min(start + steps);
            push(&data.batch(problem, start..end)?.inputs())?;
        }
        Ok(())
    }

    /// Returns the divisor to give to a stream: that of a mean, if it is known or a gradient needs it.
    pub fn divisor(&self) -> Result<Option<f64>, Failure> {
        let Self { data, problem, .. } = self;
        let mean = matches!(problem.reduction, Reduction::Mean | Reduction::BatchMean);
        match problem.divisor {
            Divisor::Known(divisor) if mean && has_loss(problem) => Ok(Some(divisor)),
            Divisor::RowWeights if problem.outputs.grad => data.row_weight_sum(problem).map(Some),
            _ => Ok(None),
        }
    }
}

/// Returns true if there is a loss: the softmaxes give their distribution alone.
pub fn has_loss(problem: &Problem) -> bool {
    problem.function != Function::Softmax
}

/// Returns true if there is a loss for each row or element.
pub fn is_unreduced(problem: &Problem) -> bool {
    has_loss(problem) && problem.reduction == Reduction::None
}
