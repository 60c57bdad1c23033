//! The device that computes: a GPU, or the CPU reference if there is none or none is wanted.

use std::ops::Range;
use std::time::Instant;

use wgpu_loss::reference::Cpu;
use wgpu_loss::stream::{self, Progress};
use wgpu_loss::{Error, Gpu, GpuOptions, LargeOutput, MultiGpu, Output, Partial, Sink};

use crate::adapter::Adapter;
use crate::args::{DeviceArg, RunArgs};
use crate::computed::Computed;
use crate::data::Stop;
use crate::error::{Failure, say};
use crate::question::Question;
use crate::sinks::Sinks;

/// The least memory budget with which a computation is repeated.
const LEAST_BUDGET: u64 = 1 << 20;

/// The name that stands for all GPUs.
const ALL: &str = "all";

/// The device on which a loss is computed.
pub enum Device {
    /// On a GPU.
    Gpu(Box<Gpu>),
    /// On several GPUs together.
    Gpus(MultiGpu),
    /// By the f64 reference.
    Cpu,
    /// None: a GPU that ran out of memory was closed, and could not be opened again.
    Closed,
}

impl Device {
    /// Opens the requested device. On a GPU, a call may use so much memory.
    pub fn open(args: &RunArgs, memory_budget: Option<u64>) -> Result<Self, Failure> {
        let mut options = GpuOptions::new();
        if let Some(bytes) = memory_budget {
            options = options.memory_budget(bytes);
        }
        if args.batch_invariant {
            options = options.batch_invariant();
        }
        if let Some(turn) = args.adapter_turn {
            options = options.in_turn(turn);
            if args.adapter.len() > 1 || args.adapter.iter().any(|name| name == ALL) {
                let several = "--adapter-turn takes one GPU, but --adapter names several";
                return Err(Failure::Usage(several.into()));
            }
        }
        match &args.adapter[..] {
            [] => {}
            [name] if name == ALL => {
                return MultiGpu::all(&options).map(Device::Gpus).map_err(failed);
            }
            [name] => {
                return Gpu::with_options(&options.adapter(name)).map(Self::gpu).map_err(failed);
            }
            names if names.iter().any(|name| name == ALL) => {
                return Err(Failure::Usage("--adapter all leaves nothing for another one".into()));
            }
            names => {
                let open =
                    |(name, turn)| Gpu::with_options(&options.clone().adapter(name).in_turn(turn));
                let gpus = names.iter().zip(turns(names)).map(open);
                let gpus = gpus.collect::<Result<_, _>>().and_then(MultiGpu::new);
                return gpus.map(Device::Gpus).map_err(failed);
            }
        }
        match args.device {
            DeviceArg::Cpu => Ok(Device::Cpu),
            DeviceArg::Gpu => Gpu::with_options(&options).map(Self::gpu).map_err(failed),
            DeviceArg::Auto => match Gpu::with_options(&options) {
                Ok(gpu) => Ok(Self::gpu(gpu)),
                Err(Error::NoAdapter { hint, .. }) => {
                    if !args.quiet {
                        say(&format!(
                            "no GPU driver found, computing on the CPU reference; {hint}"
                        ));
                    }
                    Ok(Device::Cpu)
                }
                // There is a GPU and it fails: the CPU is used only if the user asks for it.
                Err(error) => Err(Failure::Failed(format!("{error}; --device cpu needs no GPU"))),
            },
        }
    }

    fn gpu(gpu: Gpu) -> Self {
        Device::Gpu(Box::new(gpu))
    }

    /// Returns the adapter, if it is a GPU; several together as one.
    pub fn adapter(&self) -> Option<Adapter> {
        match self {
            Device::Gpu(gpu) => Some(gpu.info().into()),
            Device::Gpus(gpus) => {
                gpus.gpus().map(|gpu| Adapter::from(gpu.info())).reduce(Adapter::and)
            }
            Device::Cpu | Device::Closed => None,
        }
    }

    /// Returns the adapters, with what each of several has computed; `None` for the CPU.
    pub fn adapters(&self) -> Vec<Option<Adapter>> {
        let Device::Gpus(gpus) = self else { return vec![self.adapter()] };
        let shares = gpus.gpus().zip(gpus.shares());
        shares.map(|(gpu, share)| Some(Adapter::from(gpu.info()).with_share(share))).collect()
    }

    /// Computes, and repeats with half the memory budget while a GPU runs out of memory.
    pub fn with_smaller_budgets<T>(
        &mut self,
        args: &RunArgs,
        mut compute: impl FnMut(&Device) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        loop {
            let computed = compute(self);
            let budget = match (&computed, &*self) {
                (Err(Stop::Library(Error::OutOfMemory { .. })), Device::Gpu(gpu)) => {
                    gpu.memory_budget() / 2
                }
                (Err(Stop::Library(Error::OutOfMemory { .. })), Device::Gpus(gpus)) => {
                    gpus.gpus().map(Gpu::memory_budget).min().unwrap_or(0) / 2
                }
                _ => 0,
            };
            let Err(Stop::Library(error)) = computed else { return computed };
            if budget < LEAST_BUDGET {
                return Err(error.into());
            }
            if !args.quiet {
                say(&format!("{error}; trying again with --memory-budget {budget}"));
            }
            self.reopen(|| Device::open(args, Some(budget)))?;
        }
    }

