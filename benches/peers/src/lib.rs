//! The parts that the contenders share: the job, the data, the clock, the line that they print.
//! `torch_peers.py` does the same in Python.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use wgpu_loss::ElementType;

/// A result of anything that may fail.
pub type Fallible<T> = Result<T, Failure>;

/// The reason why a contender failed; the driver prints it below the table.
pub struct Failure(String);

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// As `main` prints it: a text for people, not the error's structure.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The type of the logits, as the driver names it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// The upper halves of f32.
    BF16,
}

impl Dtype {
    /// Returns the library's name.
    pub fn element_type(self) -> ElementType {
        match self {
            Self::F32 => ElementType::F32,
            Self::F16 => ElementType::F16,
            Self::BF16 => ElementType::BF16,
        }
    }

    /// Returns elements of this type as f32.
    pub fn widen(self, bytes: &[u8]) -> Cow<'_, [f32]> {
        match self {
            Self::F32 => aligned(bytes),
            Self::F16 => aligned::<f16>(bytes).to_f32_vec().into(),
            Self::BF16 => aligned::<bf16>(bytes).to_f32_vec().into(),
        }
    }
}

/// Returns bytes as elements; copied if they are not aligned.
fn aligned<T: Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(elements) => elements.into(),
        Err(_) => bytemuck::pod_collect_to_vec(bytes).into(),
    }
}

/// One contender on one shape: a line of JSON on stdin. A process here does one job, so that none inherits
/// another's memory; `torch_peers.py`, which is slow to start, does one after another.
#[derive(serde::Deserialize)]
pub struct Job {
    /// The contender's name in the table.
    pub name: String,
    /// The folder of `logits.bin` and `labels.bin`.
    pub data: PathBuf,
    /// (N, C) or (N, C, ...).
    pub shape: Vec<usize>,
    /// The type of the logits.
    pub dtype: Dtype,
    /// The number of times that a pass is timed.
    pub samples: usize,
    /// No further sample of a pass starts after so many seconds, if there are three.
    pub seconds: f64,
    /// Part of the adapter's name, driver or backend; the best adapter without it.
    pub adapter: Option<String>,
}

impl Job {
    /// The job the driver passed.
    pub fn from_stdin() -> Fallible<Self> {
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        let job = serde_json::from_str(&line);
        Ok(job.map_err(|error| format!("wants a job on stdin, see scripts/bench-peers: {error}"))?)
    }

    /// Elements of the logits.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The number of classes, which is the length of axis 1.
    pub fn classes(&self) -> usize {
        self.shape[1]
    }

    /// Returns the number of elements per class after the class axis: 1, or the pixels of an image.
    pub fn inner(&self) -> usize {
        self.shape[2..].iter().product()
    }

    /// The logits' shape without the classes.
    pub fn label_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape.remove(1);
        shape
    }

    /// The logits as f32.
    pub fn logits(&self) -> Fallible<Vec<f32>> {
        Ok(self.dtype.widen(&self.logits_bytes()?).into_owned())
    }

    /// The logits as they are stored.
    pub fn logits_bytes(&self) -> Fallible<Vec<u8>> {
        Ok(fs::read(self.data.join("logits.bin"))?)
    }

    /// The labels.
    pub fn labels(&self) -> Fallible<Vec<i64>> {
        Ok(bytemuck::pod_collect_to_vec(&fs::read(self.data.join("labels.bin"))?))
    }

    /// Times `run`, which returns when its work is done.
    ///
    /// Before that it runs untimed, at least twice and for 0.2 s: kernels are compiled and tuned,
    /// memory is allocated and clocks rise.
    pub fn time(&self, mut run: impl FnMut() -> Fallible<()>) -> Fallible<Times> {
        let begin = Instant::now();
        let mut runs = 0;
        while runs < 2 || begin.elapsed() < Duration::from_millis(200) {
            run()?;
            runs += 1;
        }
        let begin = Instant::now();
        let mut wall = Vec::new();
        while wall.len() < self.samples
            && (wall.len() < 3 || begin.elapsed().as_secs_f64() < self.seconds)
        {
            let start = Instant::now();
            run()?;
            wall.push(start.elapsed());
        }
        Ok(Times { wall, device: Vec::new() })
    }

    /// Prints the line of one pass.
    pub fn report(&self, device: &str, note: &str, pass: Pass, answer: Answer, times: &Times) {
        let (wall, on_device) = (milliseconds(&times.wall), milliseconds(&times.device));
        let line = serde_json::json!({
            "name": self.name, "shape": self.shape, "dtype": self.dtype, "pass": pass.name(),
            "loss": answer.loss, "loss_type": "f32", "grad_dot": answer.grad_dot,
            "median_ms": wall.map(|(median, _)| median), "min_ms": wall.map(|(_, least)| least),
            "device_median_ms": on_device.map(|(median, _)| median),
            "device_min_ms": on_device.map(|(_, least)| least),
            "samples": times.wall.len(), "device": device, "note": note,
        });
        println!("{line}");
    }
}

/// The times of runs of one pass.
pub struct Times {
    /// By the wall clock, from the call to the end of the work.
    pub wall: Vec<Duration>,
    /// By the device's clock; empty if it has none.
    pub device: Vec<Duration>,
}

/// Median and least, in milliseconds.
fn milliseconds(times: &[Duration]) -> Option<(f64, f64)> {
    let mut ms: Vec<f64> = times.iter().map(|time| 1e3 * time.as_secs_f64()).collect();
    ms.sort_by(f64::total_cmp);
    let least = *ms.first()?;
    Some(((ms[ms.len() / 2] + ms[(ms.len() - 1) / 2]) / 2.0, least))
}

/// The timed computation.
#[derive(Clone, Copy, PartialEq)]
pub enum Pass {
    /// The loss.
    Forward,
    /// The loss and its gradient with respect to the logits.
    Backward,
}

impl Pass {
    /// Both, in the order of the table.
    pub const ALL: [Self; 2] = [Self::Forward, Self::Backward];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "forward+backward",
        }
    }
}

/// A contender's result, for the driver to check.
pub struct Answer {
    /// The mean loss.
    pub loss: f64,
    /// The gradient times the logits, summed: wrong if the gradient is, in sign, size or place.
    pub grad_dot: Option<f64>,
}

/// The gradient times the logits, summed.
pub fn dot(grad: &[f32], logits: &[f32]) -> f64 {
    grad.iter().zip(logits).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
