//! Calls on complete host data.

use super::executor::Executor;
use crate::broadcast::stated;
use crate::gpu::Gpu;
use crate::poll::{Wait, block_on};
use crate::stream::{Call, Sink, Totals};
use crate::{Error, Inputs, Loss, Output, Outputs, Problem};

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
    call.set_weight(&mut executor.sums.summary);
    output_of(&call.problem, executor)
}

/// Returns the output of all pieces, without large outputs.
pub(super) fn output_of(problem: &Problem, executor: Executor<'_>) -> Result<Output<f32>, Error> {
    let Executor { sums, classes, timing, .. } = executor;
    let asked = problem.outputs.class_losses;
    let classes = classes.losses(if asked { problem.view.classes } else { 0 });
    let totals = Totals { sums, classes, timing: Some(timing) };
    Ok(totals.output(problem)?.narrowed())
}
