//! The device: a GPU, or the CPU twin where there is none or none is wanted.

use std::time::{Duration, Instant};

use wgpu_loss::{Error, Gpu, Outputs, Reduction, Summary};

use crate::adapters::Adapter;
use crate::args::{DeviceArg, RunArgs};
use crate::data::Stop;
use crate::error::{Failure, say};
use crate::results::{Results, What};
use crate::twin::{self, Piece, Question};

/// Where a loss is computed.
pub enum Device {
    /// On a GPU.
    Gpu(Box<Gpu>),
    /// By the f64 reference.
    Cpu,
}

/// What a device gave beside the results that go to their places as they come. Both give f32: the CPU
/// twin's f64 is rounded, so that a result is of one kind wherever it was computed.
#[derive(Debug)]
pub struct Computed {
    /// The loss, where it is reduced.
    pub loss: Option<f32>,
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
                    if !args.quiet {
                        say(&format!("no GPU driver found, computing on the CPU twin; {hint}"));
                    }
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

    /// Computes a loss. Results of a shape go where they are wanted.
    pub fn run(
        &self,
        question: &Question<'_>,
        outputs: Outputs,
        results: &mut Results,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Computed, Stop> {
        match self {
            Device::Gpu(gpu) => on_gpu(gpu, question, outputs, results),
            Device::Cpu => on_cpu(question, outputs, results, progress),
        }
    }
}

fn on_gpu(
    gpu: &Gpu,
    question: &Question<'_>,
    outputs: Outputs,
    results: &mut Results,
) -> Result<Computed, Stop> {
    let problem = question.problem;
    let steps = question.data.whole(problem)?;
    let output = gpu.run(question.formula.loss(), &steps.inputs(), outputs)?;
    let wide = |all: Option<&Vec<f32>>| -> Vec<f64> {
        all.map_or_else(Vec::new, |all| all.iter().map(|&x| x.into()).collect())
    };
    let unreduced = problem.reduction == Reduction::None;
    if unreduced {
        results.write_rounded(What::RowLoss, 0, &wide(Some(&output.loss)))?;
    }
    results.write_rounded(What::Grad, 0, &wide(output.grad.as_ref()))?;
    let distribution = output.log_probs.as_ref().or(output.probs.as_ref());
    results.write_rounded(What::Distribution, 0, &wide(distribution))?;
    let timing = output.timing.unwrap_or_default();
    Ok(Computed {
        loss: output.loss.first().copied().filter(|_| !unreduced),
        summary: output.summary,
        seconds: vec![
            ("prepare", timing.prepare),
            ("upload", timing.upload),
            ("kernel", timing.kernel),
            ("read back", timing.read_back),
        ],
    })
}

fn on_cpu(
    question: &Question<'_>,
    outputs: Outputs,
    results: &mut Results,
    progress: &mut dyn FnMut(u64),
) -> Result<Computed, Stop> {
    let (start, problem) = (Instant::now(), question.problem);
    let mut take = |piece: &Piece<'_>| {
        let output = piece.output;
        if problem.reduction == Reduction::None {
            results.write_rounded(What::RowLoss, piece.row, &output.loss)?;
        }
        for elements in output.grad.iter() {
            results.write_rounded(What::Grad, piece.element, elements)?;
        }
        for elements in output.log_probs.iter().chain(&output.probs) {
            results.write_rounded(What::Distribution, piece.element, elements)?;
        }
        Ok(())
    };
    let totals = twin::run(question, outputs, &mut take, progress)?;
    Ok(Computed {
        loss: totals.loss(problem).map(|loss| loss as f32),
        summary: totals.summary,
        seconds: vec![("compute", start.elapsed())],
    })
}

/// Devices are not in files: their errors stand alone.
fn failed(error: Error) -> Failure {
    Failure::Failed(error.to_string())
}
