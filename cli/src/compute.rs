//! The device: a GPU, or the CPU twin where there is none or none is wanted.

use std::time::{Duration, Instant};

use wgpu_loss::{Error, Gpu, Inputs, Loss, Output, Outputs, Summary, reference};

use crate::adapters::Adapter;
use crate::args::{DeviceArg, RunArgs};
use crate::error::{Failure, say};

/// Where a loss is computed.
pub enum Device {
    /// On a GPU.
    Gpu(Box<Gpu>),
    /// By the f64 reference.
    Cpu,
}

/// What a device gave. Both give f32: the CPU twin's f64 is rounded, so that a result is of one
/// kind wherever it was computed.
#[derive(Debug)]
pub struct Computed {
    /// The loss: one number, one per row, or nothing for the softmaxes.
    pub loss: Vec<f32>,
    /// Its shape.
    pub loss_shape: Vec<usize>,
    /// The gradient, in the input's shape.
    pub grad: Option<Vec<f32>>,
    /// The log-probabilities, in the input's shape.
    pub log_probs: Option<Vec<f32>>,
    /// The probabilities, in the input's shape.
    pub probs: Option<Vec<f32>>,
    /// What was seen in the rows.
    pub summary: Summary,
    /// Where the time went.
    pub seconds: Vec<(&'static str, Duration)>,
}

impl Device {
    /// Finds the device that was asked for.
    pub fn open(args: &RunArgs) -> Result<Self, Failure> {
        if let Some(name) = &args.adapter {
            return Gpu::with_adapter(name).map(Self::gpu).map_err(failed);
        }
        match args.device {
            DeviceArg::Cpu => Ok(Device::Cpu),
            DeviceArg::Gpu => Gpu::new().map(Self::gpu).map_err(failed),
            DeviceArg::Auto => match Gpu::new() {
                Ok(gpu) => Ok(Self::gpu(gpu)),
                Err(Error::NoAdapter { hint, .. }) => {
                    say(&format!("no GPU driver found, computing on the CPU twin; {hint}"));
                    Ok(Device::Cpu)
                }
                // There is a GPU and it is broken: whoever wants the CPU instead should say so.
                Err(error) => Err(Failure::Failed(format!("{error}; --device cpu needs no GPU"))),
            },
        }
    }

    fn gpu(gpu: Gpu) -> Self {
        Device::Gpu(Box::new(gpu))
    }

    /// The adapter, where it is a GPU.
    pub fn adapter(&self) -> Option<Adapter> {
        match self {
            Device::Gpu(gpu) => Some(gpu.info().into()),
            Device::Cpu => None,
        }
    }

    /// Computes a loss.
    pub fn run(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Computed, Error> {
        match self {
            Device::Gpu(gpu) => gpu.run(loss, inputs, outputs).map(Computed::from_gpu),
            Device::Cpu => {
                let start = Instant::now();
                let output = reference::run(loss, inputs, outputs)?;
                let time = start.elapsed();
                Ok(Computed::from_cpu(output, time))
            }
        }
    }
}

impl Computed {
    /// What a GPU gave.
    pub fn from_gpu(output: Output<f32>) -> Self {
        let timing = output.timing.unwrap_or_default();
        Self {
            loss: output.loss,
            loss_shape: output.loss_shape,
            grad: output.grad,
            log_probs: output.log_probs,
            probs: output.probs,
            summary: output.summary,
            seconds: vec![
                ("prepare", timing.prepare),
                ("upload", timing.upload),
                ("kernel", timing.kernel),
                ("read back", timing.read_back),
            ],
        }
    }

    fn from_cpu(output: Output<f64>, time: Duration) -> Self {
        fn rounded(elements: Vec<f64>) -> Vec<f32> {
            elements.into_iter().map(|x| x as f32).collect()
        }
        Self {
            loss: rounded(output.loss),
            loss_shape: output.loss_shape,
            grad: output.grad.map(rounded),
            log_probs: output.log_probs.map(rounded),
            probs: output.probs.map(rounded),
            summary: output.summary,
            seconds: vec![("compute", time)],
        }
    }
}

/// Devices are not in files: their errors stand alone.
fn failed(error: Error) -> Failure {
    Failure::Failed(error.to_string())
}
