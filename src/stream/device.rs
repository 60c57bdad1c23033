//! The interface of devices that compute losses, for a choice at run time.

use super::sink::Sink;
use crate::{Error, Inputs, Loss, Output, Outputs, Partial};

/// Computes losses over host data: a [`Gpu`], a [`MultiGpu`], or [`Cpu`](crate::reference::Cpu).
///
/// All return losses as f32; [`reference`](mod@crate::reference) has the CPU's in f64.
///
/// ```
/// use wgpu_loss::stream::Device;
/// use wgpu_loss::{CrossEntropy, Error, Inputs, Outputs, Tensor, reference::Cpu};
///
/// /// The part of the rows that are predicted right, on whatever the caller has.
/// fn accuracy(device: &dyn Device, inputs: &Inputs<'_>) -> Result<f64, Error> {
///     let output = device.run(&CrossEntropy::new(), inputs, Outputs::loss().with_accuracy())?;
///     Ok(output.summary.correct as f64 / output.summary.live as f64)
/// }
///
/// let inputs = Inputs::new(Tensor::new(&[0.0, 1.0, 3.0, 2.0], &[2, 2])).labels(&[1u8, 1], &[2]);
/// assert_eq!(accuracy(&Cpu, &inputs)?, 0.5);
/// # Ok::<(), Error>(())
/// ```
#[cfg_attr(feature = "gpu", doc = "\n\n[`Gpu`]: crate::Gpu\n[`MultiGpu`]: crate::MultiGpu")]
#[cfg_attr(not(feature = "gpu"), doc = "\n\n[`Gpu`]: crate#features\n[`MultiGpu`]: crate#features")]
pub trait Device {
    /// Computes `loss` and returns all outputs in vectors.
    ///
    /// # Errors
    /// Shapes, lengths and options that do not fit; [`Error::BadTargets`] and [`Error::BadValues`] for labels and
    /// values out of range; failures of the device.
    fn run(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Output<f32>, Error>;

    /// Computes `loss` as [`run`](Self::run) does, but passes large outputs to a sink. They are empty or `None` in the
    /// returned output.
    ///
    /// # Errors
    /// As [`run`](Self::run), and the errors that the sink returns.
    fn run_into(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Output<f32>, Error>;

    /// Computes `loss` over some of the rows of a whole, and returns what was found, to be merged with what others
    /// found. Large outputs are passed to a sink. Bad labels and values are counted in the partial;
    /// [`Partial::finish`] refuses them. [`Partial`] has an example.
    ///
    /// # Errors
    /// As [`run_into`](Self::run_into), except for bad labels and values; [`Error::Option`] for
    /// [`Outputs::only_states`], and for the gradient of a mean, whose divisor is known from all rows alone:
    /// [`stream`](Self::stream) takes it.
    fn partial(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Partial, Error>;

    /// Computes `loss` over batches that come one by one, as if they were one tensor, batch after batch along the first
    /// axis.
    fn stream<'a>(&'a self, loss: &'a dyn Loss, outputs: Outputs) -> Box<dyn Batches + 'a>;
}

/// A loss over batches that come one by one, on any [`Device`]: the stream of a GPU or of the
/// [`reference`](crate::reference::Stream), whose methods these are.
///
/// ```
/// use wgpu_loss::stream::{Batches, Device};
/// use wgpu_loss::{CrossEntropy, Error, Inputs, Outputs, Tensor, reference::Cpu};
///
/// /// Pushes batches of two rows of three classes.
/// fn fill(stream: &mut dyn Batches, batches: &[[f32; 6]]) -> Result<(), Error> {
///     for logits in batches {
///         let inputs = Inputs::new(Tensor::new(logits, &[2, 3])).labels(&[0u8, 2], &[2]);
///         stream.push(&inputs, &mut ())?;
///     }
///     Ok(())
/// }
///
/// let loss = CrossEntropy::new();
/// let mut stream = Cpu.stream(&loss, Outputs::loss());
/// fill(&mut *stream, &[[0.0; 6]; 10])?;
/// assert_eq!(stream.partial()?.summary().rows, 20);
/// # Ok::<(), Error>(())
/// ```
pub trait Batches {
    /// Sets the divisor of a mean over all batches, before the first batch. A gradient of a mean needs it:
    /// [`Stream::divisor`](crate::reference::Stream::divisor) defines it.
    fn set_divisor(&mut self, divisor: f64);

    /// Computes the next batch. All of its large outputs have been passed to the sink when this returns.
    ///
    /// # Errors
    /// As [`Stream::push`](crate::reference::Stream::push), and failures of the device.
    fn push(&mut self, inputs: &Inputs<'_>, sink: &mut dyn Sink) -> Result<(), Error>;

    /// Returns the loss over all batches.
    ///
    /// # Errors
    /// As [`Stream::finish`](crate::reference::Stream::finish), and failures of the device.
    fn finish(self: Box<Self>) -> Result<Output<f32>, Error>;

    /// Returns what was found about all batches, to be merged with what others found.
    ///
    /// # Errors
    /// As [`Stream::partial`](crate::reference::Stream::partial), and failures of the device.
    fn partial(self: Box<Self>) -> Result<Partial, Error>;
}
