//! Choosing an adapter and opening a device on it.

use super::stopwatch::{Opening, Stopwatch};
use crate::Error;
use crate::plan::Tuning;

/// Options for opening a [`Gpu`](crate::Gpu): by default on the best adapter, with all its features.
///
/// ```no_run
/// use wgpu_loss::{Gpu, GpuOptions};
///
/// let options = GpuOptions::new().adapter("llvmpipe").memory_budget(1 << 30);
/// let gpu = Gpu::with_options(&options)?;
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    adapter: Option<String>,
    pub(super) turn: Option<usize>,
    without_subgroups: bool,
    default_limits: bool,
    own_memory: bool,
    pub(super) unprobed: bool,
    pub(super) batch_invariant: bool,
    tuning: TuningChoice,
    pub(super) memory_budget: Option<u64>,
}

/// The choice of the tuning by which a device lays out its work.
///
/// ```no_run
/// use wgpu_loss::{Gpu, GpuOptions, gpu::TuningChoice, plan::Tuning};
///
/// let mut tuning = Tuning::DISCRETE;
/// tuning.groups = 2048;
/// let gpu = Gpu::with_options(&GpuOptions::new().tuning(TuningChoice::Given(tuning)))?;
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TuningChoice {
    /// The tuning that [`Tuning::store`] has kept for this adapter and driver. The table's, if there is none, or if the
    /// device is opened with less than the adapter offers (without subgroups, or with the default limits). Opening a
    /// device never measures.
    #[default]
    Stored,
    /// The tuning of this crate's table: [`Tuning::of`] the kind of adapter.
    Table,
    /// This tuning.
    Given(Tuning),
}

impl GpuOptions {
    /// Returns the options for the best adapter, with all its features.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the adapter: the first one whose name, driver or backend contains `text`, in any case; the best one if
    /// `text` is empty.
    pub fn adapter(mut self, text: impl Into<String>) -> Self {
        self.adapter = Some(text.into()).filter(|text| !text.is_empty());
        self
    }

    /// Takes GPU number `turn` of those that match, best first, and the first one again after the last: for processes that
    /// share the GPUs of a machine, each with its own number. Each GPU is counted once, and software drivers only where
    /// nothing else matches.
    ///
    /// ```no_run
    /// use wgpu_loss::{Gpu, GpuOptions};
    ///
    /// // A task of Slurm.
    /// let local = std::env::var("SLURM_LOCALID").map_or(0, |number| number.parse().unwrap_or(0));
    /// let gpu = Gpu::with_options(&GpuOptions::new().in_turn(local))?;
    /// # Ok::<(), wgpu_loss::Error>(())
    /// ```
    pub fn in_turn(mut self, turn: usize) -> Self {
        self.turn = Some(turn);
        self
    }

    /// Opens the device without subgroup operations, even if the adapter has them.
    pub fn without_subgroups(mut self) -> Self {
        self.without_subgroups = true;
        self
    }

    /// Opens the device with WebGPU's default limits at most, as in a browser, and without timestamps.
    pub fn default_limits(mut self) -> Self {
        self.default_limits = true;
        self
    }

    /// Treats the device as one with memory of its own, even if it works in the host's: tensors go through staging
    /// buffers. For tests and benchmarks of the paths of discrete GPUs.
    #[doc(hidden)]
    pub fn own_memory(mut self) -> Self {
        self.own_memory = true;
        self
    }

    /// Assumes of the driver what can be assumed of any, instead of running a kernel to find out. For tests of what kernels
    /// do on other drivers.
    #[doc(hidden)]
    pub fn without_probe(mut self) -> Self {
        self.unprobed = true;
        self
    }

    /// Makes the bits of a row's outputs independent of the number of rows, the row's position among them, the batches
    /// of a stream and the memory budget: [`Profile::batch_invariant`](crate::Profile). Off by default, which is faster
    /// for some shapes.
    pub fn batch_invariant(mut self) -> Self {
        self.batch_invariant = true;
        self
    }

    /// Sets the choice of the tuning.
    pub fn tuning(mut self, tuning: TuningChoice) -> Self {
        self.tuning = tuning;
        self
    }

    /// Sets the bytes of tensors that a call on host data may hold at a time, on the device and in staging memory on
    /// the host together; 512 MiB by default. Larger tensors are processed in pieces ([`stream`](super::stream)).
    /// Parameters and workspaces, some hundred KiB, are not counted, nor are outputs that are returned as vectors.
    /// [`Gpu::bind`](crate::Gpu::bind) ignores the budget: resident tensors are on the device in full.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Returns the tuning for an adapter.
    pub(super) fn tuning_for(&self, info: &wgpu::AdapterInfo) -> Result<Tuning, Error> {
        let table = Tuning::of(info.device_type);
        match self.tuning {
            TuningChoice::Given(tuning) => tuning.check().map(|()| tuning),
            TuningChoice::Stored if !self.without_subgroups && !self.default_limits => {
                Ok(Tuning::stored(info).unwrap_or(table))
            }
            TuningChoice::Stored | TuningChoice::Table => Ok(table),
        }
    }
}

