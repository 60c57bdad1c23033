//! An adapter and a device that the library owns.

use super::adapters::{self, GpuOptions};
use super::stopwatch::Opening;
use crate::device::{Kernels, probed};
use crate::error_scope::scoped;
use crate::plan::Profile;
use crate::poll::{Wait, block_on};
use crate::{Bound, Error};

/// The default memory budget.
const MEMORY_BUDGET: u64 = 512 << 20;
/// Bytes of a piece that passes through a GPU: enough to use the bus fully, few enough for several pieces to be under
/// way.
const PIECE_GPU: u64 = 32 << 20;
/// Bytes of a piece for a software driver: the driver reads the host's copy from the cache.
const PIECE_CPU: u64 = 4 << 20;

/// A device that the library owns, with its pipelines.
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
    pub(super) info: wgpu::AdapterInfo,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) kernels: Kernels,
    pub(super) memory_budget: u64,
    /// Bytes of a piece that passes through the device fast: a binding holds it, and no submission is long.
    pub(super) piece_bytes: u64,
    pub(super) opening: Opening,
}

impl Gpu {
    /// Opens the best adapter: discrete before integrated before virtual before software.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if there is no driver, [`Error::NoDevice`] if it fails; [`Error::OutOfMemory`] and
    /// [`Error::Lost`] if the device has no memory for a small probe, or is lost at once.
    pub fn new() -> Result<Self, Error> {
        Self::with_options(&GpuOptions::new())
    }

    /// Opens the adapter that [`GpuOptions::adapter`] names.
    ///
    /// # Errors
    /// As [`Gpu::new`]; [`Error::NoAdapter`] lists the available adapters.
    pub fn with_adapter(text: &str) -> Result<Self, Error> {
        Self::with_options(&GpuOptions::new().adapter(text))
    }

    /// Opens an adapter and a device by the options.
    ///
    /// # Errors
    /// As [`Gpu::new`], and the errors of [`Tuning::check`](crate::plan::Tuning::check) for a given tuning.
    pub fn with_options(options: &GpuOptions) -> Result<Self, Error> {
        block_on(Self::open(options))
    }

    /// Opens a device as [`Gpu::with_options`] does, for callers that may not block.
    ///
    /// # Errors
    /// As [`Gpu::with_options`].
    pub async fn open(options: &GpuOptions) -> Result<Self, Error> {
        let (adapter, opening) = adapters::find(options).await?;
        Self::open_on(&adapter, options, opening).await
    }

    /// Opens a device on an adapter, which took `opening` to find.
    pub(super) async fn open_on(
        adapter: &wgpu::Adapter,
        options: &GpuOptions,
        opening: Opening,
    ) -> Result<Self, Error> {
        let (info, device, queue, opening) = adapters::open(adapter, options, opening).await?;
        let profile = Profile { tuning: options.tuning_for(&info)?, ..Profile::of(&device) };
        let profile = profile.with_batch_invariance(options.batch_invariant);
        let profile = match options.unprobed {
            true => profile,
            false => probed(&device, &queue, profile).await?,
        };
        let kernels = Kernels::with_profile(&device, profile);
        let memory_budget = options.memory_budget.unwrap_or(MEMORY_BUDGET);
        let piece_bytes = piece_bytes(kernels.profile());
        Ok(Self { info, device, queue, kernels, memory_budget, piece_bytes, opening })
    }

    /// Returns the same device without its pipelines: they are compiled again (though the driver may have cached them),
    /// so that the time of a first call can be measured.
    pub fn fresh(&self) -> Self {
        let kernels = Kernels::with_profile(&self.device, self.kernels.profile().clone());
        Self { kernels, ..self.with_memory_budget(self.memory_budget) }
    }

    /// Returns every adapter as wgpu has it, with its features and limits, in the order of [`Gpu::adapters`].
    ///
    /// ```
    /// use wgpu_loss::Gpu;
    ///
    /// for adapter in Gpu::wgpu_adapters() {
    ///     println!("{}: {:?}", adapter.get_info().name, adapter.features());
    /// }
    /// ```
    pub fn wgpu_adapters() -> Vec<wgpu::Adapter> {
        block_on(async { Ok(adapters::enumerate().await) }).unwrap_or_default()
    }

    /// Returns every adapter, best first. Empty in a browser, where waiting for them is not allowed.
    pub fn adapters() -> Vec<wgpu::AdapterInfo> {
        Self::wgpu_adapters().iter().map(wgpu::Adapter::get_info).collect()
    }

    /// Returns the adapter's properties.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// Returns the device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// Returns the queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// Returns the device's pipelines.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Returns the bytes of tensors that a call on host data holds at most: [`GpuOptions::memory_budget`].
    pub fn memory_budget(&self) -> u64 {
        self.memory_budget
    }

    /// Returns the same device and pipelines, with another [`memory_budget`](GpuOptions::memory_budget).
    pub fn with_memory_budget(&self, bytes: u64) -> Self {
        Self {
            info: self.info.clone(),
            device: self.device.clone(),
            queue: self.queue.clone(),
            kernels: self.kernels.clone(),
            memory_budget: bytes,
            piece_bytes: self.piece_bytes,
            opening: self.opening,
        }
    }

    /// Returns the same device and pipelines, with pieces of `bytes` bytes, if the budget and the device allow them.
    #[doc(hidden)]
    pub fn with_piece_bytes(&self, bytes: u64) -> Self {
        let piece_bytes = bytes.min(largest_piece(self.kernels.profile()));
        Self { piece_bytes, ..self.with_memory_budget(self.memory_budget) }
    }

    /// Returns the same device, with kernels whose texts are edited before they are compiled: see [`Kernels`].
    #[doc(hidden)]
    pub fn edited(&self, edit: fn(String) -> String) -> Self {
        Self { kernels: self.kernels.edited(edit), ..self.with_memory_budget(self.memory_budget) }
    }

    /// Returns the time it took to open the device.
    #[doc(hidden)]
    pub fn opening(&self) -> Opening {
        self.opening
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        let label = wgpu::CommandEncoderDescriptor { label: Some("wgpu-loss") };
        self.device.create_command_encoder(&label)
    }

    /// Records bound work in a pass of its own.
    pub(super) fn record(&self, encoder: &mut wgpu::CommandEncoder, bound: &Bound) {
        bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgpu-loss"),
            timestamp_writes: None,
        }));
    }

    /// Submits and waits until the queue is done.
    pub(super) async fn submitted(
        &self,
        commands: impl IntoIterator<Item = wgpu::CommandBuffer>,
        wait: Wait<'_>,
        during: &'static str,
    ) -> Result<(), Error> {
        let submission = scoped(&self.device, during, || self.queue.submit(commands))?;
        wait.for_queue(&self.device, &self.queue, submission, during).await
    }
}

/// Returns the bytes of a piece on a device of this profile.
fn piece_bytes(profile: &Profile) -> u64 {
    let fast = if profile.is_software() { PIECE_CPU } else { PIECE_GPU };
    fast.min(largest_piece(profile))
}

fn largest_piece(profile: &Profile) -> u64 {
    // A binding must hold a few bytes more than the tensor.
    profile.limits.max_storage_buffer_binding_size.saturating_sub(1 << 10)
}
