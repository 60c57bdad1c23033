//! The reference as a device.

use super::stream::{partial, run_into};
use super::{run, stream};
use crate::stream::{Batches, Device, Sink};
use crate::{Error, Inputs, Loss, Output, Outputs, Partial};

/// The CPU as a [`Device`]: all losses in f64, on all cores. Reduced losses, and the other outputs of [`Device::run`],
/// are rounded to f32 at the end. [`run`](super::run()), [`run_into`](super::run_into()) and
/// [`stream`](super::stream()) return them in f64.
///
/// ```
/// use wgpu_loss::reference::Cpu;
/// use wgpu_loss::stream::Device;
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor};
///
/// let inputs = Inputs::new(Tensor::new(&[0.0; 4], &[2, 2])).labels(&[0u8, 1], &[2]);
/// let output = Cpu.run(&CrossEntropy::new(), &inputs, Outputs::loss().with_grad())?;
/// assert_eq!(output.loss, [2f32.ln()]);
/// assert_eq!(output.grad, Some(vec![-0.25, 0.25, 0.25, -0.25]));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Device for Cpu {
    fn run(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Output<f32>, Error> {
        run(loss, inputs, outputs).map(Output::narrowed)
    }

    fn run_into(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Output<f32>, Error> {
        run_into(loss, inputs, outputs, sink).map(Output::narrowed)
    }

    fn partial(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Partial, Error> {
        partial(loss, inputs, outputs, sink)
    }

    fn stream<'a>(&'a self, loss: &'a dyn Loss, outputs: Outputs) -> Box<dyn Batches + 'a> {
        Box::new(stream(loss, outputs))
    }
}
