//! The devices that every GPU test runs on.

use std::ops::Deref;
use std::sync::OnceLock;

use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::{Gpu, GpuOptions};

/// A device and what is special about it.
pub struct TestGpu {
    pub name: String,
    gpu: Gpu,
}

impl TestGpu {
    /// A device that a test has opened for itself.
    pub fn new(name: String, gpu: Gpu) -> Self {
        Self { name, gpu }
    }
}

impl Deref for TestGpu {
    type Target = Gpu;

    fn deref(&self) -> &Gpu {
        &self.gpu
    }
}

/// Three devices on the best adapter: with all it offers, without subgroups, and with no more than
/// a browser grants. They are opened once per test program.
///
/// # Panics
/// Where there is no adapter: a test that needs a GPU must not pass for want of one.
pub fn gpus() -> &'static [TestGpu] {
    static GPUS: OnceLock<[TestGpu; 3]> = OnceLock::new();
    GPUS.get_or_init(|| {
        // What somebody has tuned on this machine is not what is tested.
        let all = GpuOptions { tuning: TuningChoice::Table, ..Default::default() };
        let flat = GpuOptions { subgroups: false, ..all.clone() };
        let portable = GpuOptions { default_limits: true, ..flat.clone() };
        [open("all", &all), open("no subgroups", &flat), open("default limits", &portable)]
    })
}

fn open(what: &str, options: &GpuOptions) -> TestGpu {
    let gpu = Gpu::with_options(options).unwrap_or_else(|error| {
        panic!("the GPU tests need a GPU or a software driver ({what}): {error}")
    });
    TestGpu { name: format!("{} ({what})", gpu.info().name), gpu }
}
