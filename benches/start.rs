//! The time to the first loss: from the start of a process to loss and gradient of (4096, 1000) f32 logits with i64
//! labels, the gradient left on the device.
//!
//! Each sample is a process of its own, this program once more. It prints the times of its parts: the instance, the
//! adapter and its device, the kernels compiled, tensors uploaded and the first loss read; its total time is measured
//! from outside. Cold: the driver's shader caches are in an empty folder. Warm: the next process, which finds the files
//! that the first one left there. The driver's own files are in the page cache in both: the time of a process before
//! all others is reported separately.
//!
//! `cargo bench --bench start` measures the best adapter; `WGPU_LOSS_ADAPTER` picks one, `-- --json` answers programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wgpu_loss::{CrossEntropy, Inputs, Outputs, Plan, Tensor, reference};

mod harness;

use harness::{adapter, answer, gpu, say, seconds, timed};

const SHAPE: [usize; 2] = [4096, 1000];
/// Processes of each kind.
const SAMPLES: usize = 5;
/// The variable that makes a process one of the samples.
const SAMPLE: &str = "WGPU_LOSS_BENCH_SAMPLE";
/// The variables for the folders of compiled shaders: NVIDIA's, Mesa's, and those of the desktop.
const CACHES: [&str; 3] =
    ["__GL_SHADER_DISK_CACHE_PATH", "MESA_SHADER_CACHE_DIR", "XDG_CACHE_HOME"];
/// The variables that enable these caches: NVIDIA's is off for root by default.
const CACHING: [(&str, &str); 2] =
    [("__GL_SHADER_DISK_CACHE", "1"), ("MESA_SHADER_CACHE_DISABLE", "false")];
/// The times that a sample prints.
const PARTS: [&str; 4] = ["instance", "device", "kernels", "loss"];

/// Runs the bench, or one sample of it.
pub fn main() {
    match std::env::var_os(SAMPLE) {
        Some(_) => println!("{}", sample()),
        None => measure(),
    }
}

/// The tensors, made in a few milliseconds.
fn tensors() -> (Vec<f32>, Vec<i64>) {
    let [rows, classes] = SHAPE;
    let logit = |i: usize| (i as u32).wrapping_mul(0x9e37_79b1) as f32 / (1u32 << 29) as f32 - 4.0;
    let labels = (0..rows).map(|row| (row * 7 % classes) as i64);
    ((0..rows * classes).map(logit).collect(), labels.collect())
}

fn inputs<'a>((logits, labels): &'a (Vec<f32>, Vec<i64>)) -> Inputs<'a> {
    Inputs::new(Tensor::new(logits, &SHAPE)).labels(labels, &SHAPE[..1])
}

