//! What can be asked for on the command line.

use std::io::Write;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use wgpu_loss::gpu::Field;
use wgpu_loss::{ElementType, EmptyMean, Reduction};

use crate::bench::Pass;
use crate::error::Failure;

const FILES: &str = "\
Arrays are `FILE.npy`, `FILE.npz:ARRAY` (`FILE.npz` alone where it holds one) or
`FILE.safetensors:TENSOR`, of any size, in C or Fortran order and in either byte order. Floats are f16,
bf16, f32 or f64; f64 is rounded to f32, the others are used as they are, and the arithmetic is f32.
NumPy has no bf16: it is saved as the bits of each number in a uint16, which `--dtype bf16` reads.
Labels are integers of any size or bools.

Files are mapped, not read into memory; one that another program cuts short meanwhile ends this one.
What has to be inflated or put in order goes to a temporary file first, where it is larger than 16 MiB
(in the folder that TMPDIR names). Results are `.npy` files, gradients and probabilities in the input's
type, losses in f32. They appear under their names when they are complete; Ctrl-C leaves nothing.

Exit status: 0 success; 1 wrong data, failed device or failed check; 2 wrong usage.";

const BENCH: &str = "\
Every answer is compared with the f64 reference before it is timed. Times are medians: `kernel` is the
device's work alone (by its timestamps, or by the wall clock where it has none), `resident` adds
recording, submitting, waiting and reading the loss, `end to end` is a call on host data with its
uploads and results, and `first call` compiles, binds and runs. `GB/s` counts the bytes that have to
move: logits and labels once, and for fwd+bwd the logits again and the gradient. `roof` is what plain
16-byte reads (fwd), or reads and a copy (fwd+bwd), of tensors of this size reach on the same device;
`vs CPU` compares the resident time with the f64 reference on all cores.

Exit status: 0 success; 1 no device, a wrong answer, or a shape that does not fit; 2 wrong usage.";

const TUNE: &str = "\
How work is laid out on a device follows from numbers: lanes of a workgroup, groups of a dispatch, words
that a lane keeps, and so on. A table has them for each kind of device. This looks for better ones on
the device at hand: one number after the other, each value against the best so far. A value wins where
it is 3 % faster, twice in a row, over shapes of cross-entropy with and without gradient; wrong answers
are dropped. Leave the machine alone meanwhile.

The winners are kept for this adapter, driver and version of wgpu-loss in the user's cache folder (in
the folder that WGPU_LOSS_CACHE names, if it is set), and every later run on the device uses them.

Exit status: 0 success, 1 no device or no folder to write to, 2 wrong usage.";

/// Losses of arrays in files, and their gradients, on any GPU that wgpu reaches.
#[derive(Debug, Parser)]
#[command(name = "wgpu-loss", version, after_help = FILES, arg_required_else_help = false)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Cross-entropy of logits against labels or class probabilities.
    #[command(after_help = FILES)]
    CrossEntropy(CrossEntropyArgs),
    /// Negative log-likelihood of log-probabilities at labels.
    #[command(after_help = FILES)]
    Nll(NllArgs),
    /// Logarithm of the softmax along an axis.
    #[command(after_help = FILES)]
    LogSoftmax(SoftmaxArgs),
    /// Softmax along an axis.
    #[command(after_help = FILES)]
    Softmax(SoftmaxArgs),
    /// List the GPU adapters there are, best first.
    Adapters(AdaptersArgs),
    /// Measure how fast cross-entropy runs, beside what the device's memory allows.
    #[command(after_help = BENCH)]
    Bench(BenchArgs),
    /// Find the numbers by which work is laid out best on a device, and keep them.
    #[command(after_help = TUNE)]
    Tune(TuneArgs),
}

