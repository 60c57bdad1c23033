//! For those who have no device of their own: an adapter, a device, and calls on host data,
//! blocking and async. They are built on [`Bound`], as anyone else's would be.

mod adapters;
mod clock;
mod roof;
mod transfer;
mod tune;
mod tuned;
mod wait;

use std::sync::Arc;

pub use adapters::{GpuOptions, TuningChoice};
pub use clock::{Clock, Timer, Times};
pub use roof::Roof;
pub use tune::{Field, Gain, Progress, ShapeTimes, TuneOptions, Tuned};

use self::transfer::{Tensors, read_back, widened};
use self::wait::Wait;
use crate::io::Timing;
use crate::kernels::{Kernels, Slot};
use crate::plan::Plan;
use crate::scope::scoped;
use crate::{Bound, ElementType, Error, Inputs, Loss, Output, Outputs, Reduction};

/// A device of one's own, with its pipelines.
///
/// ```no_run
/// use wgpu_loss::{CrossEntropy, Gpu, Inputs, Outputs, Tensor};
///
/// let gpu = Gpu::new()?;
/// let logits = [3.5, -3.45, 0.23, -2.14, 0.54, 2.67];
/// let inputs = Inputs::new(Tensor::new(&logits, &[2, 3])).labels(&[0i64, 2], &[2]);
/// let output = gpu.run(&CrossEntropy::new(), &inputs, Outputs::loss().with_grad())?;
/// println!("{} on {}", output.loss[0], gpu.info().name);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Debug)]
pub struct Gpu {
    info: wgpu::AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    kernels: Arc<Kernels>,
}

impl Gpu {
    /// The best adapter: discrete before integrated before virtual before software.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is no driver, [`Error::NoDevice`] where it fails.
    pub fn new() -> Result<Self, Error> {
        Self::with_options(&GpuOptions::default())
    }

    /// The first adapter whose name, driver or backend contains `text`, whatever its case.
    ///
    /// # Errors
    /// As [`Gpu::new`]; [`Error::NoAdapter`] lists the adapters there are.
    pub fn with_adapter(text: &str) -> Result<Self, Error> {
        Self::with_options(&GpuOptions { adapter: Some(text.into()), ..Default::default() })
    }

    /// An adapter and device as the options say.
    ///
    /// # Errors
    /// As [`Gpu::new`], and what [`Tuning::check`](crate::plan::Tuning::check) refuses of numbers that
    /// are given.
    pub fn with_options(options: &GpuOptions) -> Result<Self, Error> {
        pollster::block_on(Self::open(options))
    }

    /// As [`Gpu::with_options`], for those who may not block.
    ///
    /// # Errors
    /// As [`Gpu::with_options`].
    pub async fn open(options: &GpuOptions) -> Result<Self, Error> {
        let (info, device, queue) = adapters::open(options).await?;
        let kernels = Arc::new(Kernels::with_tuning(&device, options.tuning_for(&info)?));
        Ok(Self { info, device, queue, kernels })
    }

    /// The same device without its pipelines: what is run on it is compiled again (though the driver
    /// may remember), which tells how long a first call takes.
    pub fn fresh(&self) -> Self {
        Self {
            info: self.info.clone(),
            device: self.device.clone(),
            queue: self.queue.clone(),
            kernels: Arc::new(Kernels::with_tuning(&self.device, self.kernels.profile().tuning)),
        }
    }

    /// Every adapter, best first.
    pub fn adapters() -> Vec<wgpu::AdapterInfo> {
        let found = pollster::block_on(adapters::enumerate());
        found.iter().map(wgpu::Adapter::get_info).collect()
    }

    /// The adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// The device's pipelines.
    pub fn kernels(&self) -> &Arc<Kernels> {
        &self.kernels
    }

