//! Ranks of the test program itself, and data that every rank makes for itself.

use std::ops::Range;
use std::process::{Command, ExitStatus};

use mpi::Threading;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use serde::Deserialize;
use wgpu_loss::stream::Device;
use wgpu_loss::{
    CrossEntropy, Error, GpuOptions, Inputs, LargeOutput, Outputs, Reduction, Sink, Tensor,
    reference,
};
use wgpu_loss_mpi::Grid;

/// Set in the environment of a rank.
const RANK: &str = "WGPU_LOSS_MPI_TEST_RANK";
/// The longest time of a test in seconds: after it, a rank waits for ever.
const LIMIT: &str = "120";

type Body<'a> = &'a dyn Fn(&SimpleCommunicator, &(dyn Device + Sync));

/// Returns true in a rank.
pub fn is_rank() -> bool {
    std::env::var_os(RANK).is_some()
}

/// Runs `body` on so many ranks, once for each number.
pub fn on_ranks(test: &str, numbers: &[i32], body: Body<'_>) {
    if is_rank() {
        return rank(body);
    }
    for &number in numbers {
        let (status, output) = start(test, number);
        assert!(status.success(), "{test} on {number} ranks:\n{output}");
        assert_eq!(output.matches("a rank is done").count(), number as usize, "{output}");
    }
}

/// Runs `body` as a rank.
pub fn rank(body: Body<'_>) {
    let (universe, _) = mpi::initialize_with_threading(Threading::Funneled).expect("MPI");
    let world = universe.world();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let grid = Grid::new(&world, 1).expect("a grid");
        match std::env::var_os("WGPU_LOSS_MPI_CPU") {
            Some(_) => body(&world, &reference::Cpu),
            None => {
                let gpu = grid.open_gpu(GpuOptions::new());
                body(&world, &gpu.expect("the tests need a GPU or a software driver"));
            }
        }
    }));
    if result.is_err() {
        // The others may wait for this rank.
        world.abort(1);
    }
    println!("a rank is done");
}

/// Starts ranks of this test, and returns their status and output.
pub fn start(test: &str, ranks: i32) -> (ExitStatus, String) {
    let mut command = Command::new("timeout");
    // Tests run as root in containers, with fewer cores than ranks.
    command.args([LIMIT, "mpirun", "--allow-run-as-root", "--oversubscribe", "-n"]);
    command.arg(ranks.to_string()).arg(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(RANK, "1");
    // The ranks' software drivers share the cores, and compile most kernels for a single call.
    command.env("LP_NUM_THREADS", "1").env("GALLIVM_PERF", "nopt");
    let output = command.output().expect("timeout and mpirun (Debian: openmpi-bin)");
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    (output.status, format!("{stdout}\n{stderr}"))
}

/// Ends this process as a kernel that is out of memory would.
pub fn kill_this_process() -> ! {
    let kill = format!("kill -KILL {}", std::process::id());
    Command::new("sh").args(["-c", &kill]).status().expect("a shell");
    unreachable!("a killed process goes on");
}

/// A rank's part of a tensor along its class axis.
pub struct Shard {
    pub shape: Vec<usize>,
    axis: usize,
    whole: Vec<usize>,
    classes: Range<usize>,
}

impl Shard {
    /// Returns the part of a rank: the later ranks have more classes.
    pub fn of(shape: &[usize], axis: usize, rank: i32, ranks: i32) -> Self {
        let edge = |rank: i32| shape[axis] * (rank * rank) as usize / (ranks * ranks) as usize;
        Self::between(shape, axis, edge(rank)..edge(rank + 1))
    }

    /// Returns the part with these classes.
    pub fn between(shape: &[usize], axis: usize, classes: Range<usize>) -> Self {
        let mut part = shape.to_vec();
        part[axis] = classes.len();
        Self { shape: part, axis, whole: shape.to_vec(), classes }
    }

    /// Returns the part of a tensor's elements.
    pub fn cut<T: Copy>(&self, all: &[T]) -> Vec<T> {
        let inner: usize = self.whole[self.axis + 1..].iter().product();
        let step = inner * self.whole[self.axis];
        if step == 0 {
            return Vec::new();
        }
        let range = self.classes.start * inner..self.classes.end * inner;
        all.chunks(step).flat_map(|part| &part[range.clone()]).copied().collect()
    }
}

/// Asserts that numbers are close: by `relative` of themselves, and `absolute`.
#[track_caller]
pub fn assert_close(what: &str, got: &[f64], wanted: &[f64], relative: f64, absolute: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (at, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        let close = (got - wanted).abs() <= relative * wanted.abs() + absolute;
        let same = got == wanted || (got.is_nan() && wanted.is_nan());
        assert!(same || (close && wanted.is_finite()), "{what} {at}: {got} is not {wanted}");
    }
}

/// A sink that keeps everything. Places that are not written stay NaN.
#[derive(Default)]
pub struct Kept(Vec<(LargeOutput, Vec<u8>)>);

impl Kept {
    pub fn floats(&self, what: LargeOutput) -> Vec<f64> {
        self.words(what).into_iter().map(|word| f32::from_bits(word).into()).collect()
    }

    pub fn words(&self, what: LargeOutput) -> Vec<u32> {
        let found = self.0.iter().find(|(other, _)| *other == what);
        let bytes = found.map_or(&[][..], |(_, bytes)| bytes);
        bytes.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
    }
}

impl Sink for Kept {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let at = self.0.iter().position(|(other, _)| *other == what).unwrap_or_else(|| {
            self.0.push((what, Vec::new()));
            self.0.len() - 1
        });
        let kept = &mut self.0[at].1;
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        kept.resize(kept.len().max(end), 0xff);
        kept[start..end].copy_from_slice(bytes);
        Ok(())
    }
}