/// Arguments of `cross-entropy`.
#[derive(Debug, Args)]
pub struct CrossEntropyArgs {
    /// Logits.
    pub input: PathBuf,
    /// Integer labels in the input's shape without the class axis, or float class probabilities in
    /// the input's shape.
    pub target: PathBuf,
    /// Spread this much of the target evenly over all classes, from 0 to 1.
    #[arg(long, value_name = "E", default_value = "0", value_parser = fraction)]
    #[arg(allow_negative_numbers = true)]
    pub label_smoothing: f32,
    /// Save the log-probabilities, in the input's shape.
    #[arg(long, value_name = "FILE")]
    pub save_log_probs: Option<PathBuf>,
    #[command(flatten)]
    pub loss: LossArgs,
    #[command(flatten)]
    pub run: RunArgs,
}

/// Arguments of `nll`.
#[derive(Debug, Args)]
pub struct NllArgs {
    /// Log-probabilities.
    pub input: PathBuf,
    /// Integer labels in the input's shape without the class axis.
    pub target: PathBuf,
    #[command(flatten)]
    pub loss: LossArgs,
    #[command(flatten)]
    pub run: RunArgs,
}

/// Arguments of `softmax` and `log-softmax`.
#[derive(Debug, Args)]
pub struct SoftmaxArgs {
    /// Logits.
    pub input: PathBuf,
    /// Save the result, in the input's shape.
    #[arg(long, value_name = "FILE")]
    pub save_output: Option<PathBuf>,
    #[command(flatten)]
    pub run: RunArgs,
}

/// Arguments of `adapters`.
#[derive(Debug, Args)]
pub struct AdaptersArgs {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Shape of the logits, with the classes on axis 1; may be given several times [default:
    /// 4096x1000, 2048x32000, 512x151936, 1048576x10, 4x21x512x512].
    #[arg(long, value_name = "NxC[xH...]", value_parser = shape)]
    pub shape: Vec<Shape>,
    /// Type of the logits: f32, f16 or bf16.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = dtype)]
    pub dtype: ElementType,
    /// Measure this alone [default: both].
    #[arg(long, value_name = "WHAT")]
    pub pass: Option<Pass>,
    /// Measure the first GPU whose name, driver or backend contains this [default: the best].
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
    /// How often each time is measured.
    #[arg(long, value_name = "N", default_value = "9", value_parser = count)]
    pub samples: usize,
    /// Measure numbers of classes from 4 to 151,936 and draw the bandwidths: an .svg or .png file.
    #[arg(long, value_name = "FILE", conflicts_with = "shape")]
    pub plot: Option<PathBuf>,
    /// Elements of each shape in the picture, about.
    #[arg(long, value_name = "N", default_value = "33554432", value_parser = count)]
    #[arg(requires = "plot")]
    pub elements: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// Tune the first GPU whose name, driver or backend contains this [default: the best].
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
    /// Tune this number alone; may be given several times [default: all].
    #[arg(long, value_name = "NAME", value_parser = field)]
    pub only: Vec<Field>,
    /// Elements of each shape, about [default: 64 Mi on a discrete GPU, 16 Mi on an integrated one, 2 Mi
    /// in software].
    #[arg(long, value_name = "N", value_parser = count)]
    pub elements: Option<usize>,
    /// How often each time is measured.
    #[arg(long, value_name = "N", default_value = "7", value_parser = count)]
    pub samples: usize,
    /// Start nothing new after this time.
    #[arg(long, value_name = "MINUTES", default_value = "10", value_parser = count)]
    pub minutes: usize,
    /// Measure, but keep nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Measure nothing, and forget what is kept for this adapter.
    #[arg(long, conflicts_with_all = ["dry_run", "only", "elements", "samples", "minutes"])]
    pub reset: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `--shape`: two axes or more, none of them empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub Vec<usize>);

/// What the losses with a target share.
#[derive(Debug, Args)]
pub struct LossArgs {
    /// One weight per class.
    #[arg(long, value_name = "FILE")]
    pub weight: Option<PathBuf>,
    /// Leave out the rows with this label [default: -100].
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true)]
    pub ignore_index: Option<i64>,
    /// How the losses of the rows become one number.
    #[arg(long, value_name = "HOW", default_value = "mean")]
    pub reduction: ReductionArg,
    /// What the mean is where no row counts.
    #[arg(long, value_name = "WHAT", default_value = "nan")]
    pub empty_mean: EmptyMeanArg,
    /// Gradient with respect to the loss: one number, or one per row for reduction none.
    #[arg(long, value_name = "FILE", requires = "save_grad")]
    pub upstream: Option<PathBuf>,
    /// Save the loss: one number, or one per row for reduction none.
    #[arg(long, value_name = "FILE")]
    pub save_loss: Option<PathBuf>,
    /// Compute the gradient with respect to the input too and save it, in the input's shape.
    #[arg(long, value_name = "FILE")]
    pub save_grad: Option<PathBuf>,
}

