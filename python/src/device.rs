//! GPUs, opened by the process that uses them.

use std::mem::ManuallyDrop;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{ReentrantMutex, ReentrantMutexGuard};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use wgpu_loss::reference::Cpu;
use wgpu_loss::stream::Device;
use wgpu_loss::{GpuOptions, MultiGpu, wgpu};

use crate::errors::{device_error, exception, guarded};

/// The process that has started threads or opened a device; 0 before.
///
/// A fork copies neither: its child would wait for threads that it does not have.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// How long a thread waits for a device before it looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// Raises `DeviceError` in a process that was forked from one that has computed.
#[pyfunction]
pub fn check_process(py: Python<'_>) -> PyResult<()> {
    match OWNER.load(Relaxed) {
        owner if owner == 0 || owner == process::id() => Ok(()),
        owner => Err(device_error(
            py,
            format!(
                "process {} was forked from process {owner}, which had used this package: neither a GPU nor threads \
                 survive a fork; start processes by \"spawn\" or \"forkserver\" \
                 (multiprocessing.set_start_method), or compute in the child alone",
                process::id()
            ),
        )),
    }
}

/// Records that this process computes.
pub fn own_process(py: Python<'_>) -> PyResult<()> {
    check_process(py)?;
    OWNER.store(process::id(), Relaxed);
    Ok(())
}

/// One GPU, or several that share the work.
#[pyclass(frozen, module = "wgpu_loss._native")]
pub struct Gpu {
    gpus: ManuallyDrop<MultiGpu>,
    /// The process that opened it.
    owner: u32,
    /// Threads take turns, so that the memory budget is that of all together. A call that a call's progress makes is its
    /// thread's turn, too.
    turn: ReentrantMutex<()>,
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // In a forked child the driver's threads are missing, and its clean-up would wait for them.
        if self.owner == process::id() {
            // SAFETY: it is dropped here alone, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.gpus) }
        }
    }
}

#[pymethods]
impl Gpu {
    /// Opens GPUs: the best adapter; those whose name, driver or backend contains a text; or all.
    #[new]
    #[pyo3(signature = (adapters, turn, memory_budget, batch_invariant))]
    fn new(
        py: Python<'_>,
        adapters: Vec<String>,
        turn: Option<i64>,
        memory_budget: Option<i64>,
        batch_invariant: bool,
    ) -> PyResult<Self> {
        own_process(py)?;
        quiet_device_selection(py)?;
        let mut options = GpuOptions::new();
        if let Some(bytes) = memory_budget {
            options = options.memory_budget(natural("memory_budget", bytes)?);
        }
        if let Some(turn) = turn {
            options = options.in_turn(natural("turn", turn)? as usize);
        }
        if batch_invariant {
            options = options.batch_invariant();
        }
        let open = || match &adapters[..] {
            [all] if all == "all" => MultiGpu::all(&options),
            [] => MultiGpu::new(vec![wgpu_loss::Gpu::with_options(&options)?]),
            names => {
                let open =
                    |name: &String| wgpu_loss::Gpu::with_options(&options.clone().adapter(name));
                MultiGpu::new(names.iter().map(open).collect::<Result<_, _>>()?)
            }
        };
        let gpus = guarded(|| py.detach(open))?.map_err(|error| exception(py, &error))?;
        Ok(Self {
            gpus: ManuallyDrop::new(gpus),
            owner: process::id(),
            turn: ReentrantMutex::new(()),
        })
    }

    /// The adapters, as `adapters` describes them.
    #[getter]
    fn adapters(&self) -> Vec<Adapter> {
        self.gpus.gpus().map(|gpu| adapter(gpu.info())).collect()
    }

    /// Bytes of tensors that a call holds on each GPU.
    #[getter]
    fn memory_budget(&self) -> u64 {
        self.gpus.gpus().map(wgpu_loss::Gpu::memory_budget).max().unwrap_or(0)
    }

    /// For each GPU: rows and bytes that it has computed, and its failure.
    fn shares(&self) -> Vec<(u64, u64, Option<String>)> {
        let share = |share: wgpu_loss::gpu::Share| {
            (share.rows, share.bytes, share.failure.map(|failure| failure.to_string()))
        };
        self.gpus.shares().into_iter().map(share).collect()
    }

    /// Loses the devices, for tests of what a call does then.
    fn destroy(&self) {
        self.gpus.gpus().for_each(|gpu| gpu.device().destroy());
    }
}

fn natural(name: &str, given: i64) -> PyResult<u64> {
    u64::try_from(given).map_err(|_| {
        PyValueError::new_err(format!("{name} is {given}, but it must not be negative"))
    })
}

/// A value that stays on its thread.
pub struct Here<T>(pub T);

// SAFETY: `Python::detach` calls its closure on the thread that called it, and asks for `Send` only to keep objects of
// Python's out. Streams and turns are none; of the closures that hold arrays, none touches the owners of their memory.
unsafe impl<T> Send for Here<T> {}

impl<T> Here<T> {
    /// Returns the value. A closure that names the field would hold that alone, and not this.
    pub fn get(self) -> T {
        self.0
    }
}

/// The device of a call: a GPU while it is this call's turn, or the CPU.
pub enum Lent<'a> {
    Gpu(&'a MultiGpu, #[allow(dead_code, reason = "holds the turn")] ReentrantMutexGuard<'a, ()>),
    Cpu,
}

impl<'a> Lent<'a> {
    /// Waits for the turn of this call.
    pub fn of(py: Python<'_>, gpu: Option<&'a Gpu>) -> PyResult<Self> {
        own_process(py)?;
        let Some(gpu) = gpu else { return Ok(Self::Cpu) };
        loop {
            let free = gpu.turn.try_lock();
            match free.or_else(|| py.detach(|| Here(gpu.turn.try_lock_for(LOOK))).get()) {
                Some(turn) => return Ok(Self::Gpu(&gpu.gpus, turn)),
                None => py.check_signals()?,
            }
        }
    }

    pub fn device(&self) -> &(dyn Device + Sync) {
        match self {
            Self::Gpu(gpus, _) => *gpus,
            Self::Cpu => &Cpu,
        }
    }
}

/// Name, kind, backend, driver with its version.
type Adapter = (String, &'static str, String, String);

fn adapter(info: &wgpu::AdapterInfo) -> Adapter {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    };
    let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
    (info.name.clone(), kind, info.backend.to_string(), driver)
}

/// Returns all adapters, best first.
#[pyfunction]
pub fn adapters(py: Python<'_>) -> PyResult<Vec<Adapter>> {
    own_process(py)?;
    quiet_device_selection(py)?;
    let found = guarded(|| py.detach(wgpu_loss::Gpu::adapters))?;
    Ok(found.iter().map(adapter).collect())
}

/// Stops Mesa's device selection layer from printing errors where there is no desktop, as the program does.
pub fn quiet_device_selection(py: Python<'_>) -> PyResult<()> {
    let variables = py.import("os")?.getattr("environ")?;
    let is_set = |name| variables.contains(name);
    if cfg!(target_os = "linux") && !is_set("XDG_RUNTIME_DIR")? && !is_set("MESA_VK_DEVICE_SELECT")?
    {
        variables.set_item("NODEVICE_SELECT", "1")?;
    }
    Ok(())
}
