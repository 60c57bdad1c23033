//! Calls on host data of any size, in pieces that pass through the device one behind the other.
//!
//! A call is cut into pieces, runs of rows whose tensors fit a part of
//! [`GpuOptions::memory_budget`](crate::GpuOptions::memory_budget). While the device computes one
//! piece, the host fills the next one and reads the one before. Each piece is a problem of its own; its
//! sums are merged on the host in f64, with the meaning of the [`reference`](crate::reference).
//!
//! - [`Gpu::run`] collects everything in vectors. It is [`Gpu::run_into`] with a sink of its own.
//! - [`Gpu::run_into`] hands losses of rows, gradient and distribution to a [`Sink`], piece by piece, so
//!   they need no memory: they may go to a file.
//! - [`Gpu::stream`] takes the input itself in batches, as a data loader gives it.
//!
//! ```no_run
//! use wgpu_loss::{CrossEntropy, Gpu, Inputs, Outputs, Tensor};
//!
//! let gpu = Gpu::new()?;
//! let loss = CrossEntropy::new();
//! let mut stream = gpu.stream(&loss, Outputs::loss());
//! for batch in 0..1000 {
//!     let logits = vec![batch as f32; 256 * 10];
//!     let inputs = Inputs::new(Tensor::new(&logits, &[256, 10])).labels(&[3u8; 256], &[256]);
//!     stream.push(&inputs, &mut ())?;
//! }
//! println!("the mean over 256,000 rows: {}", stream.finish()?.loss[0]);
//! # Ok::<(), wgpu_loss::Error>(())
//! ```

mod batches;
mod collect;
mod cut;
mod executor;
mod host;
mod long_rows;
mod merge;
mod ring;
mod sums;

pub use batches::Stream;
pub(super) use collect::Collected;
pub(super) use host::host_bytes;

use self::executor::Executor;
use super::Gpu;
use crate::expand::stated;
use crate::loss::{Divisor, Function, Upstream};
use crate::reference::{gradient_scale, weight_sums};
use crate::wait::{Wait, block_on};
use crate::{Error, Inputs, LargeOutput, Loss, Output, Outputs, Problem};

/// Where large outputs go as they come. `()` is one that drops them.
///
/// ```no_run
/// use wgpu_loss::gpu::stream::Progress;
/// use wgpu_loss::{CrossEntropy, Error, Gpu, Inputs, LargeOutput, Outputs, Sink, Tensor};
///
/// /// Keeps the gradient's bytes, and says how far it is.
/// struct Gradient(Vec<u8>);
///
/// impl Sink for Gradient {
///     fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
///         if what == LargeOutput::Grad {
///             let start = offset as usize;
///             self.0[start..start + bytes.len()].copy_from_slice(bytes);
///         }
///         Ok(())
///     }
///
///     fn progress(&mut self, done: &Progress) -> Result<(), Error> {
///         println!("{} rows of {:?}", done.rows, done.of);
///         Ok(())
///     }
/// }
///
/// let logits = vec![0.5f32; 1 << 20];
/// let inputs = Inputs::new(Tensor::new(&logits, &[1 << 10, 1 << 10])).labels(&[3u8; 1 << 10], &[1 << 10]);
/// let mut gradient = Gradient(vec![0; 4 << 20]);
/// Gpu::new()?.run_into(&CrossEntropy::new(), &inputs, Outputs::loss().with_grad(), &mut gradient)?;
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
pub trait Sink {
    /// Takes a part of an output: its bytes from byte `offset` of the whole tensor on. Every byte of
    /// every output that was asked for comes exactly once, in any order, in whole elements of the
    /// output's type (of the machine's byte order). `bytes` may start at any address.
    ///
    /// # Errors
    /// Whatever goes wrong, as [`Error::Sink`]: it ends the call.
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Hears what is done, after each piece.
    ///
    /// # Errors
    /// Any, to end the call: [`Error::Stopped`] says no more than that.
    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        let _ = done;
        Ok(())
    }
}

impl Sink for () {
    fn write(&mut self, _: LargeOutput, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

/// How far a call is, as a [`Sink`] hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows that are done.
    pub rows: u64,
    /// Of how many; `None` where nobody knows.
    pub of: Option<u64>,
    /// Bytes that were moved to the device and back.
    pub bytes: u64,
}

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
pub(super) async fn run(
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
fn upstream_of(problem: &Problem, inputs: &Inputs<'_>) -> f64 {
    match (problem.upstream, inputs.upstream) {
        (Upstream::Scalar, Some(upstream)) => upstream.data.iter().map(f64::from).sum(),
        _ => 1.0,
    }
}

/// The answer without large outputs.
fn output_of(problem: &Problem, executor: Executor<'_>) -> Result<Output<f32>, Error> {
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
