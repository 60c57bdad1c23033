//! The parts that the benches share, which print for people or, with `--json`, for programs.
//!
//! With `--json`, stdout is one JSON object and all other output goes to stderr. Times are seconds.

// Each bench uses a part of it.
#![allow(dead_code)]

pub mod link;
pub mod ring;
pub mod tensors;
pub mod variations;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wgpu_loss::wgpu::{AdapterInfo, DeviceType};
use wgpu_loss::{ElementType, Gpu, GpuOptions};

/// Returns true if the output is for programs.
pub fn wants_json() -> bool {
    std::env::args().any(|argument| argument == "--json")
}

/// Returns the words that follow each `name` on the command line.
pub fn arguments(name: &str) -> Vec<String> {
    let all: Vec<String> = std::env::args().collect();
    all.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].clone()).collect()
}

/// Runs a bench that measures each shape in each type by itself, as long as there is time (`--seconds`, 480). There are
/// shapes for a GPU, and others for a processor.
pub fn by_shape_and_type(
    name: &str,
    [on_gpu, on_processor]: [&[&[usize]]; 2],
    measure: impl Fn(&Gpu, &[usize], ElementType, &mut Vec<Value>) -> Result<(), wgpu_loss::Error>,
) {
    let start = Instant::now();
    let gpu = gpu();
    let limit = arguments("--seconds").first().map_or(480.0, |text| text.parse().expect("seconds"));
    say(&gpu.info().name);
    let (mut results, mut failed) = (Vec::new(), Vec::new());
    for element_type in types() {
        for shape in shapes(&gpu, on_gpu, on_processor) {
            let done = match start.elapsed().as_secs_f64() < limit {
                true => attempt(|| measure(&gpu, &shape, element_type, &mut results)),
                false => Err("no time left".into()),
            };
            if let Err(reason) = done {
                let dtype = element_type.name();
                say(format!("\n{shape:?} {dtype}: FAILED: {reason}"));
                failed.push(json!({ "shape": shape, "dtype": dtype, "reason": reason }));
            }
        }
    }
    answer(name, adapter(gpu.info()), json!({ "results": results, "failed": failed }));
}

/// Returns the shapes that `--shape` names; without it those for a GPU, or the smaller ones for a processor.
fn shapes(gpu: &Gpu, on_gpu: &[&[usize]], on_processor: &[&[usize]]) -> Vec<Vec<usize>> {
    let axis = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text:?} is no length"));
    let given: Vec<_> =
        arguments("--shape").iter().map(|text| text.split('x').map(axis).collect()).collect();
    let software = gpu.info().device_type == DeviceType::Cpu;
    let table = if software { on_processor } else { on_gpu };
    if given.is_empty() { table.iter().map(|shape| shape.to_vec()).collect() } else { given }
}

/// The element types that `--dtype` names; without it all.
fn types() -> Vec<ElementType> {
    let given = arguments("--dtype");
    let wanted = |t: &ElementType| given.is_empty() || given.iter().any(|name| name == t.name());
    [ElementType::F32, ElementType::BF16, ElementType::F16].into_iter().filter(wanted).collect()
}

/// Prints progress for people.
pub fn say(text: impl AsRef<str>) {
    match wants_json() {
        true => eprintln!("{}", text.as_ref()),
        false => println!("{}", text.as_ref()),
    }
}

/// Ends a bench: prints the result for programs.
pub fn answer(command: &str, adapter: Value, mut found: Value) {
    if !wants_json() {
        return;
    }
    found["command"] = command.into();
    found["adapter"] = adapter;
    println!("{found:#}");
}

/// Returns the options for the adapter that `WGPU_LOSS_ADAPTER` names, or else the best. With `WGPU_LOSS_OWN_MEMORY` it
/// is used as if it had memory of its own, so that a software driver takes the paths of a discrete GPU.
pub fn options() -> GpuOptions {
    let options = GpuOptions::new().adapter(std::env::var("WGPU_LOSS_ADAPTER").unwrap_or_default());
    match std::env::var_os("WGPU_LOSS_OWN_MEMORY") {
        Some(_) => options.own_memory(),
        None => options,
    }
}

/// Opens a device on that adapter.
pub fn gpu() -> Gpu {
    Gpu::with_options(&options()).expect("a GPU adapter")
}

/// Returns an adapter, as `wgpu-loss adapters --json` prints it.
pub fn adapter(info: &AdapterInfo) -> Value {
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => "discrete",
        DeviceType::IntegratedGpu => "integrated",
        DeviceType::VirtualGpu => "virtual",
        DeviceType::Cpu => "software",
        DeviceType::Other => "other",
    };
    let driver = format!("{} {}", info.driver.trim(), info.driver_info.trim());
    json!({
        "name": info.name.trim(),
        "backend": info.backend.to_string(),
        "driver": driver.trim(),
        "type": kind,
    })
}

/// Times of the same work, in seconds.
pub fn seconds(times: &[Duration]) -> Value {
    let sorted = sorted(times);
    json!({
        "median": middle(&sorted).as_secs_f64(),
        "least": sorted.first().copied().unwrap_or_default().as_secs_f64(),
        "samples": sorted.len(),
    })
}

/// Returns the time in the middle; the lower of two.
pub fn median(times: &[Duration]) -> Duration {
    middle(&sorted(times))
}

fn sorted(times: &[Duration]) -> Vec<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted
}

fn middle(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// Returns the time that some work takes, and its result.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let made = work();
    (start.elapsed(), made)
}

/// Returns a number that the environment may set.
pub fn number(name: &str, otherwise: f64) -> f64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
        Err(_) => otherwise,
    }
}

/// Returns the bytes of free memory; `None` if the system does not say.
pub fn free_memory() -> Option<u64> {
    let reported = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = reported.lines().find(|line| line.starts_with("MemAvailable:"))?;
    Some(1024 * line.split_whitespace().nth(1)?.parse::<u64>().ok()?)
}

/// Returns a panic's message.
fn said(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or(panic.downcast_ref::<String>().cloned()).unwrap_or("a panic".into())
}

/// Runs work whose failure, including a panic, must not lose the other results.
pub fn attempt<T>(work: impl FnOnce() -> Result<T, wgpu_loss::Error>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(said(panic)),
    }
}
