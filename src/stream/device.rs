//! What computes losses, chosen at run time.

use super::sink::Sink;
use crate::{Error, Inputs, Loss, Output, Outputs};

/// Computes losses over host data: a [`Gpu`], or [`Cpu`](crate::reference::Cpu). The [module](super) has an example.
///
/// Losses come as f32 from either; [`reference`](mod@crate::reference) has the CPU's in f64.
#[cfg_attr(feature = "gpu", doc = "\n\n[`Gpu`]: crate::Gpu")]
#[cfg_attr(not(feature = "gpu"), doc = "\n\n[`Gpu`]: crate#features")]
pub trait Device {
    /// Computes `loss` and returns all outputs in vectors.
    ///
    /// # Errors
    /// Shapes, lengths and options that do not fit; [`Error::BadTargets`] and [`Error::BadValues`] for labels and values
    /// out of range; what the device fails at.
    fn run(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Output<f32>, Error>;

    /// Computes `loss` as [`run`](Self::run) does, but hands large outputs to a sink. They are empty or `None` in what is
    /// returned.
    ///
    /// # Errors
    /// As [`run`](Self::run), and what the sink returns.
    fn run_into(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Output<f32>, Error>;

    /// Computes `loss` over batches that come one by one, as if they were one tensor, batch after batch along the first
    /// axis.
    fn stream<'a>(&'a self, loss: &'a dyn Loss, outputs: Outputs) -> Box<dyn Batches + 'a>;
}

/// A loss over batches that come one by one, of any [`Device`]: the stream of a GPU or of the
/// [`reference`](crate::reference::Stream), whose methods these are.
pub trait Batches {
    /// Sets what a mean over all batches divides by, before the first of them. A gradient of a mean needs it:
    /// [`Stream::divisor`](crate::reference::Stream::divisor) says what it is.
    fn set_divisor(&mut self, divisor: f64);

    /// Takes the next batch. Its large outputs are in the sink when this returns.
    ///
    /// # Errors
    /// As [`Stream::push`](crate::reference::Stream::push), and what the device fails at.
    fn push(&mut self, inputs: &Inputs<'_>, sink: &mut dyn Sink) -> Result<(), Error>;

    /// Returns the loss over all batches.
    ///
    /// # Errors
    /// As [`Stream::finish`](crate::reference::Stream::finish), and what the device fails at.
    fn finish(self: Box<Self>) -> Result<Output<f32>, Error>;
}