    /// Drops the device, which ran out of memory, before the next one is opened. If that fails, all later calls do: they
    /// must not compute on another device unasked.
    fn reopen(&mut self, open: impl FnOnce() -> Result<Self, Failure>) -> Result<(), Failure> {
        *self = Device::Closed;
        *self = open()?;
        Ok(())
    }

    /// Computes a loss. Large results are written to `results` as they come.
    pub fn run(
        &self,
        question: &Question<'_>,
        results: &mut Sinks,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Computed, Stop> {
        let start = Instant::now();
        let mut going = Going { results, progress, failure: None };
        let output = self.output(question, &mut going);
        // A failure of ours is returned, not the library's error that the work was stopped.
        if let Some(failure) = going.failure {
            return Err(failure.into());
        }
        let output = output?;
        let seconds = match output.timing {
            Some(timing) => vec![
                ("prepare", timing.prepare),
                ("upload", timing.upload),
                ("kernel", timing.kernel),
                ("read back", timing.read_back),
            ],
            None => vec![("compute", start.elapsed())],
        };
        Ok(Computed {
            loss: output.loss.first().copied(),
            z_loss: output.z_loss.first().copied(),
            classes: output.classes,
            summary: output.summary,
            seconds,
        })
    }

    /// Computes some steps of the first axis, or all of them, as a part of a whole: what was found is merged later. No
    /// divisor is known, so there are no gradients of means.
    pub fn partial(
        &self,
        question: &Question<'_>,
        steps: Option<Range<usize>>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Partial, Stop> {
        let (device, loss, outputs) = (self.library()?, question.formula.loss(), question.outputs);
        let mut going = Going { results: &mut Sinks::default(), progress, failure: None };
        if let Some(steps) = steps {
            let part = question.data.batch(question.problem, steps)?;
            return Ok(device.partial(loss, &part.inputs(), outputs, &mut going)?);
        }
        if question.data.in_place() {
            let whole = question.data.whole()?;
            return Ok(device.partial(loss, &whole.inputs(), outputs, &mut going)?);
        }
        let mut stream = device.stream(loss, outputs);
        question.batches(&mut |batch| stream.push(batch, &mut going))?;
        Ok(stream.partial()?)
    }

    /// Returns it as the library's interface.
    fn library(&self) -> Result<&dyn stream::Device, Error> {
        match self {
            Device::Gpu(gpu) => Ok(&**gpu),
            Device::Gpus(gpus) => Ok(gpus),
            Device::Cpu => Ok(&Cpu),
            Device::Closed => Err(Error::Lost { during: "being opened again" }),
        }
    }

    /// Computes all tensors in place, or in batches if they have to be converted.
    fn output(&self, question: &Question<'_>, going: &mut Going<'_>) -> Result<Output<f32>, Stop> {
        let device = self.library()?;
        let (loss, outputs) = (question.formula.loss(), question.outputs);
        if question.data.in_place() {
            let whole = question.data.whole()?;
            return Ok(device.run_into(loss, &whole.inputs(), outputs, going)?);
        }
        let mut stream = device.stream(loss, outputs);
        if let Some(divisor) = question.divisor()? {
            stream.set_divisor(divisor);
        }
        question.batches(&mut |batch| stream.push(batch, going))?;
        Ok(stream.finish()?)
    }
}

/// Results on their way from the device.
struct Going<'a> {
    results: &'a mut Sinks,
    progress: &'a mut dyn FnMut(u64),
    /// The failure that stopped the work.
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

/// Returns the failure of a device's error, which names no file.
fn failed(error: Error) -> Failure {
    Failure::Failed(error.to_string())
}

/// Returns for each name the number of equal ones before it: a name that is given twice stands for two GPUs, where there
/// are two.
fn turns(names: &[String]) -> Vec<usize> {
    let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let before = |(at, name)| names[..at].iter().filter(|other| *other == name).count();
    names.iter().enumerate().map(before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_given_twice_stands_for_two_gpus() {
        let names = ["nvidia", "llvmpipe", "NVIDIA", "nvidia"].map(String::from);
        assert_eq!(turns(&names), [0, 0, 1, 2]);
    }

    #[test]
    fn a_device_that_cannot_be_opened_again_computes_nothing() {
        let mut device = Device::Cpu;
        assert!(device.reopen(|| Err(Failure::Failed("no memory".into()))).is_err());
        assert!(matches!(device.library().err(), Some(Error::Lost { .. })));
        device.reopen(|| Ok(Device::Cpu)).ok();
        assert!(device.library().is_ok());
    }
}
