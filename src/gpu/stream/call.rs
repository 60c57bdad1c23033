//! Calls on complete host data.

use super::collect::Collected;
use super::executor::Executor;
use super::results::Results;
use crate::broadcast::stated;
use crate::gpu::Gpu;
use crate::poll::{Wait, block_on};
use crate::stream::{Call, Progress, Sink, check_partial, upstream_of};
use crate::{
    Error, Inputs, LargeOutput, Loss, Output, Outputs, Partial, Problem, RowOutputs, RowStates,
};

impl Gpu {
    /// Computes as [`Gpu::run`] does, but passes the losses of rows, gradient and distribution to a sink; they are
    /// empty or `None` in the returned output.
    ///
    /// If the call returns an error, the sink may have received a part of the outputs: bad labels are counted to the
    /// end, and their rows are NaN.
    ///
    /// # Errors
    /// As [`Gpu::run`], and the errors of the sink.
    pub fn run_into(
        &self,
        loss: &(impl Loss + ?Sized),
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<Output<f32>, Error> {
        passed_on(Executor::new(self, Wait::Here, false), loss, inputs, outputs, sink)
    }
}

/// Runs one call on complete host data that passes its large outputs on: [`Gpu::run_into`].
pub(in crate::gpu) fn passed_on(
    executor: Executor<'_>,
    loss: &(impl Loss + ?Sized),
    inputs: &Inputs<'_>,
    outputs: Outputs,
    sink: &mut (impl Sink + ?Sized),
) -> Result<Output<f32>, Error> {
    let mut room = None;
    let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
    inputs.check()?;
    block_on(run(executor, problem, &inputs, sink))
}

/// Runs one call on complete host data.
async fn run(
    executor: Executor<'_>,
    problem: Problem,
    inputs: &Inputs<'_>,
    sink: &mut (impl Sink + ?Sized),
) -> Result<Output<f32>, Error> {
    let call = Call::new(problem, inputs)?;
    let by_shards = call.problem.states.is_some() && call.problem.writes_elements();
    if !by_shards {
        let executor = executed(executor, &call.problem, inputs, call.scale, sink).await?;
        return output_of(&call, executor.results);
    }
    // Losses come from pieces that are the same for all shards, elements from those of this one's logits.
    let losses = call.problem.of_no_classes();
    let executor = executed(executor, &losses, inputs, call.scale, sink).await?;
    let (results, again) = executor.anew();
    let output = output_of(&call, results)?;
    let sink = &mut Elements(sink);
    executed(again, &call.problem, inputs, call.scale, sink).await?;
    Ok(output)
}

/// Computes a problem piece by piece.
async fn executed<'g>(
    mut executor: Executor<'g>,
    problem: &Problem,
    inputs: &Inputs<'_>,
    scale: f64,
    sink: &mut (impl Sink + ?Sized),
) -> Result<Executor<'g>, Error> {
    executor.results.progress.of = Some(problem.losses() as u64);
    executor.push(problem, inputs, scale, sink).await?;
    executor.drain(sink).await?;
    Ok(executor)
}

/// Returns the output of all pieces, without large outputs.
fn output_of(call: &Call, results: Results) -> Result<Output<f32>, Error> {
    let timing = Some(results.timing);
    Ok(Output { timing, ..call.output(results.found)?.narrowed() })
}

/// Runs one call on complete host data, and keeps all outputs.
pub(in crate::gpu) async fn collected(
    executor: Executor<'_>,
    problem: Problem,
    inputs: &Inputs<'_>,
) -> Result<Output<f32>, Error> {
    inputs.check()?;
    let mut large = Collected::new(&problem)?;
    let (probs, fields) = (problem.outputs.probs, problem.state_fields());
    let output = run(executor, problem, inputs, &mut large).await?;
    let states = large.take_words(LargeOutput::States);
    let states = states.map(|words| RowStates::new(fields, words)).transpose()?;
    let distribution = large.take(LargeOutput::Distribution);
    let (log_probs, probs) = if probs { (None, distribution) } else { (distribution, None) };
    Ok(Output {
        loss: large.take(LargeOutput::RowLoss).unwrap_or(output.loss),
        z_loss: large.take(LargeOutput::ZLoss).unwrap_or(output.z_loss),
        grad: large.take(LargeOutput::Grad),
        target_grad: large.take(LargeOutput::TargetGrad),
        var_grad: large.take(LargeOutput::VarGrad),
        log_probs,
        probs,
        rows: RowOutputs::of_words(|what| large.take_words(what)),
        states,
        ..output
    })
}

/// A sink for gradient and distribution alone: the other outputs have been passed on.
struct Elements<'a, S: Sink + ?Sized>(&'a mut S);

impl<S: Sink + ?Sized> Sink for Elements<'_, S> {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        match what {
            LargeOutput::Grad | LargeOutput::Distribution => self.0.write(what, offset, bytes),
            _ => Ok(()),
        }
    }

    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        self.0.progress(done)
    }
}

/// Computes a loss over some of the rows of a whole: [`Device::partial`](crate::stream::Device::partial).
pub(in crate::gpu) fn partial(
    executor: Executor<'_>,
    loss: &dyn Loss,
    inputs: &Inputs<'_>,
    outputs: Outputs,
    sink: &mut dyn Sink,
) -> Result<Partial, Error> {
    let mut room = None;
    let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
    inputs.check()?;
    check_partial(&problem)?;
    let scale = upstream_of(&problem, &inputs);
    let executor = block_on(executed(executor, &problem, &inputs, scale, sink))?;
    Ok(Partial::new(&problem, None, executor.results.found))
}
