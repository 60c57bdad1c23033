//! The devices that stay open from step to step.

use support::gpus::TestGpu;
use support::host::{Host, adapter};
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::{GpuOptions, Kernels};

/// The number of pipelines after which devices are opened anew: a software driver's take some megabytes each.
const PIPELINES: usize = 150;

/// A GPU, a second one on the same adapter, and a host's own device.
pub struct Devices {
    pub gpu: TestGpu,
    pub twin: TestGpu,
    pub host: Host,
    /// The host's pipelines.
    pub kernels: Kernels,
    turn: usize,
}

impl Devices {
    /// Opens them, with the options whose turn it is.
    pub fn open(turn: usize) -> Self {
        let gpu = opened(turn);
        let host = host(&gpu);
        Self { twin: opened(turn), kernels: host.kernels(), gpu, host, turn }
    }

    /// Closes all, and opens them with the next options.
    pub fn reopen(&mut self) {
        wgpu_loss_fuzz::calls::close_devices();
        *self = Self::open(self.turn + 1);
    }

    /// Opens the host's device anew.
    pub fn reopen_host(&mut self) {
        self.host = host(&self.gpu);
        self.kernels = self.host.kernels();
    }

    /// Returns the number of pipelines that they and the devices of fuzzed calls keep.
    pub fn pipelines(&self) -> usize {
        let gpus = [&self.gpu, &self.twin].map(|gpu| gpu.kernels().compiled());
        gpus.iter().sum::<usize>() + self.kernels.compiled() + wgpu_loss_fuzz::calls::pipelines()
    }

    /// Returns true if they keep more pipelines than they should.
    pub fn are_full(&self) -> bool {
        self.pipelines() > PIPELINES
    }
}

/// Opens a GPU with all that it offers, without subgroups, with no more than a browser grants, or with memory that the
/// host does not map.
pub fn opened(turn: usize) -> TestGpu {
    // Tunings stored on this machine are not tested.
    let all = GpuOptions::new().tuning(TuningChoice::Table);
    let flat = all.clone().without_subgroups();
    let portable = flat.clone().default_limits().without_probe();
    let own = all.clone().own_memory();
    let (what, options) = match turn % 4 {
        0 => ("all", all),
        1 => ("no subgroups", flat),
        2 => ("default limits", portable),
        _ => ("own memory", own),
    };
    TestGpu::open(what, options)
}

fn host(gpu: &TestGpu) -> Host {
    Host::on(&adapter(&gpu.info().name), &wgpu::DeviceDescriptor::default())
}
