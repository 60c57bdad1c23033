//! The subcommands that are about devices: `adapters`, `bench` and `tune`.

use std::path::PathBuf;

use clap::Args;
use wgpu_loss::ElementType;
use wgpu_loss::gpu::Field;

use super::values::{self, Shape};
use crate::bench::Pass;

pub const BENCH: &str = "\
Every answer is compared with the f64 reference before it is timed. Times are medians: `kernel` is the
device's work alone (by its timestamps, or by the wall clock where it has none), `resident` adds
recording, submitting, waiting and reading the loss, `end to end` is a call on host data with its
uploads and results, and `first call` compiles, binds and runs. `GB/s` counts the bytes that have to
move: logits and labels once, and for fwd+bwd the logits again and the gradient. `roof` is what plain
16-byte reads (fwd), or reads and a copy (fwd+bwd), of tensors of this size reach on the same device;
`vs CPU` compares the resident time with the f64 reference on all cores.

Exit status: 0 success; 1 no device, a wrong answer, or a shape that does not fit; 2 wrong usage.";

pub const TUNE: &str = "\
How work is laid out on a device follows from numbers: lanes of a workgroup, groups of a dispatch, words
that a lane keeps, and so on. A table has them for each kind of device. This looks for better ones on
the device at hand: one number after the other, each value against the best so far. A value wins where
it is 3 % faster, twice in a row, over shapes of cross-entropy with and without gradient; wrong answers
are dropped. Leave the machine alone meanwhile.

The winners are kept for this adapter, driver and version of wgpu-loss in the user's cache folder (in
the folder that WGPU_LOSS_CACHE names, if it is set), and every later run on the device uses them.

Exit status: 0 success, 1 no device or no folder to write to, 2 wrong usage.";

pub const DIAGNOSE: &str = "\
Prints versions, the environment variables that choose drivers, and every adapter with its features and
limits; then runs a small call for every kind of kernel on the best adapter, or on that of --adapter,
and compares it with the f64 reference. It names what it is about to run first, so that the last line
tells where a driver stopped.

Exit status: 0 all right; 1 no device, or a wrong answer; 2 wrong usage.";

/// Arguments of `adapters`.
#[derive(Debug, Args)]
pub struct AdaptersArgs {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `diagnose`.
#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// Test the first GPU whose name, driver or backend contains this [default: the best].
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
    /// Start no further test after this time.
    #[arg(long, value_name = "SECONDS", default_value = "18", value_parser = values::count)]
    pub seconds: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Shape of the logits, with the classes on axis 1; may be given several times [default:
    /// 4096x1000, 2048x32000, 512x151936, 1048576x10, 4x21x512x512].
    #[arg(long, value_name = "NxC[xH...]", value_parser = values::shape)]
    pub shape: Vec<Shape>,
    /// Type of the logits: f32, f16 or bf16.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = values::dtype)]
    pub dtype: ElementType,
    /// Measure this pass alone [default: both].
    #[arg(long, value_name = "WHAT")]
    pub pass: Option<Pass>,
    /// Measure the first GPU whose name, driver or backend contains this [default: the best].
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
    /// Number of times that each time is measured; on the host for half a second at most, but at
    /// least once.
    #[arg(long, value_name = "N", default_value = "9", value_parser = values::count)]
    pub samples: usize,
    /// Measure numbers of classes from 4 to 151,936 and draw the bandwidths: an .svg or .png file.
    #[arg(long, value_name = "FILE", conflicts_with = "shape")]
    pub plot: Option<PathBuf>,
    /// Approximate number of elements of each shape in the picture.
    #[arg(long, value_name = "N", default_value = "33554432", value_parser = values::count)]
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
    #[arg(long, value_name = "NAME", value_parser = values::field())]
    pub only: Vec<Field>,
    /// Approximate number of elements of each shape [default: 64 Mi on a discrete GPU, 16 Mi on an integrated one, 2 Mi
    /// in software].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub elements: Option<usize>,
    /// Number of times that each time is measured.
    #[arg(long, value_name = "N", default_value = "7", value_parser = values::count)]
    pub samples: usize,
    /// Start no new measurement after this time.
    #[arg(long, value_name = "MINUTES", default_value = "10", value_parser = values::count)]
    pub minutes: usize,
    /// Measure, but store nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Measure nothing, and delete the stored numbers of this adapter.
    #[arg(long, conflicts_with_all = ["dry_run", "only", "elements", "samples", "minutes"])]
    pub reset: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