/// One start, in this process.
fn sample() -> Value {
    let (data, tensors) = timed(tensors);
    let (loss, outputs) = (CrossEntropy::new(), Outputs::loss().with_grad());
    let gpu = gpu();
    let (kernels, ()) = timed(|| {
        let shapes = inputs(&tensors).shapes();
        let plan = Plan::new(&loss, &shapes, outputs, gpu.kernels().profile()).expect("a plan");
        gpu.kernels().compile(&plan).expect("kernels");
    });
    let compiled = gpu.kernels().compiled();
    let (first, answer) = timed(|| {
        let bound = gpu.bind(&loss, &inputs(&tensors), outputs).expect("bound tensors");
        let reader = bound.reader().expect("a reader");
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        bound.encode(&mut encoder);
        reader.record(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        reader.wait().expect("a loss").loss
    });
    assert_eq!(gpu.kernels().compiled(), compiled, "kernels that were not compiled ahead");
    let opening = gpu.opening();
    json!({
        "data": data.as_secs_f64(),
        "instance": opening.instance.as_secs_f64(),
        "device": opening.device.as_secs_f64(),
        "kernels": kernels.as_secs_f64(),
        "loss": first.as_secs_f64(),
        "compiled": compiled,
        "answer": answer,
        "adapter": adapter(gpu.info()),
    })
}

/// The times of processes of one kind, by part.
#[derive(Default)]
struct Kind(BTreeMap<&'static str, Vec<Duration>>);

impl Kind {
    fn add(&mut self, sample: &Sample) {
        for part in PARTS {
            let time = sample.reported[part].as_f64().unwrap_or_default();
            self.0.entry(part).or_default().push(Duration::from_secs_f64(time));
        }
        self.0.entry("total").or_default().push(sample.total);
    }

    fn json(&self) -> Value {
        self.0.iter().map(|(part, times)| (part.to_string(), seconds(times))).collect()
    }

    fn say(&self, name: &str) {
        let of = |part| self.0.get(part).map_or(Duration::ZERO, |times| harness::median(times));
        let reported: Vec<_> = PARTS
            .into_iter()
            .chain(["total"])
            .map(|part| format!("{part} {:.1?}", of(part)))
            .collect();
        say(format!("{name}: {}", reported.join(", ")));
    }
}

/// A sample's output, and the total time of its process.
struct Sample {
    reported: Value,
    total: Duration,
}

fn measure() {
    let tensors = tensors();
    let wanted = reference::run(&CrossEntropy::new(), &inputs(&tensors), Outputs::loss());
    let wanted = wanted.expect("a loss").loss[0];
    say(format!("loss and gradient of {SHAPE:?} f32, medians of {SAMPLES} processes of each kind"));

    let (mut first, mut cold, mut warm) = (None, Kind::default(), Kind::default());
    let (mut cached, mut failed) = (Vec::new(), Vec::new());
    for _ in 0..=SAMPLES {
        let folder = tempfile::tempdir().expect("a folder for the caches");
        let started = [(); 2].map(|()| {
            let started = start(folder.path(), wanted);
            cached.push(bytes_in(folder.path()));
            started
        });
        match started {
            // The first two processes of all warm everything but the shaders.
            [Ok(one), Ok(_)] if first.is_none() => first = Some(one),
            [Ok(one), Ok(other)] => {
                cold.add(&one);
                warm.add(&other);
            }
            started => failed.extend(started.into_iter().filter_map(Result::err)),
        }
    }
    failed.iter().for_each(|error| say(format!("FAILED: {error}")));
    let Some(first) = first else {
        eprintln!("no start succeeded");
        std::process::exit(1);
    };
    cold.say("cold");
    warm.say("warm");
    let cached = cached.into_iter().max().unwrap_or(0);
    let compiled = &first.reported["compiled"];
    say(format!(
        "the first of all: {:.1?}; {compiled} kernels; the driver cached {cached} bytes",
        first.total
    ));
    let adapter = first.reported["adapter"].clone();
    let found = json!({
        "shape": SHAPE,
        "dtype": "f32",
        "pass": "fwd+bwd",
        "cold": cold.json(),
        "warm": warm.json(),
        "first": first.total.as_secs_f64(),
        "data": first.reported["data"],
        "compiled": compiled,
        "cached_bytes": cached,
        "failed": failed,
    });
    answer("start", adapter, found);
}

/// Starts this program once more, with its driver's caches in a folder, and checks its answer.
fn start(caches: &Path, wanted: f64) -> Result<Sample, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(SAMPLE, "1");
    command.envs(CACHES.map(|name| (name, caches))).envs(CACHING);
    let (total, output) = timed(|| command.output());
    let output = output.map_err(|error| error.to_string())?;
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{}: {stderr}", output.status));
    }
    let reported: Value =
        serde_json::from_str(&stdout).map_err(|error| format!("{error}: {stdout}{stderr}"))?;
    let answer = reported["answer"].as_f64().unwrap_or(f64::NAN);
    let off = (answer - wanted).abs() / wanted;
    match off < 2e-6 {
        true => Ok(Sample { reported, total }),
        false => Err(format!("a loss of {answer} for {wanted}")),
    }
}

/// Bytes of the files in a folder.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_in(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    bytes.sum()
}