/// Returns every adapter, best first.
pub(super) async fn enumerate() -> Vec<wgpu::Adapter> {
    adapters_of(&instance()).await
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env())
}

async fn adapters_of(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    // The sort is stable: it keeps the drivers' own order among equals.
    adapters.sort_by_key(|adapter| rank(&adapter.get_info()));
    adapters
}

/// Returns the place of an adapter, the best first: by its kind, and GL after other APIs, which have more to offer for the
/// same GPU (subgroups, timestamps).
fn rank(info: &wgpu::AdapterInfo) -> (u32, bool) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    (kind, info.backend == wgpu::Backend::Gl)
}

/// Returns the adapter that the options name, or the best.
pub(super) async fn find(options: &GpuOptions) -> Result<(wgpu::Adapter, Opening), Error> {
    let (adapters, opening) = match options.turn {
        None => matching(options).await?,
        Some(_) => find_all(options).await?,
    };
    let turn = options.turn.unwrap_or(0) % adapters.len().max(1);
    // There is at least one.
    let found = adapters.into_iter().nth(turn).ok_or_else(|| no_adapter(options, &[]))?;
    Ok((found, opening))
}

/// Returns the adapters that the options name, each GPU once; without a name all but software drivers, or the best of
/// these where there is nothing else.
pub(super) async fn find_all(options: &GpuOptions) -> Result<(Vec<wgpu::Adapter>, Opening), Error> {
    let (adapters, opening) = matching(options).await?;
    let infos: Vec<_> = adapters.iter().map(wgpu::Adapter::get_info).collect();
    let (named, in_turn) = (options.adapter.is_some(), options.turn.is_some());
    let mut chosen = distinct(&infos, named, in_turn).into_iter();
    let chosen = adapters.into_iter().filter(|_| chosen.next().unwrap_or(false)).collect();
    Ok((chosen, opening))
}

/// Returns all adapters that the options name, best first; at least one.
async fn matching(options: &GpuOptions) -> Result<(Vec<wgpu::Adapter>, Opening), Error> {
    let mut opening = Opening::default();
    let start = Stopwatch::start();
    let instance = instance();
    opening.instance = start.elapsed();
    let start = Stopwatch::start();
    let mut adapters = adapters_of(&instance).await;
    let is_named = |adapter: &wgpu::Adapter| match &options.adapter {
        None => true,
        Some(text) => matches(&adapter.get_info(), text),
    };
    if !adapters.iter().any(is_named) {
        return Err(no_adapter(options, &adapters));
    }
    adapters.retain(is_named);
    opening.device = start.elapsed();
    Ok((adapters, opening))
}

/// Returns for each adapter, best first, true if it is opened together with the others.
///
/// An API lists each GPU once for each of its drivers, and other APIs list the same GPUs again: those of the best
/// adapter's API are taken, and of those in the same slot the first. Software is taken with others if it is named; but of
/// the processes that take GPUs in turn, none may get software where the others get GPUs.
fn distinct(adapters: &[wgpu::AdapterInfo], named: bool, in_turn: bool) -> Vec<bool> {
    let mut slots: Vec<&str> = Vec::new();
    let (mut any, mut any_gpu) = (false, false);
    let chosen = adapters.iter().map(|info| {
        let slot = info.device_pci_bus_id.as_str();
        let is_software = info.device_type == wgpu::DeviceType::Cpu;
        if info.backend != adapters[0].backend || slots.contains(&slot) {
            return false;
        }
        if is_software && any && (!named || in_turn && any_gpu) {
            return false;
        }
        // Software has no slot, and some drivers do not tell.
        slots.extend(Some(slot).filter(|slot| !slot.is_empty()));
        any = true;
        any_gpu |= !is_software;
        true
    });
    chosen.collect()
}

