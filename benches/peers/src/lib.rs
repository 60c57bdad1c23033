//! What the contenders share: the job they are given, the data, the clock, the line they print.
//! `torch_peers.py` does the same in Python.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytemuck::Pod;

/// A result of anything that may fail.
pub type Fallible<T> = Result<T, Failure>;

/// Why a contender failed; the driver puts it below the table.
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

/// One contender on one shape: the program's only argument, as JSON.
#[derive(serde::Deserialize)]
pub struct Job {
    /// The contender's name in the table.
    pub name: String,
    /// Where `logits.bin` and `labels.bin` are.
    pub data: PathBuf,
    /// (N, C) or (N, C, ...).
    pub shape: Vec<usize>,
    /// How many times a pass is timed.
    pub samples: usize,
    /// No further sample of a pass starts after so many seconds, if there are three.
    pub seconds: f64,
    /// Part of the adapter's name, driver or backend; the best adapter without it.
    pub adapter: Option<String>,
}

impl Job {
    /// The job the driver passed.
    pub fn from_args() -> Fallible<Self> {
        let text = std::env::args().nth(1).ok_or("wants a job in JSON; see scripts/bench-peers")?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Elements of the logits.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The number of classes, which is the length of axis 1.
    pub fn classes(&self) -> usize {
        self.shape[1]
    }

    /// What lies behind the classes: 1, or the pixels of an image.
    pub fn inner(&self) -> usize {
        self.shape[2..].iter().product()
    }

    /// The logits' shape without the classes.
    pub fn label_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape.remove(1);
        shape
    }

    /// The logits.
    pub fn logits(&self) -> Fallible<Vec<f32>> {
        self.read("logits.bin", self.elements())
    }

    /// The labels.
    pub fn labels(&self) -> Fallible<Vec<i64>> {
        self.read("labels.bin", self.elements() / self.classes())
    }

    fn read<T: Pod>(&self, name: &str, count: usize) -> Fallible<Vec<T>> {
        let mut values = vec![T::zeroed(); count];
        File::open(self.data.join(name))?.read_exact(bytemuck::cast_slice_mut(&mut values))?;
        Ok(values)
    }

    /// Times `run`, which returns when its work is done.
    ///
    /// Before that it runs untimed, at least twice and for 0.2 s: kernels are compiled and tuned,
    /// memory is allocated and clocks rise.
    pub fn time(&self, mut run: impl FnMut() -> Fallible<()>) -> Fallible<Vec<Duration>> {
        let begin = Instant::now();
        let mut runs = 0;
        while runs < 2 || begin.elapsed() < Duration::from_millis(200) {
            run()?;
            runs += 1;
        }
        let begin = Instant::now();
        let mut times = Vec::new();
        while times.len() < self.samples
            && (times.len() < 3 || begin.elapsed().as_secs_f64() < self.seconds)
        {
            let start = Instant::now();
            run()?;
            times.push(start.elapsed());
        }
        Ok(times)
    }

    /// Prints the line of one pass.
    pub fn report(&self, device: &str, note: &str, pass: Pass, answer: Answer, times: &[Duration]) {
        let mut ms: Vec<f64> = times.iter().map(|time| 1e3 * time.as_secs_f64()).collect();
        ms.sort_by(f64::total_cmp);
        let middle = (ms[ms.len() / 2] + ms[(ms.len() - 1) / 2]) / 2.0;
        let line = serde_json::json!({
            "name": self.name, "shape": self.shape, "pass": pass.name(), "loss": answer.loss,
            "grad_dot": answer.grad_dot, "median_ms": middle, "min_ms": ms[0], "samples": ms.len(),
            "device": device, "note": note,
        });
        println!("{line}");
    }
}

/// What is timed.
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

/// What a contender computed, for the driver to check.
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
