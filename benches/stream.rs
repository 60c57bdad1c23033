//! A file that is larger than the memory budget, from the page cache through the device: the mean
//! cross-entropy of (rows, 1000) f32 logits with i64 labels. Compared with what it cannot beat: reading
//! the file, and the kernels alone over as many bytes that are resident.
//!
//! `cargo bench --bench stream`; `WGPU_LOSS_ADAPTER` picks an adapter, `WGPU_LOSS_GIB` the file's size
//! (4).

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::{Duration, Instant};

use memmap2::Mmap;
use wgpu_loss::gpu::stream::Progress;
use wgpu_loss::{CrossEntropy, Error, Gpu, GpuOptions, Inputs, LargeOutput, Outputs, Sink, Tensor};

const CLASSES: usize = 1000;
const BUDGET: u64 = 512 << 20;
const TIMES: usize = 5;

fn main() {
    let number = |name, default: &str| std::env::var(name).unwrap_or(default.into());
    let gib: f64 = number("WGPU_LOSS_GIB", "4").parse().expect("a number of GiB");
    let rows = (gib * (1u64 << 30) as f64 / (4 * CLASSES) as f64) as usize;
    let adapter = std::env::var("WGPU_LOSS_ADAPTER").unwrap_or_default();
    let options = GpuOptions::new().adapter(adapter).memory_budget(BUDGET);
    let gpu = Gpu::with_options(&options).expect("a GPU adapter");
    let mut file = write_file(rows);
    let labels: Vec<i64> = (0..rows).map(|row| (row * 7 % CLASSES) as i64).collect();

    let read = least(|| read_file(&mut file));
    let kernels = kernels(&gpu, rows);
    let mut best = Run::default();
    for _ in 0..TIMES {
        let run = streamed(&gpu, &file, &labels);
        println!("{run:?}");
        if best.time == Duration::ZERO || run.time < best.time {
            best = run;
        }
    }
    let ratio = best.time.as_secs_f64() / read.max(kernels).as_secs_f64();
    println!("{}: {rows} rows of {CLASSES} classes, {gib} GiB", gpu.info().name);
    println!("reading the file {read:?}, kernels {kernels:?}, streamed {:?}", best.time);
    println!("{ratio:.2} of the larger; {} MiB of host memory at most", best.peak >> 20);
}

/// A file of logits without a name, in the page cache.
fn write_file(rows: usize) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    let mut state = 1u64;
    for _ in 0..rows.div_ceil(1000) {
        let chunk: Vec<f32> = (0..1000 * CLASSES)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 40) as f32 / (1 << 21) as f32 - 4.0
            })
            .collect();
        file.write_all(bytemuck::cast_slice(&chunk)).expect("room for the file");
    }
    file
}

/// Reads the file by and by, as a program would that does nothing with it.
fn read_file(file: &mut File) {
    let mut bytes = vec![0; 1 << 20];
    file.rewind().expect("a file");
    while file.read(&mut bytes).expect("the file's bytes") > 0 {
        std::hint::black_box(&bytes);
    }
}

/// The kernels' time for so many rows, by a tensor of a part of them.
fn kernels(gpu: &Gpu, rows: usize) -> Duration {
    let part = rows.min(1 << 18);
    let logits: Vec<f32> =
        (0..part * CLASSES).map(|i| (i as u32).wrapping_mul(0x9e3779b1) as f32 / 1e9).collect();
    let labels = vec![3i64; part];
    let shape = [part, CLASSES];
    let inputs = Inputs::new(Tensor::new(&logits[..], &shape)).labels(&labels, &shape[..1]);
    let bound = gpu.bind(&CrossEntropy::new(), &inputs, Outputs::loss()).expect("bound tensors");
    let timer = gpu.timer().expect("a timer");
    let cores = core_time();
    let times = timer.kernel(TIMES, |pass| bound.record(pass)).expect("times");
    let cores = (core_time() - cores) / (TIMES as u32 + 1);
    println!("kernels: {:?} of all cores", cores.mul_f64(rows as f64 / part as f64));
    times.least().mul_f64(rows as f64 / part as f64)
}

#[derive(Debug, Default)]
#[allow(dead_code)]
struct Run {
    time: Duration,
    prepare: Duration,
    upload: Duration,
    kernel: Duration,
    read_back: Duration,
    /// Bytes of the host beyond the page cache.
    peak: u64,
    loss: f32,
    /// Time of all cores, where the system tells.
    cores: Duration,
}

/// Time that this process has spent on all cores.
fn core_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>())
}

fn streamed(gpu: &Gpu, file: &File, labels: &[i64]) -> Run {
    let mut watch = Watch(0);
    // SAFETY: nobody else has the file, which has no name, and nothing writes to it any more.
    let map = unsafe { Mmap::map(file) }.expect("a mapping");
    let logits: &[f32] = &bytemuck::cast_slice(&map)[..labels.len() * CLASSES];
    let shape = [labels.len(), CLASSES];
    let inputs = Inputs::new(Tensor::new(logits, &shape)).labels(labels, &shape[..1]);
    let (start, cores) = (Instant::now(), core_time());
    let output = gpu.run_into(&CrossEntropy::new(), &inputs, Outputs::loss(), &mut watch);
    let time = start.elapsed();
    let output = output.expect("a loss");
    assert_eq!(output.summary.live, labels.len() as u64);
    let timing = output.timing.expect("times");
    Run {
        time,
        prepare: timing.prepare,
        upload: timing.upload,
        kernel: timing.kernel,
        read_back: timing.read_back,
        peak: watch.0,
        loss: output.loss[0],
        cores: core_time() - cores,
    }
}

/// Looks at the process's memory after every piece.
struct Watch(u64);

impl Sink for Watch {
    fn write(&mut self, _: LargeOutput, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        if done.bytes % (1 << 24) < 1 << 22 {
            self.0 = self.0.max(anonymous_memory());
        }
        Ok(())
    }
}

/// Bytes of the process that are not pages of a file. 0 where nobody tells.
fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    1024 * (of("RssAnon:").unwrap_or(0) + of("RssShmem:").unwrap_or(0))
}

fn least(work: impl FnMut()) -> Duration {
    let mut work = work;
    let times = (0..TIMES).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}