/// Opens a device on an adapter, which took `opening` to find.
pub(super) async fn open(
    adapter: &wgpu::Adapter,
    options: &GpuOptions,
    mut opening: Opening,
) -> Result<(wgpu::AdapterInfo, wgpu::Device, wgpu::Queue, Opening), Error> {
    let start = Stopwatch::start();
    let info = adapter.get_info();
    let mut features = timestamps(options, adapter);
    if !options.without_subgroups {
        features |= adapter.features() & wgpu::Features::SUBGROUP;
    }
    if info.device_type == wgpu::DeviceType::Cpu && !options.default_limits {
        // Software drivers load 64-bit integers faster, see `kernels::VectorWidth`, and convert f16 without help.
        features |=
            adapter.features() & (wgpu::Features::SHADER_INT64 | wgpu::Features::SHADER_F16);
    }
    if shares_memory(&info) && !options.default_limits && !options.own_memory {
        // The host fills the buffers that kernels read.
        features |= adapter.features() & wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
    }
    let required_limits = match options.default_limits {
        true => wgpu::Limits::default(),
        false => adapter.limits(),
    };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("wgpu-loss"),
        required_features: features,
        required_limits,
        ..Default::default()
    };
    let (device, queue) = adapter.request_device(&descriptor).await.map_err(|error| {
        Error::NoDevice { adapter: info.name.clone(), reason: error.to_string() }
    })?;
    opening.device += start.elapsed();
    Ok((info, device, queue, opening))
}

/// Returns true if the adapter works in the host's memory.
fn shares_memory(info: &wgpu::AdapterInfo) -> bool {
    matches!(info.device_type, wgpu::DeviceType::Cpu | wgpu::DeviceType::IntegratedGpu)
}

/// Returns the features of a [`Timer`](super::Timer), if the adapter has them.
fn timestamps(options: &GpuOptions, adapter: &wgpu::Adapter) -> wgpu::Features {
    match options.default_limits {
        true => wgpu::Features::empty(),
        false => adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
    }
}

fn matches(info: &wgpu::AdapterInfo, text: &str) -> bool {
    let text = text.to_lowercase();
    let backend = info.backend.to_string();
    [&info.name, &info.driver, &info.driver_info, &backend]
        .iter()
        .any(|field| field.to_lowercase().contains(&text))
}

fn no_adapter(options: &GpuOptions, adapters: &[wgpu::Adapter]) -> Error {
    let wanted = match &options.adapter {
        Some(text) => format!("matches {text:?}"),
        None => "was found".into(),
    };
    let names: Vec<_> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
    let hint = if names.is_empty() {
        "install a Vulkan driver: your vendor's for a GPU, or a software one \
         (mesa-vulkan-drivers on Debian and Ubuntu)"
            .into()
    } else {
        format!("there are: {}", names.join(", "))
    };
    Error::NoAdapter { wanted, hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::{Backend, DeviceType};

    fn infos(adapters: &[(DeviceType, Backend, &str)]) -> Vec<wgpu::AdapterInfo> {
        let info = |&(device_type, backend, slot): &(_, _, &str)| {
            let device_pci_bus_id = slot.to_owned();
            wgpu::AdapterInfo { device_pci_bus_id, ..wgpu::AdapterInfo::new(device_type, backend) }
        };
        adapters.iter().map(info).collect()
    }

    /// A GPU before software, whatever the API; of the same kind, GL last.
    #[test]
    fn gl_comes_after_other_apis() {
        use Backend::{Gl, Vulkan};
        use DeviceType::{Cpu, DiscreteGpu};
        let listed = [(Cpu, Gl), (Cpu, Vulkan), (DiscreteGpu, Gl), (DiscreteGpu, Vulkan)]
            .map(|(a, b)| (a, b, ""));
        let mut infos = infos(&listed);
        infos.sort_by_key(rank);
        let order: Vec<_> = infos.iter().map(|info| (info.device_type, info.backend)).collect();
        assert_eq!(order, [(DiscreteGpu, Vulkan), (DiscreteGpu, Gl), (Cpu, Vulkan), (Cpu, Gl)]);
    }

    /// Every GPU once; software beside it if it is named, unless GPUs are taken in turn.
    #[test]
    fn software_is_no_gpu_of_a_turn() {
        use Backend::{Gl, Vulkan};
        use DeviceType::{Cpu, DiscreteGpu};
        let mixed = infos(&[
            (DiscreteGpu, Vulkan, "1"),
            (DiscreteGpu, Vulkan, "2"),
            (DiscreteGpu, Vulkan, "1"),
            (DiscreteGpu, Gl, ""),
            (Cpu, Vulkan, ""),
        ]);
        let gpus = [true, true, false, false, false];
        for (named, in_turn) in [(false, false), (false, true), (true, true)] {
            assert_eq!(distinct(&mixed, named, in_turn), gpus, "{named}, {in_turn}");
        }
        assert_eq!(distinct(&mixed, true, false), [true, true, false, false, true]);
        let software = infos(&[(Cpu, Vulkan, ""), (Cpu, Vulkan, "")]);
        for (named, in_turn) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(distinct(&software, named, in_turn), [true, named], "{named}, {in_turn}");
        }
    }
}