/// What everything that computes shares.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Axis of the classes, negative from the end [default: 1, or 0 for one axis; the last one for
    /// the softmaxes].
    #[arg(long, value_name = "AXIS", allow_negative_numbers = true)]
    pub class_axis: Option<isize>,
    /// Where to compute; auto takes the best GPU, or the CPU where there is none.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceArg,
    /// Compute on the first GPU whose name, driver or backend contains this.
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
    /// Compare all that is computed with the f64 reference and fail where the largest relative
    /// difference is above 2e-6 for a reduced loss, 1e-5 for anything else.
    #[arg(long)]
    pub check: bool,
    /// Take 16-bit words for floats of this type (the input's, and those of other floats saved so).
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<WordType>,
    /// Type of saved gradients, log-probabilities and probabilities: the input's, or f32.
    #[arg(long, value_name = "TYPE", default_value = "same")]
    pub out_dtype: OutType,
    /// Memory that the GPU and the host may take together, such as 512MiB or 2GB [default: what the
    /// device has].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory_budget: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Say nothing on stderr but errors: no progress and no notices.
    #[arg(long)]
    pub quiet: bool,
}

/// `--dtype` of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WordType {
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
}

impl From<WordType> for ElementType {
    fn from(arg: WordType) -> Self {
        match arg {
            WordType::F16 => ElementType::F16,
            WordType::Bf16 => ElementType::BF16,
        }
    }
}

/// `--out-dtype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutType {
    /// The input's.
    Same,
    /// Single precision.
    F32,
}

/// `--reduction`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReductionArg {
    /// One loss per row.
    None,
    /// The mean over rows, weighted where there are weights.
    Mean,
    /// The sum over rows.
    Sum,
    /// The sum over rows, divided by the batch size.
    #[value(name = "batchmean")]
    BatchMean,
}

impl From<ReductionArg> for Reduction {
    fn from(arg: ReductionArg) -> Self {
        match arg {
            ReductionArg::None => Reduction::None,
            ReductionArg::Mean => Reduction::Mean,
            ReductionArg::Sum => Reduction::Sum,
            ReductionArg::BatchMean => Reduction::BatchMean,
        }
    }
}

/// `--empty-mean`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EmptyMeanArg {
    /// Not a number.
    Nan,
    /// 0.
    Zero,
}

impl From<EmptyMeanArg> for EmptyMean {
    fn from(arg: EmptyMeanArg) -> Self {
        match arg {
            EmptyMeanArg::Nan => EmptyMean::Nan,
            EmptyMeanArg::Zero => EmptyMean::Zero,
        }
    }
}

/// `--device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// The best GPU; the CPU where there is none.
    Auto,
    /// The best GPU.
    Gpu,
    /// The f64 reference.
    Cpu,
}

impl Command {
    fn run_args(&self) -> Option<&RunArgs> {
        match self {
            Command::CrossEntropy(args) => Some(&args.run),
            Command::Nll(args) => Some(&args.run),
            Command::LogSoftmax(args) | Command::Softmax(args) => Some(&args.run),
            Command::Adapters(_) | Command::Bench(_) | Command::Tune(_) => None,
        }
    }
}

