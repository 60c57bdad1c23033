//! Tests that `--check` can fail: results that are wrong by a thousandth, or in the wrong row, have to be found, in
//! every output of every loss. They are computed as for a user, changed, and given to the check.

use std::path::Path;

use clap::Parser;
use tempfile::TempDir;
use wgpu_loss::{ClassLosses, Floats, LargeOutput};

use super::*;
use crate::args::{self, Command};

/// Command lines that have every kind of output of each loss.
const COMMANDS: [&str; 22] = [
    "cross-entropy x.npy t.npy --save-grad g.npy --save-log-probs p.npy --save-lse l.npy --save-argmax a.npy \
     --save-rank r.npy --save-entropy e.npy --save-variance v.npy --save-row-weights w.npy --accuracy --top-k 3 --per-class --z-loss 0.1",
    "cross-entropy x.npy t.npy --save-grad g.npy --weight c.npy --row-weights y.npy --reduction none --z-loss 0.1 \
     --save-row-weights w.npy",
    "cross-entropy x.npy t.npy --save-grad g.npy --label-smoothing 0.1 --weight c.npy",
    "cross-entropy x.npy t.npy --save-grad g.npy --save-log-probs p.npy --logit-scale 0.5 --reduction none",
    "cross-entropy x.npy t.npy --save-grad g.npy --save-log-probs p.npy --softcap 5 --reduction sum",
    "cross-entropy m.npy t.npy --save-grad g.npy --save-log-probs p.npy --logit-scale 0.5",
    "cross-entropy m.npy t.npy --save-grad g.npy --logit-scale 2 --reduction none --per-class",
    "cross-entropy x.npy q.npy --save-grad g.npy --reduction none",
    "cross-entropy h.npy t.npy --save-grad g.npy --save-log-probs p.npy",
    "cross-entropy h.npy t.npy --save-grad g.npy --out-dtype f32 --weight c.npy",
    "nll x.npy t.npy --save-grad g.npy --weight c.npy --row-weights y.npy --reduction none",
    "entropy x.npy --save-grad g.npy",
    "entropy x.npy --save-grad g.npy --row-weights y.npy --reduction none",
    "softmax x.npy --upstream x.npy --save-grad g.npy",
    "log-softmax x.npy --upstream x.npy --save-grad g.npy",
    "bce q.npy r.npy --save-grad g.npy --weight c.npy --reduction none",
    "bce-with-logits x.npy q.npy --save-grad g.npy --weight c.npy --pos-weight c.npy --reduction none",
    "kl-div x.npy q.npy --save-grad g.npy --save-target-grad u.npy --reduction none",
    "kl-div x.npy q.npy --log-target --save-grad g.npy --save-target-grad u.npy --reduction batchmean",
    "gaussian-nll x.npy q.npy --var v.npy --save-grad g.npy --save-target-grad u.npy --save-var-grad z.npy \
     --reduction none",
    "poisson-nll k.npy n.npy --full --save-grad g.npy --reduction none",
    "poisson-nll s.npy n.npy --no-log-input --eps 0.5 --full --save-grad g.npy --reduction none",
];

const ROWS: usize = 24;
const CLASSES: usize = 10;

/// A result that can be changed.
#[derive(Clone)]
struct Owned {
    loss: Option<f32>,
    z_loss: Option<f32>,
    summary: wgpu_loss::Summary,
    classes: Option<ClassLosses>,
    floats: Vec<(LargeOutput, OwnedFloats)>,
    words: Vec<(LargeOutput, Vec<u32>)>,
}

#[derive(Clone)]
enum OwnedFloats {
    F32(Vec<f32>),
    F16(Vec<half::f16>),
}

impl OwnedFloats {
    fn of(floats: &Floats<'_>) -> Self {
        match floats.element_type() {
            ElementType::F16 => Self::F16(floats.iter().map(half::f16::from_f32).collect()),
            _ => Self::F32(floats.iter().collect()),
        }
    }

    fn borrow(&self) -> Floats<'_> {
        match self {
            Self::F32(all) => Floats::F32(all),
            Self::F16(all) => all.as_slice().into(),
        }
    }

    fn len(&self) -> usize {
        self.borrow().len()
    }

    /// Returns numbers, each computed from its place and value.
    fn changed(&self, change: impl Fn(usize, f32) -> f32) -> Self {
        let floats = self.borrow();
        let all = floats.iter().enumerate().map(|(i, x)| change(i, x));
        match self {
            Self::F32(_) => Self::F32(all.collect()),
            Self::F16(_) => Self::F16(all.map(half::f16::from_f32).collect()),
        }
    }
}

