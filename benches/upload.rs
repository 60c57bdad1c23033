//! The speed of transfers of tensors to the device and of results to the host: that of the host's memory and the bus,
//! and that of the library.
//!
//! A byte needs at least a copy by the host into staging memory and one by the device out of it. If a GPU exposes all
//! of its memory to the host, wgpu allocates staging memory there: then the host's copy crosses the bus, and the
//! device's is only a copy within its own memory.
//!
//! `cargo bench --bench upload` measures the best adapter; `WGPU_LOSS_ADAPTER` picks one, `WGPU_LOSS_OWN_MEMORY=1`
//! makes a software driver take the paths of a discrete GPU, `-- --json` answers programs.

use std::time::Duration;

use serde_json::{Value, json};
use wgpu_loss::{CrossEntropy, Gpu, Inputs, Outputs, Tensor, reference, wgpu};

mod harness;

use harness::link::{Link, Threads, copy};
use harness::ring::Ring;
use harness::{adapter, answer, attempt, gpu, median, say, seconds, timed};

const MIB: u64 = 1 << 20;
const CLASSES: usize = 1024;
/// Repetitions of a transfer before it counts; those that count are next.
const WARM_UP: usize = 2;
const SAMPLES: usize = 9;

/// Runs the bench.
pub fn main() {
    let gpu = gpu();
    let software = gpu.info().device_type == wgpu::DeviceType::Cpu;
    let sizes: &[u64] =
        if software { &[16 * MIB, 128 * MIB] } else { &[16 * MIB, 256 * MIB, 1024 * MIB] };
    let most = gpu.device().limits().max_buffer_size;
    say(format!("{}, medians of {SAMPLES}", gpu.info().name));
    let (mut results, mut failed) = (Vec::new(), Vec::new());
    for &bytes in sizes.iter().filter(|bytes| **bytes <= most) {
        say(format!("\n{} MiB", bytes / MIB));
        let host = Host::new(bytes);
        let mut ways = Ways { bytes, results: &mut results };
        for part in [link, library] {
            if let Err(error) = attempt(|| part(&gpu, &host, &mut ways)) {
                say(format!("FAILED: {error}"));
                failed.push(json!({ "bytes": bytes, "reason": error }));
            }
        }
    }
    let shared = gpu.device().features().contains(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS);
    let found = json!({ "shared_memory": shared, "results": results, "failed": failed });
    answer("upload", adapter(gpu.info()), found);
}

/// The tensors.
struct Host {
    logits: Vec<f32>,
    labels: Vec<i64>,
    shape: [usize; 2],
}

impl Host {
    fn new(bytes: u64) -> Self {
        let rows = bytes as usize / 4 / CLASSES;
        let logit = |i: usize| (i as u32).wrapping_mul(0x9e37_79b1) as f32 / (1u32 << 29) as f32;
        Self {
            logits: (0..rows * CLASSES).map(logit).collect(),
            labels: (0..rows).map(|row| (row * 7 % CLASSES) as i64).collect(),
            shape: [rows, CLASSES],
        }
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.logits)
    }

    fn inputs(&self) -> Inputs<'_> {
        let logits = Tensor::new(&self.logits, &self.shape);
        Inputs::new(logits).labels(&self.labels, &self.shape[..1])
    }
}

/// The results.
struct Ways<'a> {
    bytes: u64,
    results: &'a mut Vec<Value>,
}

impl Ways<'_> {
    /// Repeats a transfer; the bytes pass `times` times.
    fn go(&mut self, way: &str, times: u64, mut once: impl FnMut() -> Duration) {
        for _ in 0..WARM_UP {
            once();
        }
        let taken: Vec<Duration> = (0..SAMPLES).map(|_| once()).collect();
        let moved = times * self.bytes;
        let rate = moved as f64 / median(&taken).as_secs_f64() / 1e9;
        say(format!("  {way:<34} {:>10.2?} {rate:>8.2} GB/s", median(&taken)));
        self.results.push(json!({
            "bytes": self.bytes,
            "moved": moved,
            "way": way,
            "seconds": seconds(&taken),
            "gb_per_s": rate,
        }));
    }
}

/// Measures the speed that the link can reach.
fn link(gpu: &Gpu, host: &Host, ways: &mut Ways<'_>) -> Result<(), wgpu_loss::Error> {
    let from = host.bytes();
    let mut to = vec![0; from.len()];
    let link = Link::new(gpu, from.len() as u64);
    for (threads, name) in [(Threads::One, "one thread"), (Threads::All, "all threads")] {
        ways.go(&format!("host to host, {name}"), 1, || timed(|| copy(&mut to, from, threads)).0);
        ways.go(&format!("host to staging, {name}"), 1, || link.fill(from, threads));
    }
    ways.go("staging to device", 1, || link.up());
    ways.go("device to readable", 1, || link.down());
    for (threads, name) in [(Threads::One, "one thread"), (Threads::All, "all threads")] {
        to.fill(0);
        ways.go(&format!("readable to host, {name}"), 1, || link.read(&mut to, threads));
        assert!(to == from, "other bytes came back");
    }
    ways.go("Queue::write_buffer", 1, || link.write(from));
    let mut ring = Ring::new(gpu, Some(from.len() as u64));
    ways.go("three staging buffers in turns", 1, || timed(|| ring.upload(from)).0);
    Ok(())
}

/// Measures the speed that the library reaches.
fn library(gpu: &Gpu, host: &Host, ways: &mut Ways<'_>) -> Result<(), wgpu_loss::Error> {
    let (loss, inputs) = (CrossEntropy::new(), host.inputs());
    let wanted = reference::run(&loss, &inputs, Outputs::loss())?.loss[0];
    let check = |got: f32| {
        let off = (f64::from(got) - wanted).abs() / wanted;
        assert!(off < 2e-6, "a loss of {got} for {wanted}");
    };
    // Of all transfers, this one is likely to fail: no memory, a lost device.
    drop(gpu.bind(&loss, &inputs, Outputs::loss())?);
    ways.go("Gpu::bind", 1, || {
        let (time, bound) = timed(|| gpu.bind(&loss, &inputs, Outputs::loss()));
        drop(bound.expect("bound tensors"));
        time
    });
    ways.go("Gpu::run, fwd", 1, || {
        let (time, output) = timed(|| gpu.run(&loss, &inputs, Outputs::loss()));
        check(output.expect("a loss").loss[0]);
        time
    });
    for mib in [4, 8, 16, 32, 64] {
        // The library's choice is a constant for each kind of device; this sets the size of the pieces that such a call
        // is divided into.
        let gpu = gpu.with_piece_bytes(mib * MIB);
        ways.go(&format!("Gpu::run, fwd, pieces of {mib} MiB"), 1, || {
            let (time, output) = timed(|| gpu.run(&loss, &inputs, Outputs::loss()));
            check(output.expect("a loss").loss[0]);
            time
        });
    }
    ways.go("Gpu::run, fwd+bwd", 2, || {
        let (time, output) = timed(|| gpu.run(&loss, &inputs, Outputs::loss().with_grad()));
        let output = output.expect("a gradient");
        check(output.loss[0]);
        assert_eq!(output.grad.map(|grad| grad.len()), Some(host.logits.len()));
        time
    });
    Ok(())
}
