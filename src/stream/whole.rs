//! The tensor that the batches of a stream form, and the check that batches fit each other.

use super::call::upstream_of;
use crate::broadcast::stated;
use crate::loss::{Divisor, Operand, Pointwise};
use crate::reference::gradient_scale;
use crate::{Error, Inputs, Loss, Outputs, Problem, Reduction};

/// The tensor that all batches of a stream form. Streams of a GPU and of the reference have one each.
pub(crate) struct Whole<'a> {
    loss: &'a dyn Loss,
    outputs: Outputs,
    divisor: Option<f64>,
    /// The problem that all batches pose together.
    problem: Option<Problem>,
    failed: Option<Error>,
}

impl<'a> Whole<'a> {
    pub fn new(loss: &'a dyn Loss, outputs: Outputs) -> Self {
        Self { loss, outputs, divisor: None, problem: None, failed: None }
    }

    pub fn set_divisor(&mut self, divisor: f64) {
        self.divisor = Some(divisor);
    }

    /// Checks the next batch and computes it by `compute`, from its problem, its inputs, and its gradient's factor. A
    /// batch that fails the check leaves the whole unchanged; after a failure of `compute`, every later call fails.
    pub fn push(
        &mut self,
        inputs: &Inputs<'_>,
        compute: impl FnOnce(&Problem, &Inputs<'_>, f64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut room = None;
        let (problem, inputs) = stated(self.loss, inputs, self.outputs, &mut room)?;
        inputs.check()?;
        if problem.class_shard.is_some() {
            return Err(Error::Option {
                option: "states",
                given: "in a stream".into(),
                wanted: "streams compute losses of whole rows",
            });
        }
        let whole = self.grown_by(&problem)?;
        let scale = self.scale(&problem, &inputs)?;
        if let Err(error) = compute(&problem, &inputs, scale) {
            self.failed = Some(error.clone());
            return Err(error);
        }
        self.problem = Some(whole);
        Ok(())
    }

    /// Returns the problem of all batches, and the divisor if it was set.
    ///
    /// # Errors
    /// The error of a batch that could not be computed; [`Error::Option`] if there was no batch.
    pub fn finish(self) -> Result<(Problem, Option<f64>), Error> {
        let Self { problem, failed, divisor, .. } = self;
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(mut whole) = problem else {
            return Err(Error::Option {
                option: "stream",
                given: "without a batch".into(),
                wanted: "it needs at least one, which may be empty, to know the loss's shape",
            });
        };
        if let Some(divisor) = divisor {
            whole.divisor = Divisor::Known(divisor);
        }
        Ok((whole, divisor))
    }

    /// Returns the problem that all batches pose together with the next one.
    fn grown_by(&self, batch: &Problem) -> Result<Problem, Error> {
        if batch.input_shape.is_empty() {
            return Err(Error::Option {
                option: "batch",
                given: "a single number".into(),
                wanted: "batches follow each other along the first axis",
            });
        }
        if batch.class_axis == 0 && batch.pointwise.is_none() {
            return Err(Error::Option {
                option: "class axis",
                given: "0".into(),
                wanted: "batches follow each other along the first axis, so it cannot be the classes'",
            });
        }
        let Some(whole) = &self.problem else { return Ok(batch.clone()) };
        if batch.input_shape[1..] != whole.input_shape[1..] {
            let wanted = [&batch.input_shape[..1], &whole.input_shape[1..]].concat();
            let given = batch.input_shape.clone();
            return Err(Error::Shape { what: "batch", given, wanted });
        }
        let operands = |p: &Pointwise| {
            let types = |operand: Option<Operand>| operand.map(|operand| operand.element_type);
            (types(p.weight), types(p.pos_weight), types(p.var))
        };
        let kind = |p: &Problem| {
            let operands = p.pointwise.as_ref().map(operands);
            (p.class_axis, p.input_type, p.target, p.weight_type, p.upstream, operands)
        };
        if kind(batch) != kind(whole) {
            return Err(Error::Option {
                option: "a batch's kind of tensors",
                given: format!("{:?}", kind(batch)),
                wanted: "all batches of a stream have the same",
            });
        }
        let mut grown = whole.clone();
        grown.view.outer = grown.view.outer.saturating_add(batch.view.outer);
        for (all, more) in [
            (&mut grown.input_shape[0], batch.input_shape[0]),
            (&mut grown.row_shape[0], batch.row_shape[0]),
        ] {
            *all = all.saturating_add(more);
        }
        grown.divisor = match (whole.divisor, batch.divisor) {
            (Divisor::Known(a), Divisor::Known(b)) if is_mean(whole) => Divisor::Known(a + b),
            (divisor, _) => divisor,
        };
        Ok(grown)
    }

    /// Returns the factor of the gradient.
    fn scale(&self, batch: &Problem, inputs: &Inputs<'_>) -> Result<f64, Error> {
        let upstream = upstream_of(batch, inputs);
        let refuse =
            |given: String, wanted| Err(Error::Option { option: "divisor", given, wanted });
        match self.divisor {
            Some(divisor) if !divisor.is_finite() => {
                refuse(divisor.to_string(), "it must be a finite number")
            }
            Some(divisor) if !is_mean(batch) => {
                refuse(divisor.to_string(), "reductions none and sum divide by nothing")
            }
            Some(divisor) => Ok(gradient_scale(upstream, divisor)),
            None => {
                check_divisor_known(batch)?;
                Ok(upstream)
            }
        }
    }
}

/// Refuses what a partial does not have: states of rows, and the gradient of a mean.
pub(crate) fn check_partial(some: &Problem) -> Result<(), Error> {
    match some.outputs.states {
        false => check_divisor_known(some),
        true => Err(Error::Option {
            option: "only_states",
            given: "in a partial".into(),
            wanted: "partials have the losses of rows: merge the states, and take the partial from them",
        }),
    }
}

/// Refuses the gradient of a mean over some of the rows.
fn check_divisor_known(some: &Problem) -> Result<(), Error> {
    match is_mean(some) && some.outputs.any_grad() {
        false => Ok(()),
        true => Err(Error::Option {
            option: "divisor",
            given: "unknown".into(),
            wanted: "the gradient of a mean over some of its rows needs that of all rows: a stream takes it, \
                     with Stream::divisor before the first batch",
        }),
    }
}

fn is_mean(problem: &Problem) -> bool {
    matches!(problem.reduction, Reduction::Mean | Reduction::BatchMean)
}
