//! Calls on complete host data.

use super::executor::Executor;
use crate::broadcast::stated;
use crate::gpu::Gpu;
use crate::poll::{Wait, block_on};
use crate::stream::{Call, Sink, check_divisor_known, upstream_of};
use crate::{Error, Inputs, Loss, Output, Outputs, Partial, Problem};

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
    let mut executor = Executor::new(gpu, wait, false);
    executor.progress.of = Some(call.problem.losses() as u64);
    executor.push(&call.problem, inputs, call.scale, sink).await?;
    executor.drain(&call.problem, sink).await?;
    let timing = Some(executor.timing);
    Ok(Output { timing, ..call.output(executor.found)?.narrowed() })
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
    let mut executor = Executor::new(gpu, Wait::Here, false);
    executor.progress.of = Some(problem.losses() as u64);
    block_on(async {
        let scale = upstream_of(&problem, &inputs);
        executor.push(&problem, &inputs, scale, sink).await?;
        executor.drain(&problem, sink).await
    })?;
    Ok(Partial::new(&problem, None, executor.found))
}
