//! Arguments that everything that computes shares.

use clap::{Args, ValueEnum};
use wgpu_loss::ElementType;

use super::values;

pub const FILES: &str = "\
Arrays are `FILE.npy`, `FILE.npz:ARRAY` (`FILE.npz` alone where it holds one) or
`FILE.safetensors:TENSOR`, of any size, in C or Fortran order and in either byte order. Floats are f16,
bf16, f32 or f64; f64 is rounded to f32, the others are used as they are, and the arithmetic is f32.
NumPy has no bf16: it is saved as the bits of each number in a uint16, which `--dtype bf16` reads;
without it, a uint16 is an integer. Archives are checked against their checksums.
Labels are integers of any size or bools; so may be targets of single elements and weights of rows and
elements, which are read as f32.

Files are mapped, not read into memory; one that another program cuts short meanwhile ends this one.
What has to be inflated or put in order goes to a temporary file first, where it is larger than 16 MiB
(in the folder that TMPDIR names). Results are `.npy` files, gradients and probabilities in the input's
type, losses in f32. They appear under their names when all are complete, with the mode and owner of a
file that they replace, or not at all; Ctrl-C leaves nothing.

Exit status: 0 success; 1 wrong data, failed device or failed check; 2 wrong usage.";

/// Arguments that everything that computes shares.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The device that computes; auto takes the best GPU, or the CPU where there is none.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceArg,
    /// Compute on the first GPU whose name, driver or backend contains this. Given several times, on these GPUs together:
    /// the same text twice takes the first two, where there are two. `all` stands for all GPUs.
    #[arg(long, value_name = "TEXT")]
    pub adapter: Vec<String>,
    /// Take GPU number N of those that match, from 0, and the first one again after the last: for processes that share
    /// the GPUs of a machine.
    #[arg(long, value_name = "N")]
    pub adapter_turn: Option<usize>,
    /// Compare all results with the f64 reference and fail where the largest relative difference is above 2e-6 for a
    /// reduced loss, 1e-5 for anything else; rounding to halves, and rounding of logits that are scaled or capped, is
    /// allowed in addition.
    #[arg(long)]
    pub check: bool,
    /// Take 16-bit words for floats of this type (the input's, and those of other floats saved so).
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<WordType>,
    /// Type of saved gradients, log-probabilities and probabilities: the input's, or f32.
    #[arg(long, value_name = "TYPE", default_value = "same")]
    pub out_dtype: OutType,
    /// Memory that a GPU and the host may use together, such as 512MiB or 2GB [default: the
    /// device's memory].
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub memory_budget: Option<u64>,
    /// Give the results of a row the same bits regardless of the other rows, their number and the memory budget; slower
    /// for some shapes. Results on the CPU always have this property.
    #[arg(long)]
    pub batch_invariant: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// On stderr, print errors only: no progress and no notices.
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
