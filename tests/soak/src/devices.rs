//! The devices that stay open from step to step.

use support::gpus::TestGpu;
use support::host::{Host, adapter};
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::{GpuOptions, Kernels};
use wgpu_loss_fuzz::calls;
use wgpu_loss_fuzz::draw::Draw;

/// A GPU that stays open for the whole run, and devices that are opened anew for each round of steps: a second GPU on the
/// same adapter, a host's own device, and those of fuzzed calls.
pub struct Devices {
    pub kept: TestGpu,
    pub gpu: TestGpu,
    pub host: Host,
    /// The host's pipelines.
    pub kernels: Kernels,
    round: u64,
}

impl Devices {
    /// Opens them for a round.
    pub fn open(round: u64) -> Self {
        let gpu = opened(round);
        let host = host(&gpu);
        Self { kept: opened(0), kernels: host.kernels(), gpu, host, round }
    }

    /// Opens those of a round anew, and drops all pipelines of the one that is kept.
    pub fn begin(&mut self, round: u64) {
        self.round = round;
        self.reopen();
        self.kept.kernels().clear();
        // Mesa's software driver frees a device's dropped pipelines at its next submission.
        self.kept.queue().submit([]);
        let waited = self.kept.device().poll(wgpu::PollType::wait_indefinitely());
        waited.expect("a device that waits for nothing");
    }

    /// Opens those of this round anew.
    pub fn reopen(&mut self) {
        calls::close_devices();
        self.gpu = opened(self.round);
        self.reopen_host();
    }

    /// Opens the host's device anew.
    pub fn reopen_host(&mut self) {
        self.host = host(&self.gpu);
        self.kernels = self.host.kernels();
    }

    /// Returns the GPU that is kept or the one of this round.
    pub fn either(&self, draw: &Draw<'_>) -> &TestGpu {
        if draw.comes(4) { &self.kept } else { &self.gpu }
    }

    /// Returns the number of pipelines that all of them keep.
    pub fn pipelines(&self) -> usize {
        let gpus = [&self.gpu, &self.kept].map(|gpu| gpu.kernels().compiled());
        gpus.iter().sum::<usize>() + self.kernels.compiled() + calls::pipelines()
    }
}

/// Opens a GPU with all that it offers, without subgroups, with no more than a browser grants, or with memory that the
/// host does not map.
pub fn opened(turn: u64) -> TestGpu {
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
