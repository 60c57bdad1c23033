//! The device: a GPU, or the CPU twin where there is none or none is wanted.

use std::time::Instant;

use wgpu_loss::gpu::stream::Progress;
use wgpu_loss::loss::Divisor;
use wgpu_loss::{Error, Gpu, GpuOptions, LargeOutput, Output, Reduction, RowColumn, Sink};

use crate::adapter::Adapter;
use crate::args::{DeviceArg, RunArgs};
use crate::computed::Computed;
use crate::data::Stop;
use crate::error::{Failure, say};
use crate::results::Results;
use crate::twin::{self, Piece, Question, has_loss};

/// Where a loss is computed.
pub enum Device {
    /// On a GPU.
    Gpu(Box<Gpu>),
    /// By the f64 reference.
    Cpu,
}

impl Device {
    /// Finds the device that was asked for. On a GPU, a call may take so much memory.
    pub fn open(args: &RunArgs, memory_budget: Option<u64>) -> Result<Self, Failure> {
        let mut options = GpuOptions::new();
        if let Some(bytes) = memory_budget {
            options = options.memory_budget(bytes);
        }
        if args.batch_invariant {
            options = options.batch_invariant();
        }
        if let Some(name) = &args.adapter {
            return Gpu::with_options(&options.adapter(name)).map(Self::gpu).map_err(failed);
        }
        match args.device {
            DeviceArg::Cpu => Ok(Device::Cpu),
            DeviceArg::Gpu => Gpu::with_options(&options).map(Self::gpu).map_err(failed),
            DeviceArg::Auto => match Gpu::with_options(&options) {
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
        results: &mut Results,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Computed, Stop> {
        match self {
            Device::Gpu(gpu) => on_gpu(gpu, question, results, progress),
            Device::Cpu => on_cpu(question, results, progress),
        }
    }
}

fn on_gpu(
    gpu: &Gpu,
    question: &Question<'_>,
    results: &mut Results,
    progress: &mut dyn FnMut(u64),
) -> Result<Computed, Stop> {
    let mut going = Going { results, progress, failure: None };
    let output = match question.data.in_place() {
        true => {
            let whole = question.data.whole(question.problem)?;
            gpu.run_into(question.formula.loss(), &whole.inputs(), question.outputs, &mut going)
                .map_err(Stop::from)
        }
        false => in_batches(gpu, question, &mut going),
    };
    // What ended the work is worth more than that it ended.
    if let Some(failure) = going.failure {
        return Err(failure.into());
    }
    let output = output?;
    let timing = output.timing.unwrap_or_default();
    Ok(Computed {
        loss: output.loss.first().copied(),
        z_loss: output.z_loss.first().copied(),
        classes: output.classes,
        summary: output.summary,
        seconds: vec![
            ("prepare", timing.prepare),
            ("upload", timing.upload),
            ("kernel", timing.kernel),
            ("read back", timing.read_back),
        ],
    })
}

/// Tensors that have to be converted, some steps of the first axis at a time.
fn in_batches(
    gpu: &Gpu,
    question: &Question<'_>,
    going: &mut Going<'_>,
) -> Result<Output<f32>, Stop> {
    let Question { formula, data, problem, .. } = question;
    let mut stream = gpu.stream(formula.loss(), question.outputs);
    let mean = matches!(problem.reduction, Reduction::Mean | Reduction::BatchMean);
    match problem.divisor {
        Divisor::Known(divisor) if mean && has_loss(problem) => {
            stream = stream.divisor(divisor);
        }
        Divisor::RowWeights if problem.outputs.grad => {
            stream = stream.divisor(data.row_weight_sum(problem)?);
        }
        _ => {}
    }
    let first = problem.input_shape.first().copied().unwrap_or_default();
    let steps = data.batch_steps(problem);
    for start in (0..first).step_by(steps) {
        let batch = data.batch(problem, start..first.min(start + steps))?;
        stream.push(&batch.inputs(), going)?;
    }
    Ok(stream.finish()?)
}

/// Results on their way from the GPU.
struct Going<'a> {
    results: &'a mut Results,
    progress: &'a mut dyn FnMut(u64),
    /// Why the work was stopped.
    failure: Option<Failure>,
}

impl Sink for Going<'_> {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.results.write(what, offset, bytes).map_err(|failure| {
            self.failure = Some(failure);
            Error::Stopped
        })
    }

    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        (self.progress)(done.rows);
        Ok(())
    }
}

fn on_cpu(
    question: &Question<'_>,
    results: &mut Results,
    progress: &mut dyn FnMut(u64),
) -> Result<Computed, Stop> {
    let (start, problem) = (Instant::now(), question.problem);
    let mut take = |piece: &Piece<'_>| {
        let output = piece.output;
        let mut write = |what, first, elements: Option<&Vec<f64>>| {
            elements.map_or(Ok(()), |elements| results.write_rounded(what, first, elements))
        };
        if problem.reduction == Reduction::None {
            write(LargeOutput::RowLoss, piece.row, Some(&output.loss))?;
            write(LargeOutput::ZLoss, piece.row, Some(&output.z_loss))?;
        }
        write(LargeOutput::Grad, piece.element, output.grad.as_ref())?;
        write(LargeOutput::TargetGrad, piece.element, output.target_grad.as_ref())?;
        write(LargeOutput::VarGrad, piece.variance, output.var_grad.as_ref())?;
        let distribution = output.log_probs.as_ref().or(output.probs.as_ref());
        write(LargeOutput::Distribution, piece.element, distribution)?;
        for (what, column) in output.rows.columns() {
            match column {
                RowColumn::Numbers(numbers) => results.write_rounded(what, piece.row, numbers)?,
                RowColumn::Words(words) => {
                    results.write(what, 4 * piece.row as u64, bytemuck::cast_slice(words))?;
                }
            }
        }
        Ok(())
    };
    let totals = twin::run(question, question.outputs, &mut take, progress)?;
    Ok(Computed {
        loss: totals.loss(problem).map(|loss| loss as f32),
        z_loss: totals.z_loss(problem).map(|loss| loss as f32),
        summary: totals.summary,
        classes: totals.classes,
        seconds: vec![("compute", start.elapsed())],
    })
}

/// Devices are not in files: their errors stand alone.
fn failed(error: Error) -> Failure {
    Failure::Failed(error.to_string())
}
