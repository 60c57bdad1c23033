//! Calls on host data that is all there.

use super::executor::Executor;
use crate::expand::stated;
use crate::gpu::Gpu;
use crate::stream::{Call, Sink, Totals};
use crate::wait::{Wait, block_on};
use crate::{Error, Inputs, Loss, Output, Outputs, Problem};

impl Gpu {
    /// As [`Gpu::run`], but the losses of rows, gradient and distribution go to a sink, and are empty or
    /// `None` in what is returned.
    ///
    /// Where the answer is an error, the sink may have a part of the outputs: bad labels are all counted
    /// first, and their rows are NaN.
    ///
    /// # Errors
    /// As [`Gpu::run`], and what the sink returns.
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

/// One call on host data that is all there.
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
