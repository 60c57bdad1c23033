//! A file that is larger than the memory budget, from the page cache through the device: the mean cross-entropy of
//! (rows, 1000) f32 logits with i64 labels. Compared with lower bounds of its time: reading the file, uploading it
//! without computation, and the kernels alone over as many bytes that are resident. The overlap of the three is the
//! time over that of the slowest of them.
//!
//! `cargo bench --bench stream`; `WGPU_LOSS_ADAPTER` picks an adapter, `WGPU_LOSS_GIB` the file's size
//! (4, or a quarter of the free memory); `-- --json` answers programs.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::{Duration, Instant};

use memmap2::Mmap;
use serde_json::{Value, json};
use wgpu_loss::stream::Progress;
use wgpu_loss::{CrossEntropy, Error, Gpu, Inputs, LargeOutput, Outputs, Sink, Tensor};

mod harness;

use harness::ring::Ring;
use harness::{adapter, answer, say, seconds};

const CLASSES: usize = 1000;
const BUDGET: u64 = 512 << 20;
const TIMES: usize = 5;
const GIB: f64 = (1u64 << 30) as f64;

/// Runs the bench.
pub fn main() {
    let room = harness::free_memory().map_or(4.0, |free| free as f64 / 4.0 / GIB);
    let gib = harness::number("WGPU_LOSS_GIB", room.min(4.0));
    let rows = (gib * GIB / (4 * CLASSES) as f64) as usize;
    let options = harness::options().memory_budget(BUDGET);
    let gpu = Gpu::with_options(&options).expect("a GPU adapter");
    say(format!("{}: {rows} rows of {CLASSES} classes, {gib:.1} GiB", gpu.info().name));
    let mut file = write_file(rows);
    let labels: Vec<i64> = (0..rows).map(|row| (row * 7 % CLASSES) as i64).collect();

    let read = times(|| read_file(&mut file));
    let kernels = kernels(&gpu, rows);
    let upload = {
        let map = mapped(&file);
        let mut ring = Ring::new(&gpu, None);
        times(|| ring.upload(&map[..rows * CLASSES * 4]))
    };
    let runs: Vec<Run> = (0..TIMES).map(|_| streamed(&gpu, &file, &labels)).collect();
    runs.iter().for_each(|run| say(format!("{run:?}")));
    let best = runs.iter().min_by_key(|run| run.time).expect("a run");
    let slowest = [&read, &upload, &kernels].into_iter().map(|times| least(times)).max();
    let overlap = best.time.as_secs_f64() / slowest.unwrap_or_default().as_secs_f64();
    let [read_least, upload_least, kernels_least] = [&read, &upload, &kernels].map(|t| least(t));
    say(format!(
        "reading the file {read_least:?}, uploading {upload_least:?}, kernels {kernels_least:?}, streamed {:?}",
        best.time
    ));
    let peak = runs.iter().map(|run| run.peak).max().unwrap_or(0);
    say(format!("{overlap:.2} of the slowest; {} MiB of host memory at most", peak >> 20));
    let found = json!({
        "bytes": rows * CLASSES * 4,
        "budget": BUDGET,
        "read": seconds(&read),
        "upload": seconds(&upload),
        "kernels": seconds(&kernels),
        "streamed": seconds(&runs.iter().map(|run| run.time).collect::<Vec<_>>()),
        "best": best.json(),
        "overlap": overlap,
        "gb_per_s": (rows * CLASSES * 4) as f64 / best.time.as_secs_f64() / 1e9,
        "peak_bytes": peak,
    });
    answer("stream", adapter(gpu.info()), found);
}

fn least(times: &[Duration]) -> Duration {
    times.iter().copied().min().unwrap_or_default()
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

/// Reads the file step by step, and does nothing with it.
fn read_file(file: &mut File) {
    let mut bytes = vec![0; 1 << 20];
    file.rewind().expect("a file");
    while file.read(&mut bytes).expect("the file's bytes") > 0 {
        std::hint::black_box(&bytes);
    }
}

/// The kernels' time for so many rows, by a tensor of a part of them.
fn kernels(gpu: &Gpu, rows: usize) -> Vec<Duration> {
    let part = rows.min(1 << 18);
    let logits: Vec<f32> =
        (0..part * CLASSES).map(|i| (i as u32).wrapping_mul(0x9e3779b1) as f32 / 1e9).collect();
    let labels = vec![3i64; part];
    let shape = [part, CLASSES];
    let inputs = Inputs::new(Tensor::new(&logits[..], &shape)).labels(&labels, &shape[..1]);
    let bound = gpu.bind(&CrossEntropy::new(), &inputs, Outputs::loss()).expect("bound tensors");
    let timer = gpu.timer().expect("a timer");
    let times = timer.kernel(TIMES, |pass| bound.record(pass)).expect("times");
    times.sorted.iter().map(|time| time.mul_f64(rows as f64 / part as f64)).collect()
}

#[derive(Debug)]
struct Run {
    time: Duration,
    prepare: Duration,
    upload: Duration,
    kernel: Duration,
    read_back: Duration,
    /// Bytes of the host's memory, without the page cache.
    peak: u64,
    loss: f32,
    /// Time of all cores, if the system gives it.
    cores: Duration,
}

impl Run {
    fn json(&self) -> Value {
        json!({
            "total": self.time.as_secs_f64(),
            "prepare": self.prepare.as_secs_f64(),
            "upload": self.upload.as_secs_f64(),
            "kernel": self.kernel.as_secs_f64(),
            "read_back": self.read_back.as_secs_f64(),
            "cores": self.cores.as_secs_f64(),
            "loss": self.loss,
        })
    }
}

/// The file's bytes.
fn mapped(file: &File) -> Mmap {
    // SAFETY: no other program has the file, which has no name, and nothing writes to it any more.
    unsafe { Mmap::map(file) }.expect("a mapping")
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
    let map = mapped(file);
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

/// Samples the process's memory after every piece.
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

/// Returns the bytes of the process that are not pages of a file; 0 if the system does not say.
fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    1024 * (of("RssAnon:").unwrap_or(0) + of("RssShmem:").unwrap_or(0))
}

fn times(mut work: impl FnMut()) -> Vec<Duration> {
    (0..TIMES).map(|_| harness::timed(&mut work).0).collect()
}
