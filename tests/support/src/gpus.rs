//! The devices that every GPU test runs on.

use std::ops::Deref;
use std::sync::OnceLock;

use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::{Gpu, GpuOptions};

/// A device and what is special about it.
pub struct TestGpu {
    pub name: String,
    /// What it was opened with.
    pub options: GpuOptions,
    gpu: Gpu,
}

impl TestGpu {
    /// A device that a test has opened for itself.
    ///
    /// # Panics
    /// Where there is no adapter: a test that needs a GPU must not pass for want of one.
    pub fn open(what: &str, options: GpuOptions) -> Self {
        let gpu = Gpu::with_options(&options).unwrap_or_else(|error| {
            panic!("the GPU tests need a GPU or a software driver ({what}): {error}")
        });
        Self { name: format!("{} ({what})", gpu.info().name), options, gpu }
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
/// As [`TestGpu::open`].
pub fn gpus() -> &'static [TestGpu] {
    static GPUS: OnceLock<[TestGpu; 3]> = OnceLock::new();
    GPUS.get_or_init(|| {
        // What somebody has tuned on this machine is not what is tested.
        let all = GpuOptions::new().tuning(TuningChoice::Table);
        let flat = all.clone().without_subgroups();
        let portable = flat.clone().default_limits();
        [("all", all), ("no subgroups", flat), ("default limits", portable)]
            .map(|(what, options)| TestGpu::open(what, options))
    })
}
