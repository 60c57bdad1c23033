//! Measures one shape and pass: the answer is checked, then timed.

use std::time::{Duration, Instant};

use wgpu_loss::gpu::{Clock, Roofline, Times};
use wgpu_loss::{CrossEntropy, ElementType, Error, Gpu, Loss, Output, Outputs, reference};

use super::case::Case;
use crate::check::{self, Compared};
use crate::data::{Data, Given, Operand, Role, Stop};
use crate::error::Failure;
use crate::formula::Formula;
use crate::question::Question;

/// Work on the host, and calls on host data, are repeated for this long at most: the reference takes seconds for large
/// shapes, and so do such calls.
const HOST_TIME: Duration = Duration::from_millis(500);

/// The measured computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pass {
    /// The loss.
    Fwd,
    /// The loss and its gradient.
    #[value(name = "fwd+bwd")]
    FwdBwd,
}

impl Pass {
    /// Returns its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Fwd => "fwd",
            Pass::FwdBwd => "fwd+bwd",
        }
    }

    /// Returns the outputs that it requests.
    pub fn outputs(self) -> Outputs {
        match self {
            Pass::Fwd => Outputs::loss(),
            Pass::FwdBwd => Outputs::loss().with_grad(),
        }
    }
}

/// The measurements of one shape and pass.
pub struct Measured {
    /// The logits' shape.
    pub shape: Vec<usize>,
    /// The logits' type.
    pub element_type: ElementType,
    /// The measured computation.
    pub pass: Pass,
    /// Bytes that have to move.
    pub bytes: u64,
    /// The mean loss.
    pub loss: f32,
    /// The outputs compared with the reference, all of them right.
    pub checked: Vec<Compared>,
    /// The kernels alone.
    pub kernel: Times,
    /// Recording, submitting, waiting, and reading one number, with all tensors on the device.
    pub resident: Times,
    /// A call on host data, uploads and results included.
    pub end_to_end: Times,
    /// Making kernels and binding them, the first time.
    pub compile: Duration,
    /// The first call's kernels: some drivers compile only at that time.
    pub first_kernel: Duration,
    /// The f64 reference on all cores.
    pub reference: Times,
    /// The roof for tensors of this size.
    pub roof: Roofline,
}

impl Measured {
    /// Returns the bytes moved per second.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / self.kernel.median().as_secs_f64()
    }

    /// Returns the bytes per second that could be moved at most.
    pub fn roof_rate(&self) -> f64 {
        match self.pass {
            Pass::Fwd => self.roof.read_rate(),
            Pass::FwdBwd => self.roof.gradient_rate(),
        }
    }

    /// Returns the share of the roof that is reached, in percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.rate() / self.roof_rate()
    }

    /// Returns the speed relative to the reference, with everything resident.
    pub fn speedup(&self) -> f64 {
        self.reference.median().as_secs_f64() / self.resident.median().as_secs_f64()
    }

    /// Returns the time from tensors on the device to the first result, with nothing compiled.
    pub fn first_call(&self) -> Duration {
        self.compile + self.first_kernel
    }
}

/// Measures a pass over a case.
pub fn measure(
    gpu: &Gpu,
    case: &Case,
    pass: Pass,
    roof: Roofline,
    samples: usize,
) -> Result<Measured, Failure> {
    let (loss, inputs, outputs) = (CrossEntropy::new(), case.inputs(), pass.outputs());
    // A fresh context has no kernels of other shapes, so this is a first call.
    let gpu = &gpu.fresh();
    let first = gpu.run(&loss, &inputs, outputs).map_err(failed)?;
    let timing = first.timing.unwrap_or_default();
    let value = first.loss[0];
    let checked = checked(case, pass, &first)?;
    let reference = host_times(samples, || reference::run(&loss, &inputs, outputs).map(drop))?;

    let end_to_end = host_times(samples, || gpu.run(&loss, &inputs, outputs).map(drop))?;
    let bound = gpu.bind(&loss, &inputs, outputs).map_err(failed)?;
    let timer = gpu.timer().map_err(failed)?;
    Ok(Measured {
        shape: case.shape.clone(),
        element_type: case.logits.floats().element_type(),
        pass,
        bytes: case.bytes(outputs.grad),
        loss: value,
        checked,
        kernel: timer.kernel(samples, |pass| bound.record(pass)).map_err(failed)?,
        resident: timer.resident(samples, &bound).map_err(failed)?,
        end_to_end,
        compile: timing.prepare,
        first_kernel: timing.kernel,
        reference,
        roof,
    })
}

/// Refuses a wrong answer: the loss and every element of the gradient are compared with the reference.
fn checked(case: &Case, pass: Pass, first: &Output<f32>) -> Result<Vec<Compared>, Failure> {
    let loss = CrossEntropy::new();
    let rows = &case.label_shape[..];
    let (logits, labels) = (case.logits.floats(), (&case.labels).into());
    let data = Data::new([
        Given { role: Role::Input, operand: Operand::Floats(logits), shape: &case.shape },
        Given { role: Role::Target, operand: Operand::Labels(labels), shape: rows },
    ]);
    let problem = loss.problem(&case.inputs().shapes(), pass.outputs()).map_err(failed)?;
    let formula = Formula::CrossEntropy(loss);
    let outputs = pass.outputs();
    let question = Question { formula: &formula, outputs, data: &data, problem: &problem };
    let compared = check::output(&question, first).map_err(|stop| match stop {
        Stop::Library(error) => failed(error),
        Stop::Failure(failure) => failure,
    })?;
    match compared.iter().find(|compared| !compared.passed()) {
        Some(wrong) => Err(Failure::Failed(wrong.complaint(false))),
        None => Ok(compared),
    }
}

/// Measures wall-clock times of work, at least one.
fn host_times(samples: usize, work: impl Fn() -> Result<(), Error>) -> Result<Times, Failure> {
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < samples && begin.elapsed() < HOST_TIME) {
        let start = Instant::now();
        work().map_err(failed)?;
        times.push(start.elapsed());
    }
    Ok(Times::new(Clock::Wall, times))
}

/// Returns the failure of a library's error. No file is named, since the bench reads none.
pub fn failed(error: Error) -> Failure {
    Failure::Failed(error.to_string())
}
