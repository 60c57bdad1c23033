//! Calls on complete host data.

use super::executor::Executor;
use crate::broadcast::stated;
use crate::gpu::Gpu;
use crate::poll::{Wait, block_on};
use crate::stream::{Call, Progress, Sink, check_divisor_known, upstream_of};
use crate::{Error, Inputs, LargeOutput, Loss, Output, Outputs, Partial, Problem};

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
        let mut room = None;
        let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
        inputs.check()?;
        block_on(run(self, problem, &inputs, Wait::Here, sink))
    }
}

/// Runs one call on complete host data.
pub(in crate::gpu) async fn run(
    gpu: &Gpu,
    problem: Problem,
    inputs: &Inputs<'_>,
    wait: Wait<'_>,
    sink: &mut (impl Sink + ?Sized),
) -> Result<Output<f32>, Error> {
    let call = Call::new(problem, inputs)?;
    let by_shards = call.problem.states.is_some() && call.problem.writes_elements();
    if !by_shards {
        let executor = executed(gpu, &call.problem, inputs, call.scale, wait, sink).await?;
        return output_of(&call, executor);
    }
    // Losses come from pieces that are the same for all shards, elements from those of this one's logits.
    let losses = call.problem.of_no_classes();
    let executor = executed(gpu, &losses, inputs, call.scale, wait, sink).await?;
    let output = output_of(&call, executor)?;
    let sink = &mut Elements(sink);
    executed(gpu, &call.problem, inputs, call.scale, wait, sink).await?;
    Ok(output)
}

/// Computes a problem piece by piece.
async fn executed<'g>(
    gpu: &'g Gpu,
    problem: &Problem,
    inputs: &Inputs<'_>,
    scale: f64,
    wait: Wait<'g>,
    sink: &mut (impl Sink + ?Sized),
) -> Result<Executor<'g>, Error> {
    let mut executor = Executor::new(gpu, wait, false);
    executor.progress.of = Some(problem.losses() as u64);
    executor.push(problem, inputs, scale, sink).await?;
    executor.drain(problem, sink).await?;
    Ok(executor)
}

/// Returns the output of all pieces, without large outputs.
fn output_of(call: &Call, executor: Executor<'_>) -> Result<Output<f32>, Error> {
    let timing = Some(executor.timing);
    Ok(Output { timing, ..call.output(executor.found)?.narrowed() })
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
    gpu: &Gpu,
    loss: &dyn Loss,
    inputs: &Inputs<'_>,
    outputs: Outputs,
    sink: &mut dyn Sink,
) -> Result<Partial, Error> {
    let mut room = None;
    let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
    inputs.check()?;
    check_divisor_known(&problem)?;
    let scale = upstream_of(&problem, &inputs);
    let executor = block_on(executed(gpu, &problem, &inputs, scale, Wait::Here, sink))?;
    Ok(Partial::new(&problem, None, executor.found))
}
