//! Batches that come one by one.

use super::call::{output_of, upstream_of};
use super::executor::Executor;
use super::sink::Sink;
use crate::expand::stated;
use crate::gpu::Gpu;
use crate::loss::{Divisor, Operand, Pointwise};
use crate::reference::gradient_scale;
use crate::wait::{Wait, block_on};
use crate::{Error, Inputs, Loss, Output, Outputs, Problem, Reduction};

/// A loss over batches that come one by one: see the [module](super) for an example.
///
/// Batches follow each other along the first axis; their other axes and their kinds of tensors are all
/// the same, while each may have an extent of its own along the first, and one that is too large for the
/// memory budget is cut. Large outputs go to a sink at offsets within the whole.
///
/// What the reduction divides by is known at the end, which is early enough for the loss. A gradient of a
/// mean (reductions `mean` and `batchmean`) needs it from the first batch on, so it has to be given:
/// [`Stream::divisor`].
///
/// Dropping a stream ends it; what is under way on the device is forgotten.
pub struct Stream<'a> {
    loss: &'a dyn Loss,
    outputs: Outputs,
    divisor: Option<f64>,
    executor: Executor<'a>,
    /// The problem that all batches pose together.
    whole: Option<Problem>,
    failed: Option<Error>,
}

impl Gpu {
    /// Computes `loss` over batches that come one by one, as if they were one tensor, batch after batch
    /// along the first axis. See [`Stream`].
    pub fn stream<'a>(&'a self, loss: &'a dyn Loss, outputs: Outputs) -> Stream<'a> {
        Stream {
            loss,
            outputs,
            divisor: None,
            executor: Executor::new(self, Wait::Here, true),
            whole: None,
            failed: None,
        }
    }
}

impl Stream<'_> {
    /// What a mean over all batches divides by: for labels the sum of the weights of all labels that are
    /// not ignored (their number, without weights), for class probabilities the number of rows, for
    /// `batchmean` the extent of the first axis. It counts for loss and gradient alike.
    pub fn divisor(mut self, divisor: f64) -> Self {
        self.divisor = Some(divisor);
        self
    }

    /// Takes the next batch. Its large outputs are in the sink when this returns; what is summed may
    /// still be under way, so that the caller can make the next batch meanwhile.
    ///
    /// # Errors
    /// What [`Gpu::run`] refuses of a batch alone, bad labels excepted, which [`Stream::finish`] tells of;
    /// [`Error::Shape`] and [`Error::Option`] for a batch that does not go with those before it, or where
    /// the classes are the first axis; [`Error::Option`] for a gradient whose divisor nobody has given. A
    /// batch that is refused leaves the stream as it was.
    ///
    /// What the sink returns, and [`Error::Device`] where the device fails: the stream is of no more use,
    /// and every later call gives the same error.
    pub fn push(
        &mut self,
        inputs: &Inputs<'_>,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut room = None;
        let (problem, inputs) = stated(self.loss, inputs, self.outputs, &mut room)?;
        let inputs = &inputs;
        inputs.check()?;
        let whole = self.grown_by(&problem)?;
        let scale = self.scale(&problem, inputs)?;
        let pushed = block_on(self.executor.push(&problem, inputs, scale, sink));
        if let Err(error) = pushed {
            self.failed = Some(error.clone());
            return Err(error);
        }
        self.whole = Some(whole);
        Ok(())
    }

    /// Waits for what is under way and gives the loss over all batches, as [`Gpu::run_into`] does.
    ///
    /// # Errors
    /// [`Error::BadTargets`], where positions are counted over all batches; [`Error::Option`] where there
    /// was no batch; the error of a push that failed; [`Error::Device`] where the device fails.
    pub fn finish(self) -> Result<Output<f32>, Error> {
        let Self { mut executor, whole, failed, divisor, .. } = self;
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(mut whole) = whole else {
            return Err(Error::Option {
                option: "stream",
                given: "without a batch".into(),
                wanted: "it needs at least one, which may be empty, to know the loss's shape",
            });
        };
        block_on(executor.drain(&whole, &mut ()))?;
        if let Some(divisor) = divisor {
            whole.divisor = Divisor::Known(divisor);
        }
        output_of(&whole, executor)
    }

    /// The problem that all batches pose together with the next one.
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
        let Some(whole) = &self.whole else { return Ok(batch.clone()) };
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

    /// What the gradient is multiplied by.
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
            None if is_mean(batch) && batch.outputs.any_grad() => refuse(
                "unknown".into(),
                "the gradient of a mean over a stream needs it from the first batch on: give it with \
                 Stream::divisor",
            ),
            None => Ok(upstream),
        }
    }
}

fn is_mean(problem: &Problem) -> bool {
    matches!(problem.reduction, Reduction::Mean | Reduction::BatchMean)
}