impl Owned {
    fn of(answer: &Answer<'_>) -> Self {
        let Answer { loss, z_loss, summary, classes, ref floats, ref words } = *answer;
        Self {
            loss,
            z_loss,
            summary,
            classes: classes.cloned(),
            floats: floats.iter().map(|(what, all)| (*what, OwnedFloats::of(all))).collect(),
            words: words.iter().map(|(what, all)| (*what, all.to_vec())).collect(),
        }
    }

    fn answer(&self) -> Answer<'_> {
        Answer {
            loss: self.loss,
            z_loss: self.z_loss,
            summary: self.summary,
            classes: self.classes.as_ref(),
            floats: self.floats.iter().map(|(what, all)| (*what, all.borrow())).collect(),
            words: self.words.iter().map(|(what, all)| (*what, &all[..])).collect(),
        }
    }

    /// Returns copies that are wrong in one output each, and the change that was made.
    fn mutants(&self) -> Vec<(String, Owned)> {
        let mut all: Vec<(String, Owned)> = Vec::new();
        let mut add = |what: String, change: &dyn Fn(&mut Owned)| {
            let mut mutant = self.clone();
            change(&mut mutant);
            all.push((what, mutant));
        };
        // An f16 may have an error of 2^-11 of itself, a bf16 of eight times as much.
        let scaled = |x: f32| x * 1.001;
        if self.loss.is_some() {
            add("loss * 1.001".into(), &|mutant| mutant.loss = mutant.loss.map(scaled));
        }
        if self.z_loss.is_some() {
            add("z-loss * 1.001".into(), &|mutant| mutant.z_loss = mutant.z_loss.map(scaled));
        }
        add("live rows + 1".into(), &|mutant| mutant.summary.live += 1);
        for (at, (what, floats)) in self.floats.iter().enumerate() {
            let by = if matches!(floats, OwnedFloats::F16(_)) { 1.002 } else { 1.001 };
            add(format!("{what:?} * {by}"), &|mutant| {
                mutant.floats[at].1 = floats.changed(|_, x| x * by);
            });
            // Two rows that differ: all weights are 1 if none are given.
            let size = floats.len() / ROWS;
            let all: Vec<f32> = floats.borrow().iter().collect();
            let of = |row: usize| &all[row * size..(row + 1) * size];
            let Some(other) = (1..ROWS).find(|&row| of(row) != of(0)) else { continue };
            add(format!("rows 0 and {other} of {what:?} swapped"), &|mutant| {
                let from = |i: usize| match i / size {
                    0 => i + other * size,
                    row if row == other => i - other * size,
                    _ => i,
                };
                mutant.floats[at].1 = floats.changed(|i, _| all[from(i)]);
            });
        }
        for (at, (what, words)) in self.words.iter().enumerate() {
            let other = (1..ROWS).find(|&row| words[row] != words[0]);
            let other = other.expect("rows that differ");
            add(format!("rows of {what:?} swapped"), &|mutant| mutant.words[at].1.swap(0, other));
        }
        if self.classes.is_some() {
            let of = |mutant: &mut Owned| mutant.classes.take().unwrap_or_default();
            add("class losses * 1.001".into(), &|mutant| {
                let mut classes = of(mutant);
                classes.loss.iter_mut().for_each(|loss| *loss *= 1.001);
                mutant.classes = Some(classes);
            });
            add("rows of classes swapped".into(), &|mutant| {
                let mut classes = of(mutant);
                classes.loss.swap(0, 1);
                mutant.classes = Some(classes);
            });
        }
        all
    }
}