/// Computes on all ranks, and returns the loss and what this rank has received.
pub fn collect(
    grid: &Grid,
    device: &(dyn Device + Sync),
    loss: &CrossEntropy,
    inputs: &Inputs<'_>,
    outputs: Outputs,
) -> (wgpu_loss::Output<f64>, Kept) {
    let mut kept = Kept::default();
    let computed = grid.cross_entropy(device, loss, inputs, outputs, &mut kept);
    (computed.expect("a partial").partial.finish().expect("a loss"), kept)
}

/// Rows with labels, the same on every rank.
#[derive(Clone)]
pub struct Logits {
    pub values: Vec<f32>,
    pub labels: Vec<i64>,
    pub row_weights: Option<Vec<f32>>,
    pub class_weights: Option<Vec<f32>>,
    /// (rows, classes), or (images, classes, positions).
    pub shape: Vec<usize>,
}

impl Logits {
    pub fn new(rows: usize, classes: usize) -> Self {
        let mut seed = (rows * 31 + classes) as u64;
        let mut next = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 40) as f32 / (1u64 << 24) as f32
        };
        let values = (0..rows * classes).map(|_| 20.0 * next() - 10.0).collect();
        let labels = (0..rows).map(|_| (next() * classes as f32) as i64).collect();
        let shape = vec![rows, classes];
        Self { values, labels, row_weights: None, class_weights: None, shape }
    }

    pub fn with_row_weights(&self) -> Self {
        let weights = (0..self.labels.len()).map(|row| (row % 5) as f32 * 0.4).collect();
        Self { row_weights: Some(weights), ..self.clone() }
    }

    pub fn with_class_weights(&self) -> Self {
        let weights = (0..self.shape[1]).map(|class| 0.5 + (class % 7) as f32 / 7.0).collect();
        Self { class_weights: Some(weights), ..self.clone() }
    }

    /// Returns the same numbers as one image, whose rows are pixels.
    pub fn as_image(&self) -> Self {
        let [rows, classes] = [self.shape[0], self.shape[1]];
        Self { shape: vec![1, classes, rows], ..self.clone() }
    }

    /// Returns some of the rows.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        let classes = self.shape[1];
        Self {
            values: self.values[rows.start * classes..rows.end * classes].to_vec(),
            labels: self.labels[rows.clone()].to_vec(),
            row_weights: self.row_weights.as_ref().map(|all| all[rows.clone()].to_vec()),
            class_weights: self.class_weights.clone(),
            shape: vec![rows.len(), classes],
        }
    }

    fn row_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape.remove(1);
        shape
    }

    /// Calls `visit` with some of the classes of all rows.
    pub fn shard<T>(&self, shard: &Shard, visit: impl FnOnce(&Inputs<'_>) -> T) -> T {
        let (values, rows) = (shard.cut(&self.values), self.row_shape());
        let mut inputs =
            Inputs::new(Tensor::new(&values, &shard.shape)).labels(&self.labels, &rows);
        if let Some(weights) = &self.row_weights {
            inputs = inputs.row_weights(Tensor::new(weights, &rows));
        }
        if let Some(weights) = &self.class_weights {
            inputs = inputs.weight(weights);
        }
        visit(&inputs)
    }

    /// Calls `visit` with all classes of all rows.
    pub fn inputs<T>(&self, visit: impl FnOnce(&Inputs<'_>) -> T) -> T {
        self.shard(&Shard::between(&self.shape, 1, 0..self.shape[1]), visit)
    }
}

/// Compares everything that ranks compute with the reference over all classes. `edges`: the first class of each rank,
/// and the end.
pub fn check(
    grid: &Grid,
    device: &(dyn Device + Sync),
    loss: &CrossEntropy,
    logits: &Logits,
    edges: &[usize],
    outputs: Outputs,
) {
    let rank = grid.of_classes().rank() as usize;
    let shard = Shard::between(&logits.shape, 1, edges[rank]..edges[rank + 1]);
    let (got, kept) = logits.shard(&shard, |inputs| collect(grid, device, loss, inputs, outputs));
    let whole = logits.inputs(|inputs| reference::run(loss, inputs, outputs)).expect("the whole");
    let what = format!("{loss:?} {outputs:?} of {:?}", logits.shape);
    let unreduced = whole.loss_shape.len() == logits.row_shape().len();
    let losses = if unreduced { kept.floats(LargeOutput::RowLoss) } else { got.loss };
    // Rounding of softly capped logits is that of numbers of their size.
    assert_close(&what, &losses, &whole.loss, 4e-6, 0.0);
    let z_losses = if unreduced { kept.floats(LargeOutput::ZLoss) } else { got.z_loss };
    assert_close(&what, &z_losses, &whole.z_loss, 4e-6, 0.0);
    assert_eq!(got.summary.live, whole.summary.live, "{what}");
    assert_eq!(got.summary.correct, whole.summary.correct, "{what}");
    assert_close(&what, &[got.summary.weight], &[whole.summary.weight], 1e-6, 0.0);
    let elements = |all: &Option<Vec<f64>>| all.as_ref().map_or(vec![], |all| shard.cut(all));
    // A gradient is a difference of probabilities of a row's weight.
    let size = whole.grad.iter().flatten().fold(0.0, |most: f64, x| most.max(x.abs()));
    let grad = kept.floats(LargeOutput::Grad);
    assert_close(&what, &grad, &elements(&whole.grad), 1e-5, 1e-7 * size);
    let log_probs = kept.floats(LargeOutput::Distribution);
    assert_close(&what, &log_probs, &elements(&whole.log_probs), 4e-6, 1e-6);
    for (output, wanted) in [
        (LargeOutput::Lse, &whole.rows.lse),
        (LargeOutput::Entropy, &whole.rows.entropy),
        (LargeOutput::Variance, &whole.rows.variance),
        (LargeOutput::RowWeights, &whole.rows.weights),
    ] {
        let wanted = wanted.clone().unwrap_or_default();
        assert_close(&format!("{output:?} of {what}"), &kept.floats(output), &wanted, 1e-5, 1e-6);
    }
    assert_eq!(kept.words(LargeOutput::Argmax), whole.rows.argmax.unwrap_or_default(), "{what}");
}

/// A case of PyTorch's numbers.
#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub shape: Vec<usize>,
    class_axis: Option<isize>,
    pub input: Vec<Number>,
    pub labels: Option<Vec<i64>>,
    pub probabilities: Option<Vec<Number>>,
    pub weight: Option<Vec<Number>>,
    ignore_index: i64,
    label_smoothing: f32,
    pub reduction: String,
    pub upstream: Option<Vec<Number>>,
    pub loss: Vec<Number>,
    pub grad: Option<Vec<Number>>,
}