    /// What measures how long recorded work takes on the device.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn timer(&self) -> Result<Timer<'_>, Error> {
        Timer::new(self)
    }

    /// Computes `loss` over host data and waits for the results.
    ///
    /// # Errors
    /// What [`Loss::problem`] and [`Plan::new`] refuse; [`Error::Length`] for data that does not fill
    /// its shape; [`Error::BadTargets`] for labels out of range; [`Error::Device`] where the device
    /// fails.
    pub fn run(
        &self,
        loss: &(impl Loss + ?Sized),
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Output<f32>, Error> {
        let plan = self.plan(loss, inputs, outputs)?;
        pollster::block_on(self.compute(plan, inputs, Wait::Here))
    }

    /// As [`Gpu::run`], under any executor: the device is polled by a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::run`].
    pub async fn run_async(
        &self,
        loss: &(impl Loss + ?Sized),
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Output<f32>, Error> {
        let plan = self.plan(loss, inputs, outputs)?;
        self.compute(plan, inputs, Wait::Elsewhere).await
    }

    /// Uploads host data and binds `loss` to it, to be recorded any number of times. The buffers,
    /// those of the outputs among them, live as long as what is returned.
    ///
    /// ```no_run
    /// use wgpu_loss::{CrossEntropy, Gpu, Inputs, Outputs, Tensor};
    ///
    /// let gpu = Gpu::new()?;
    /// let inputs = Inputs::new(Tensor::new(&[3.5, -3.45], &[1, 2])).labels(&[0u8], &[1]);
    /// let bound = gpu.bind(&CrossEntropy::new(), &inputs, Outputs::loss())?;
    /// println!("{:?}", gpu.timer()?.resident(9, &bound)?.median());
    /// # Ok::<(), wgpu_loss::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Gpu::run`], bad labels excepted: nothing is computed yet.
    pub fn bind(
        &self,
        loss: &(impl Loss + ?Sized),
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Bound, Error> {
        let plan = self.plan(loss, inputs, outputs)?;
        let tensors = Tensors::upload(&self.device, &self.queue, plan.problem(), inputs)?;
        pollster::block_on(self.submitted([], Wait::Here, "uploading"))?;
        Bound::new(&self.kernels, plan, &tensors.buffers())
    }

    fn plan(
        &self,
        loss: &(impl Loss + ?Sized),
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Plan, Error> {
        let plan = Plan::new(loss, &inputs.shapes(), outputs, self.kernels.profile())?;
        plan.problem().check_data(inputs)?;
        Ok(plan)
    }

    /// Uploads, binds, records, submits, reads back.
    async fn compute(
        &self,
        plan: Plan,
        inputs: &Inputs<'_>,
        wait: Wait,
    ) -> Result<Output<f32>, Error> {
        let mut timing = Timing::default();
        let start = Stopwatch::start();
        let tensors = Tensors::upload(&self.device, &self.queue, plan.problem(), inputs)?;
        self.submitted([], wait, "uploading").await?;
        timing.upload = start.elapsed();

        let start = Stopwatch::start();
        let bound = Bound::new(&self.kernels, plan, &tensors.buffers())?;
        timing.prepare = start.elapsed();

        let start = Stopwatch::start();
        let commands = scoped(&self.device, "recording", || self.encode(&bound))?;
        self.submitted([commands], wait, "computing").await?;
        timing.kernel = start.elapsed();

        let start = Stopwatch::start();
        let mut output = self.collect(&bound, &tensors, wait).await?;
        timing.read_back = start.elapsed();
        output.timing = Some(timing);
        Ok(output)
    }

    fn encode(&self, bound: &Bound) -> wgpu::CommandBuffer {
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("wgpu-loss") });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("wgpu-loss"),
                timestamp_writes: None,
            });
            bound.record(&mut pass);
        }
        encoder.finish()
    }

    /// Submits and waits until the queue is done.
    async fn submitted(
        &self,
        commands: impl IntoIterator<Item = wgpu::CommandBuffer>,
        wait: Wait,
        during: &'static str,
    ) -> Result<(), Error> {
        scoped(&self.device, during, || self.queue.submit(commands))?;
        wait.for_queue(&self.device, &self.queue, during).await
    }

    /// Reads back what was asked for, and refuses bad labels.
    async fn collect(
        &self,
        bound: &Bound,
        tensors: &Tensors,
        wait: Wait,
    ) -> Result<Output<f32>, Error> {
        let problem = bound.plan().problem();
        let read = |buffer: &wgpu::Buffer| {
            let buffer = buffer.clone();
            async move { read_back(&self.device, &self.queue, &buffer, wait).await }
        };
        let (reduced, summary) = bound.decode(&read(bound.result()).await?)?;
        summary.check_labels(problem.view.classes, problem.ignore_index)?;
        let mut large = [None, None, None];
        let slots = [Slot::RowLoss, Slot::Grad, Slot::Elements];
        for (values, slot) in large.iter_mut().zip(slots) {
            if let Some((buffer, elements)) = tensors.output(slot) {
                let bytes = if elements == 0 { Vec::new() } else { read(buffer).await? };
                let element_type = match slot {
                    Slot::RowLoss => ElementType::F32,
                    _ => problem.output_type,
                };
                *values = Some(widened(&bytes, element_type, elements));
            }
        }
        let [rows, grad, elements] = large;
        let (log_probs, probs) = match problem.outputs.probs {
            true => (None, elements),
            false => (elements, None),
        };
        Ok(Output {
            loss: match (problem.target, problem.reduction) {
                (None, _) => Vec::new(),
                (_, Reduction::None) => rows.unwrap_or_default(),
                _ => vec![reduced],
            },
            loss_shape: problem.loss_shape().to_vec(),
            grad,
            log_probs,
            probs,
            summary,
            timing: None,
        })
    }
}

/// Measures wall-clock time, where there is a clock.
struct Stopwatch(Option<std::time::Instant>);

impl Stopwatch {
    fn start() -> Self {
        // The standard library has no clock in a browser and panics when asked.
        Self((!cfg!(target_arch = "wasm32")).then(std::time::Instant::now))
    }

    fn elapsed(&self) -> std::time::Duration {
        self.0.map(|start| start.elapsed()).unwrap_or_default()
    }
}