/// Writes arrays for all commands: `x` logits, `m` masked ones, `q` and `r` probabilities, `t` labels, `c` class
/// weights, `y` row weights, `v` variances, `n` counts, `s` their rates and `k` the logarithms of those, `h` logits of
/// two bytes.
fn write_arrays(folder: &Path) {
    let mut seed = 1u64;
    let mut next = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 40) as f32 / (1u64 << 24) as f32
    };
    let elements = [ROWS, CLASSES];
    let mut floats = |name: &str, shape: &[usize], of: &dyn Fn(usize, f32) -> f32| {
        let all: Vec<f32> = (0..shape.iter().product()).map(|i| of(i, next())).collect();
        let halves: Vec<half::f16> = all.iter().map(|&x| half::f16::from_f32(x)).collect();
        let (descr, bytes) = match name {
            "h" => ("<f2", bytemuck::cast_slice(&halves)),
            _ => ("<f4", bytemuck::cast_slice(&all)),
        };
        save(folder, name, descr, shape, bytes);
    };
    let masked = |i: usize, x: f32| match i % CLASSES {
        7 => -1e9,
        8 => f32::MIN,
        9 => f32::NEG_INFINITY,
        _ => 8.0 * x - 6.0,
    };
    let counts =
        |i: usize| [0.0, 0.5, 1.0, 2.0, 7.0, 100.0, 1e4, 1e5, 1e6, 1e7][i % CLASSES] as f32;
    floats("x", &elements, &|_, x| 8.0 * x - 6.0);
    floats("h", &elements, &|_, x| 8.0 * x - 6.0);
    floats("m", &elements, &masked);
    floats("q", &elements, &|_, x| 0.05 + 0.9 * x);
    floats("r", &elements, &|_, x| 0.05 + 0.9 * x);
    floats("v", &elements, &|_, x| 0.25 + x);
    floats("c", &[CLASSES], &|_, x| 0.5 + x);
    floats("y", &[ROWS], &|_, x| 0.5 + x);
    floats("n", &elements, &|i, x| counts(i) * (0.9 + 0.2 * x));
    floats("s", &elements, &|i, x| (counts(i) + 0.1) * (0.9 + 0.2 * x));
    floats("k", &elements, &|i, x| (counts(i) + 0.1).ln() + x / 10.0);
    // Labels that are not masked.
    let labels: Vec<i64> = (0..ROWS as i64).map(|row| row * 5 % 7).collect();
    save(folder, "t", "<i8", &[ROWS], bytemuck::cast_slice(&labels));
}

fn save(folder: &Path, name: &str, descr: &str, shape: &[usize], bytes: &[u8]) {
    let shape: String = shape.iter().map(|extent| format!("{extent},")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let header = format!("{header:<117}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(bytes);
    std::fs::write(folder.join(format!("{name}.npy")), file).unwrap();
}

/// Returns the job of a command line whose files are in the folder.
fn job(folder: &Path, words: &str) -> Job {
    let path = |word: &str| folder.join(word).display().to_string();
    let words = words.split_whitespace();
    let words = words.map(|word| if word.ends_with(".npy") { path(word) } else { word.into() });
    let words = ["wgpu-loss".to_string()].into_iter().chain(words);
    match args::Cli::try_parse_from(words.chain(["--check".into(), "--quiet".into()]))
        .unwrap()
        .command
        .unwrap()
    {
        Command::CrossEntropy(args) => args.into(),
        Command::Nll(args) => args.into(),
        Command::Entropy(args) => args.into(),
        Command::Bce(args) => args.into(),
        Command::BceWithLogits(args) => args.into(),
        Command::KlDiv(args) => args.into(),
        Command::GaussianNll(args) => args.into(),
        Command::PoissonNll(args) => args.into(),
        Command::Softmax(args) => Job::softmax("softmax", args),
        Command::LogSoftmax(args) => Job::softmax("log-softmax", args),
        other => panic!("{other:?} computes no loss"),
    }
}

fn said<T>(result: Result<T, Stop>) -> T {
    result.unwrap_or_else(|stop| match stop {
        Stop::Library(error) => panic!("{error}"),
        Stop::Failure(failure) => panic!("{}", failure.message()),
    })
}

#[test]
fn every_check_can_fail() {
    let folder = TempDir::new().unwrap();
    write_arrays(folder.path());
    let mut wrong = Vec::new();
    let run = job(folder.path(), COMMANDS[0]).run;
    let mut device = said(Device::open(&run, None).map_err(Stop::from));
    for words in COMMANDS {
        let job = job(folder.path(), words);
        let paths = job.files.sets().unwrap_or_else(|failure| panic!("{}", failure.message()));
        let paths = paths[0].clone().and(&job.operands);
        let mut request =
            Request::new(&job, &paths).unwrap_or_else(|failure| panic!("{}", failure.message()));
        said(request.open().map_err(Stop::from));
        let data = request.sources.data();
        let work = request.work(&data);
        let Done { computed, complete, .. } = said(work.compute(&mut device).map_err(Stop::from));
        let answer = complete.answer(&computed);
        let check = |answer: &Answer<'_>| said(work.check(answer));
        for compared in check(&answer) {
            if !compared.passed() || compared.unjudged > 0 {
                wrong.push(format!("{words}: {} {:?}", compared.verdict(), compared.worst));
            }
        }
        let mutants = Owned::of(&answer).mutants();
        assert!(mutants.len() > 3, "{words}");
        for (what, mutant) in mutants {
            if check(&mutant.answer()).iter().all(Compared::passed) {
                wrong.push(format!("{words}: {what} passes"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