/// A number, which JSON has as text if it is not finite.
#[derive(Clone, Copy, Deserialize)]
#[serde(from = "Written")]
pub struct Number(pub f64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

impl From<Written> for Number {
    fn from(written: Written) -> Self {
        match written {
            Written::Number(number) => Number(number),
            Written::Text(text) => Number(text.parse().expect("a number")),
        }
    }
}

pub fn f32s(numbers: &[Number]) -> Vec<f32> {
    numbers.iter().map(|number| number.0 as f32).collect()
}

pub fn f64s(numbers: &[Number]) -> Vec<f64> {
    numbers.iter().map(|number| number.0).collect()
}

impl Case {
    pub fn axis(&self) -> usize {
        match self.class_axis {
            None => usize::from(self.shape.len() > 1),
            Some(axis) => axis.rem_euclid(self.shape.len() as isize) as usize,
        }
    }

    pub fn row_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape.remove(self.axis());
        shape
    }

    pub fn loss(&self) -> CrossEntropy {
        let reduction = match &*self.reduction {
            "none" => Reduction::None,
            "sum" => Reduction::Sum,
            "batchmean" => Reduction::BatchMean,
            _ => Reduction::Mean,
        };
        let mut loss =
            CrossEntropy::new().reduction(reduction).label_smoothing(self.label_smoothing);
        if let Some(axis) = self.class_axis {
            loss = loss.class_axis(axis);
        }
        match self.labels {
            Some(_) => loss.ignore_index(self.ignore_index),
            None => loss,
        }
    }
}

/// Returns PyTorch's cases of cross-entropy.
pub fn fixtures() -> Vec<Case> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/cross_entropy.json");
    let text = std::fs::read_to_string(file).expect("the library's fixtures");
    serde_json::from_str(&text).expect("cases")
}
