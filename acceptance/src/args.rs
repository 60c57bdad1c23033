//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::part::Part;

const AFTER: &str = "\
Parts run in the order of the list above. Each leaves its result in OUT/parts and its output in
OUT/logs; the report takes up what is there, so several runs into one folder make one report.

Exit status: 0 where everything that was asked for ran and passed, 1 where something failed or was not run,
2 for wrong usage.";

/// Runs the tests and benches of wgpu-loss on this machine's GPU, and PyTorch's for comparison, and writes one report.
#[derive(Debug, Parser)]
#[command(name = "gpu-acceptance", version, after_help = AFTER)]
#[command(override_usage = "gpu-acceptance [OPTIONS]")]
pub struct Args {
    /// The folder of results: NAME.md and NAME.json for the GPU's name, parts and logs.
    #[arg(long, value_name = "DIR", default_value = "gpu-acceptance-results")]
    pub out: PathBuf,
    /// Part of the GPU's name, driver or backend [default: the best]. Tests run on the best.
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
    /// Run these parts alone, and leave the others' results as they are.
    #[arg(long, value_name = "PART,...", value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Start nothing after so many minutes: no part, and within a part no further shape or test module.
    #[arg(long, value_name = "N", default_value_t = 240.0, value_parser = minutes)]
    pub minutes: f64,
    /// A Python that has PyTorch, for the parts peers-*.
    #[arg(long, value_name = "PATH", default_value = "python3")]
    pub python: PathBuf,
    /// Approximate number of elements of each shape of the grid [default: 64 Mi on a discrete GPU, 16 Mi on another, 1
    /// Mi in software].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1 << 12..))]
    pub elements: Option<u64>,
    /// Number of times that the grid and the peers are measured.
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub samples: u64,
    /// Run nothing: write the report of the results in OUT.
    #[arg(long, conflicts_with = "only")]
    pub report: bool,
    /// Run nothing: draw the bandwidths in OUT next to the peers': an .svg or .png file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "report"])]
    pub picture: Option<PathBuf>,
    /// Draw the loss alone, without its gradient.
    #[arg(long, requires = "picture")]
    pub forward: bool,
    /// The unpacked pack.
    #[arg(long, value_name = "DIR", hide = true)]
    pub pack: PathBuf,
}

/// Parses a time that a `Duration` holds: a year at most.
fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.0..=525_600.0).contains(&minutes) => Ok(minutes),
        _ => Err("a number of minutes is wanted, up to a year".into()),
    }
}

impl Args {
    /// Returns true if a part is requested.
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}
