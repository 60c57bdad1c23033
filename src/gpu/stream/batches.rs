//! Batches that come one by one.

use super::executor::Executor;
use super::results::Results;
use crate::gpu::Gpu;
use crate::poll::{Wait, block_on};
use crate::stream::{Batches, Sink, Whole};
use crate::{Error, Inputs, Loss, Output, Outputs, Partial};

/// A loss over batches that come one by one: see [`Gpu::stream`].
///
/// Batches follow each other along the first axis; their other axes and their kinds of tensors are all the same. Each
/// batch may have its own extent along the first axis; one that is too large for the memory budget is cut. Large
/// outputs go to a sink at offsets within the whole.
///
/// The divisor of the reduction is known at the end, which is early enough for the loss. A gradient of a mean
/// (reductions `mean` and `batchmean`) needs it from the first batch on, so the caller must set it:
/// [`Stream::divisor`].
///
/// Dropping a stream ends it; work that is under way on the device is abandoned.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Gpu, Inputs, Outputs, Tensor};
///
/// // Three batches of two rows, and the gradient of the mean over all six.
/// let (gpu, loss) = (Gpu::new()?, CrossEntropy::new());
/// let mut stream = gpu.stream(&loss, Outputs::loss().with_grad()).divisor(6.0);
/// for label in [3u8, 5, 7] {
///     let labels = [label; 2];
///     let inputs = Inputs::new(Tensor::new(&[0.0; 20], &[2, 10])).labels(&labels, &[2]);
///     stream.push(&inputs, &mut ())?; // in place of `()`, a `Sink` takes the gradient
/// }
/// assert!((stream.finish()?.loss[0] - 10f32.ln()).abs() < 1e-6);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
pub struct Stream<'a> {
    whole: Whole<'a>,
    executor: Executor<'a>,
}

impl Gpu {
    /// Computes `loss` over batches that come one by one, as if they were one tensor, batch after batch
    /// along the first axis. See [`Stream`].
    pub fn stream<'a>(&'a self, loss: &'a dyn Loss, outputs: Outputs) -> Stream<'a> {
        Stream::on(Executor::new(self, Wait::Here, true), loss, outputs)
    }
}

impl<'a> Stream<'a> {
    pub(in crate::gpu) fn on(executor: Executor<'a>, loss: &'a dyn Loss, outputs: Outputs) -> Self {
        Self { whole: Whole::new(loss, outputs), executor }
    }

    /// Sets the divisor of a mean over all batches: for labels the sum of the weights of all labels that are not
    /// ignored (their number, without weights; [`weight_in_divisor`](crate::reference::weight_in_divisor) is a row's
    /// part), for class probabilities the number of rows, for `batchmean` the extent of the first axis. It is used for
    /// loss and gradient alike.
    pub fn divisor(mut self, divisor: f64) -> Self {
        self.whole.set_divisor(divisor);
        self
    }

    /// Computes the next batch. All of its large outputs have been passed to the sink when this returns; sums may still
    /// be under way on a single GPU, so that the caller can make the next batch meanwhile.
    ///
    /// # Errors
    /// The errors of [`Gpu::run`] for a single batch, except for bad labels, which [`Stream::finish`] reports;
    /// [`Error::Shape`] and [`Error::Option`] for a batch that does not fit the earlier ones, or if the classes are the
    /// first axis; [`Error::Option`] for a gradient whose divisor was not set. After these errors the stream is
    /// unchanged.
    ///
    /// The errors of the sink, and [`Error::Device`] if the device fails (of several, if all do): after these the stream
    /// is unusable, and every later call returns the same error.
    pub fn push(
        &mut self,
        inputs: &Inputs<'_>,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Self { whole, executor } = self;
        whole.push(inputs, |problem, inputs, scale| {
            block_on(executor.push(problem, inputs, scale, sink))
        })
    }

    /// Waits for all work under way and returns the loss over all batches, as [`Gpu::run_into`] does.
    ///
    /// # Errors
    /// [`Error::BadTargets`], with positions counted over all batches; [`Error::Option`] if there was no batch; the
    /// error of a push that failed; [`Error::Device`] if the device fails.
    pub fn finish(self) -> Result<Output<f32>, Error> {
        let Self { mut executor, whole } = self;
        let (whole, divisor) = whole.finish()?;
        block_on(executor.drain(&mut ()))?;
        let Results { found, timing, .. } = executor.results;
        let partial = Partial::new(&whole, divisor, found);
        Ok(Output { timing: Some(timing), ..partial.output_of(&whole)?.narrowed() })
    }

    /// Waits for all work under way and returns what was found about all batches, to be merged with what others found.
    /// Bad labels and values are a part of it.
    ///
    /// # Errors
    /// As [`Stream::finish`], except for bad labels and values.
    pub fn partial(self) -> Result<Partial, Error> {
        let Self { mut executor, whole } = self;
        let (whole, divisor) = whole.finish()?;
        block_on(executor.drain(&mut ()))?;
        Ok(Partial::new(&whole, divisor, executor.results.found))
    }
}

impl Batches for Stream<'_> {
    fn set_divisor(&mut self, divisor: f64) {
        self.whole.set_divisor(divisor);
    }

    fn push(&mut self, inputs: &Inputs<'_>, sink: &mut dyn Sink) -> Result<(), Error> {
        Stream::push(self, inputs, sink)
    }

    fn finish(self: Box<Self>) -> Result<Output<f32>, Error> {
        Stream::finish(*self)
    }

    fn partial(self: Box<Self>) -> Result<Partial, Error> {
        Stream::partial(*self)
    }
}
