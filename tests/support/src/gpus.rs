//! The devices that every GPU test runs on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::panic::Location;
use std::slice;
use std::sync::Mutex;

use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::{Gpu, GpuOptions};

use crate::mutants;

/// A device and its distinguishing property.
pub struct TestGpu {
    pub name: String,
    /// The options that it was opened with.
    pub options: GpuOptions,
    gpu: Gpu,
}

impl TestGpu {
    /// A device that a test has opened for itself.
    ///
    /// # Panics
    /// If there is no adapter: a test that needs a GPU must not pass without one.
    pub fn open(what: &str, options: GpuOptions) -> Self {
        let gpu = Gpu::with_options(&options).unwrap_or_else(|error| {
            panic!("the GPU tests need a GPU or a software driver ({what}): {error}")
        });
        Self { name: format!("{} ({what})", gpu.info().name), options, gpu: mutants::on(gpu) }
    }
}

/// Returns true if wgpu knows what is allocated on a device: for tests that count allocations, which cannot run otherwise.
pub fn knows_allocations(gpu: &Gpu) -> bool {
    let known = gpu.device().generate_allocator_report().is_some();
    let backend = gpu.info().backend;
    assert!(
        known || backend == wgpu_loss::wgpu::Backend::Gl,
        "wgpu knows the allocations of {backend}"
    );
    if !known {
        println!("NOT RUN: wgpu does not know the allocations of {backend}");
    }
    known
}

impl Deref for TestGpu {
    type Target = Gpu;

    fn deref(&self) -> &Gpu {
        &self.gpu
    }
}

/// The number of pipelines that a set of devices keeps: a software driver's take some megabytes each.
const PIPELINES: usize = 150;

/// Three devices on the best adapter.
type Set = [TestGpu; 3];

/// The sets that no test uses at the moment. A software driver compiles kernels in one thread for each device, so tests
/// that share devices wait for each other: each test has a set of its own, and hands it to a later one.
static IDLE: Mutex<Vec<&'static Set>> = Mutex::new(Vec::new());

/// The set of one test, until its thread ends.
struct Lease(&'static Set);

impl Drop for Lease {
    fn drop(&mut self) {
        IDLE.lock().expect("nothing panics while it holds the lock").push(self.0);
    }
}

thread_local! {
    static LEASE: Lease = {
        let idle = IDLE.lock().expect("nothing panics while it holds the lock").pop();
        Lease(idle.unwrap_or_else(|| Box::leak(Box::new(opened()))))
    };
}

/// Three devices on the best adapter: with all it offers, without subgroups, and with no more than a browser grants, of
/// whose driver nothing is known. A test has them for itself, with what earlier tests have compiled.
///
/// # Panics
/// As [`TestGpu::open`].
pub fn gpus() -> &'static [TestGpu] {
    let gpus = LEASE.with(|lease| lease.0);
    if gpus.iter().map(|gpu| gpu.kernels().compiled()).sum::<usize>() > PIPELINES {
        gpus.iter().for_each(|gpu| gpu.kernels().clear());
    }
    gpus
}

fn opened() -> Set {
    // Tunings stored on this machine are not tested.
    let all = GpuOptions::new().tuning(TuningChoice::Table);
    let flat = all.clone().without_subgroups();
    let portable = flat.clone().default_limits().without_probe();
    [("all", all), ("no subgroups", flat), ("default limits", portable)]
        .map(|(what, options)| TestGpu::open(what, options))
}

thread_local! {
    /// The number of times that each line has asked for a device. A test has a thread of its own.
    static ASKED: RefCell<HashMap<(&'static str, u32), usize>> = RefCell::default();
}

/// Returns one of [`gpus`], another one each time: calls in loops meet all of them, while compiling all combinations
/// for all devices would take minutes. With `SOAK` in the environment, all of them.
///
/// # Panics
/// As [`TestGpu::open`].
#[track_caller]
pub fn in_turn() -> &'static [TestGpu] {
    match std::env::var_os("SOAK") {
        Some(_) => gpus(),
        None => slice::from_ref(&gpus()[turn(Location::caller())]),
    }
}

/// The sum of a count's digits to base 3, from another start for each line: it has no period, so that a loop of three
/// around this meets each device with each of its values.
fn turn(line: &Location<'static>) -> usize {
    let asked = ASKED.with_borrow_mut(|asked| {
        let count = asked.entry((line.file(), line.line())).or_default();
        *count += 1;
        *count - 1
    });
    let digits = std::iter::successors(Some(asked), |rest| Some(rest / 3));
    let sum: usize = digits.take_while(|rest| *rest > 0).map(|rest| rest % 3).sum();
    (sum + line.line() as usize) % 3
}