/// Reads the command line. `None` where help or the version was asked for and is shown.
pub fn parse() -> Result<Option<Command>, Failure> {
    let parsed = Cli::command().try_get_matches().and_then(|m| Cli::from_arg_matches(&m));
    let command = match parsed {
        Ok(cli) => cli.command,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            // A reader that has seen enough of the help and closed the pipe is no error.
            let _ = error.print().and_then(|()| std::io::stdout().flush());
            return Ok(None);
        }
        Err(error) => return Err(Failure::Usage(one_line(&error.to_string()))),
    };
    let at_odds = |run: &RunArgs| run.device == DeviceArg::Cpu && run.adapter.is_some();
    if command.run_args().is_some_and(at_odds) {
        return Err(Failure::Usage("--adapter chooses a GPU, but --device is cpu".into()));
    }
    Ok(Some(command))
}

/// Clap's message without its `error:` and without the usage below it, tips included.
fn one_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let said = message.split("\n\n").filter(|paragraph| {
        !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more information")
    });
    let said: Vec<String> =
        said.map(|p| p.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    format!("{}; see --help", said.join("; "))
}

/// A number from 0 to 1. NaN is none.
fn fraction(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("it must be a number from 0 to 1".into()),
    }
}

/// A shape such as 4096x1000.
fn shape(text: &str) -> Result<Shape, String> {
    let extents: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    let wanted = "it must be two extents or more, such as 4096x1000 or 4x21x512x512";
    let extents = extents.map_err(|_| wanted)?;
    if extents.len() < 2 || extents.contains(&0) {
        return Err(wanted.into());
    }
    // As bytes of logits and of labels, so that nothing overflows behind here.
    let bytes = extents.iter().try_fold(8u64, |n, &extent| n.checked_mul(extent as u64));
    match bytes.is_some_and(|bytes| usize::try_from(bytes).is_ok()) {
        true => Ok(Shape(extents)),
        false => Err("it has more elements than memory has addresses".into()),
    }
}

/// A type of logits.
fn dtype(text: &str) -> Result<ElementType, String> {
    let found = ElementType::ALL.into_iter().find(|element_type| element_type.name() == text);
    found.ok_or_else(|| "it must be f32, f16 or bf16".into())
}

/// The name of a number that can be tuned.
fn field(text: &str) -> Result<Field, String> {
    let found = Field::ALL.into_iter().find(|field| field.name() == text);
    found.ok_or_else(|| format!("it must be one of {}", Field::ALL.map(Field::name).join(", ")))
}

/// A number of bytes, in binary units (KiB, MiB, GiB) or decimal ones (KB, MB, GB).
fn size(text: &str) -> Result<u64, String> {
    match parse_size::parse_size(text) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("it must be a size such as 512MiB, 2GB or 1000000".into()),
    }
}

/// A number from 1.
fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "it must be a number from 1".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn shapes_have_two_axes_or_more() {
        assert_eq!(shape("4096x1000"), Ok(Shape(vec![4096, 1000])));
        assert_eq!(shape("4x21x512x512"), Ok(Shape(vec![4, 21, 512, 512])));
        for wrong in ["", "x", "10", "10x", "10x0", "-1x2", "10×2", "10x1e3", "3x4 "] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
        assert!(shape(&format!("{0}x{0}", usize::MAX)).is_err());
    }

    #[test]
    fn sizes_have_units() {
        let sizes = [("512MiB", 512 << 20), ("2GB", 2_000_000_000), ("1 KiB", 1024), ("77", 77)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "x", "MiB", "-1", "0", "1e99GB", "99999999999999999999"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn clap_errors_fit_one_line() {
        for words in [
            vec!["wgpu-loss"],
            vec!["wgpu-loss", "nll"],
            vec!["wgpu-loss", "nll", "a.npy", "b.npy", "--wieght", "c.npy"],
            vec!["wgpu-loss", "softmax", "a.npy", "--class-axis", "x"],
            vec!["wgpu-loss", "cross-entropy", "a.npy", "b.npy", "--upstream", "g.npy"],
        ] {
            let error = Cli::try_parse_from(words).unwrap_err();
            let line = one_line(&error.to_string());
            assert!(!line.contains('\n') && !line.contains("Usage"), "{line}");
        }
    }
}
