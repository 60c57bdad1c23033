//! Calls on host data that is all there.

use super::executor::Executor;
use super::sink::Sink;
use crate::expand::stated;
use crate::gpu::Gpu;
use crate::loss::{Divisor, Function, Upstream};
use crate::reference::{gradient_scale, weight_sums};
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
    mut problem: Problem,
    inputs: &Inputs<'_>,
    wait: Wait<'_>,
    sink: &mut (impl Sink + ?Sized),
) -> Result<Output<f32>, Error> {
    let mut weight = None;
    if problem.outputs.grad && problem.divisor == Divisor::RowWeights {
        // The gradient of the first piece needs the weights of all rows.
        let seen = weight_sums(&problem, inputs).summary;
        seen.check_labels(problem.view.classes, problem.ignore_index)?;
        problem.divisor = Divisor::Known(seen.weight);
        weight = Some(seen.weight);
    }
    let scale = match problem.divisor {
        Divisor::Known(divisor) => gradient_scale(upstream_of(&problem, inputs), divisor),
        Divisor::RowWeights => 1.0,
    };
    let mut executor = Executor::new(gpu, wait, false);
    executor.progress.of = Some(problem.losses() as u64);
    executor.push(&problem, inputs, scale, sink).await?;
    executor.drain(&problem, sink).await?;
    if let Some(weight) = weight {
        executor.sums.summary.weight = weight;
    }
    output_of(&problem, executor)
}

/// The gradient with respect to the reduced loss.
pub(super) fn upstream_of(problem: &Problem, inputs: &Inputs<'_>) -> f64 {
    match (problem.upstream, inputs.upstream) {
        (Upstream::Scalar, Some(upstream)) => upstream.data.iter().map(f64::from).sum(),
        _ => 1.0,
    }
}

/// The answer without large outputs.
pub(super) fn output_of(problem: &Problem, executor: Executor<'_>) -> Result<Output<f32>, Error> {
    let Executor { sums, classes, timing, .. } = executor;
    sums.summary.check(problem)?;
    let narrow = |wide: Vec<f64>| wide.into_iter().map(|x| x as f32).collect();
    let (loss, z_loss) = match problem.function {
        Function::Softmax => (Vec::new(), Vec::new()),
        _ => (sums.reduce(problem, Vec::new()), sums.reduce_z(problem, Vec::new())),
    };
    Ok(Output {
        loss: narrow(loss),
        z_loss: narrow(z_loss),
        classes: problem.outputs.class_losses.then(|| classes.losses(problem.view.classes)),
        timing: Some(timing),
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}
