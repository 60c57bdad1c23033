//! The command line's arguments.
//!
//! ```text
//! loss      the losses over classes               run      arguments of everything that computes
//! points    the losses of single elements
//! inspect   pictures of a loss                    measure  adapters, bench and tune
//! values    parsers of single values              shards   lists of files, and merge
//! ```

mod inspect;
mod loss;
mod measure;
mod points;
mod run;
mod shards;
pub mod values;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::inspect::InspectArgs;
pub use self::loss::{
    ClassArgs, CrossEntropyArgs, EntropyArgs, LabelArgs, LossArgs, NllArgs, SoftmaxArgs,
};
pub use self::measure::{AdaptersArgs, BenchArgs, DiagnoseArgs, TuneArgs};
use self::measure::{BENCH, DIAGNOSE, TUNE};
pub use self::points::{
    BceArgs, BceWithLogitsArgs, GaussianNllArgs, KlDivArgs, PointArgs, PoissonNllArgs,
};
use self::run::FILES;
pub use self::run::{DeviceArg, OutType, RunArgs};
pub use self::shards::{MergeArgs, ShardArgs};
pub use self::values::{Share, Tensor};
use crate::error::Failure;
use crate::generate::Generated;
use crate::style::HELP;

/// Losses of arrays in files, and their gradients, on any GPU that wgpu reaches.
#[derive(Debug, Parser)]
#[command(name = "wgpu-loss", version, styles = HELP, after_help = FILES, arg_required_else_help = false)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Print completions for a shell, or the manual page (also per subcommand, with `--into`).
    #[arg(long, value_name = "WHAT")]
    generate: Option<Generated>,
    /// Write what is generated into this folder, under the names by which it is found.
    #[arg(long, value_name = "FOLDER", requires = "generate")]
    into: Option<PathBuf>,
    /// Colours of what is printed.
    #[command(flatten)]
    color: colorchoice_clap::Color,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Request {
    /// A subcommand.
    Subcommand(Box<Command>),
    /// Something generated from the command line's definition, on stdout or into a folder.
    Generate(Generated, Option<PathBuf>),
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
    /// Binary cross-entropy of probabilities.
    #[command(after_help = FILES)]
    Bce(BceArgs),
    /// Binary cross-entropy of logits.
    #[command(after_help = FILES)]
    BceWithLogits(BceWithLogitsArgs),
    /// Kullback-Leibler divergence of log-probabilities from a target.
    #[command(after_help = FILES)]
    KlDiv(KlDivArgs),
    /// Negative log-likelihood under normal distributions.
    #[command(after_help = FILES)]
    GaussianNll(GaussianNllArgs),
    /// Negative log-likelihood under Poisson distributions.
    #[command(after_help = FILES)]
    PoissonNll(PoissonNllArgs),
    /// Entropy of the distribution that logits define.
    #[command(after_help = FILES)]
    Entropy(EntropyArgs),
    /// Logarithm of the softmax along an axis.
    #[command(after_help = FILES)]
    LogSoftmax(SoftmaxArgs),
    /// Softmax along an axis.
    #[command(after_help = FILES)]
    Softmax(SoftmaxArgs),
    /// Merge the partials of shards, and report their loss.
    Merge(MergeArgs),
    /// List the GPU adapters, best first.
    Adapters(AdaptersArgs),
    /// Measure how fast cross-entropy runs, next to the bandwidth of the device's memory.
    #[command(after_help = BENCH)]
    Bench(BenchArgs),
    /// Find the numbers by which work is laid out best on a device, and store them.
    #[command(after_help = TUNE)]
    Tune(TuneArgs),
    /// Describe the GPUs and test one with every kind of kernel, as text for a report of a fault.
    #[command(after_help = DIAGNOSE)]
    Diagnose(DiagnoseArgs),
}

impl Command {
    fn run_args(&self) -> Option<&RunArgs> {
        match self {
            Command::CrossEntropy(args) => Some(&args.run),
            Command::Nll(args) => Some(&args.run),
            Command::Entropy(args) => Some(&args.run),
            Command::Bce(args) => Some(&args.shared.run),
            Command::BceWithLogits(args) => Some(&args.shared.run),
            Command::KlDiv(args) => Some(&args.shared.run),
            Command::GaussianNll(args) => Some(&args.shared.run),
            Command::PoissonNll(args) => Some(&args.shared.run),
            Command::LogSoftmax(args) | Command::Softmax(args) => Some(&args.run),
            Command::Merge(_)
            | Command::Adapters(_)
            | Command::Bench(_)
            | Command::Tune(_)
            | Command::Diagnose(_) => None,
        }
    }
}

/// Reads the words of a command line. Returns `None` if help or the version was requested and is shown.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Option<Request>, Failure> {
    let words = joined(words);
    let parsed = Cli::command().try_get_matches_from(words).and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            // A closed pipe is no error: its reader needs no more of the help.
            let _ = error.print().and_then(|()| std::io::stdout().flush());
            return Ok(None);
        }
        Err(error) => return Err(Failure::Usage(one_line(&error.to_string()))),
    };
    cli.color.write_global();
    let command = match (cli.command, cli.generate) {
        (Some(command), None) => command,
        (None, Some(what)) => return Ok(Some(Request::Generate(what, cli.into))),
        (Some(_), Some(_)) => {
            return Err(Failure::Usage("--generate stands alone, without a subcommand".into()));
        }
        (None, None) => {
            let names = Cli::command();
            let names: Vec<_> = names.get_subcommands().map(clap::Command::get_name).collect();
            let what = format!("no subcommand; there are {}; see --help", names.join(", "));
            return Err(Failure::Usage(what));
        }
    };
    let chooses = |run: &RunArgs| !run.adapter.is_empty() || run.adapter_turn.is_some();
    let at_odds = |run: &RunArgs| run.device == DeviceArg::Cpu && chooses(run);
    if command.run_args().is_some_and(at_odds) {
        return Err(Failure::Usage("--adapter chooses a GPU, but --device is cpu".into()));
    }
    Ok(Some(Request::Subcommand(Box::new(command))))
}

/// Returns the words of a command line, with `--option -1e-30` as `--option=-1e-30`: clap would take the second word
/// for an option of that name. No option has a name like a number.
fn joined(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let is_option = |word: &OsString| {
        let text = word.to_str().and_then(|text| text.strip_prefix("--"));
        text.is_some_and(|name| !name.is_empty() && !name.contains('='))
    };
    let is_negative = |word: &OsString| {
        word.to_str().is_some_and(|text| text.starts_with('-') && text.parse::<f64>().is_ok())
    };
    let mut words = words.peekable();
    let mut all = Vec::new();
    while let Some(mut word) = words.next() {
        if let Some(number) = words.next_if(|next| is_option(&word) && is_negative(next)) {
            word.push("=");
            word.push(number);
        }
        all.push(word);
    }
    all
}

/// Returns clap's message without its `error:` and without the usage below it, but with tips.
fn one_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let said = message.split("\n\n").filter(|paragraph| {
        !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more information")
    });
    let said: Vec<String> =
        said.map(|p| p.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    format!("{}; see --help", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn negative_numbers_are_values() {
        let line = "wgpu-loss gaussian-nll -1 --var -1e-30 --eps=-5 --full";
        let words = joined(line.split(' ').map(OsString::from));
        let wanted = "wgpu-loss gaussian-nll -1 --var=-1e-30 --eps=-5 --full";
        assert_eq!(words, wanted.split(' ').collect::<Vec<_>>());
        // Every option that takes a value accepts a negative number as its value.
        for command in Cli::command().get_subcommands() {
            let options = command.get_arguments().filter(|arg| arg.get_action().takes_values());
            for option in options.filter_map(|arg| arg.get_long()) {
                for number in ["-1", "-1e-30", "-.5E+3", "-inf", "-NaN", "-0"] {
                    let words = ["wgpu-loss", command.get_name(), &format!("--{option}"), number];
                    let words = joined(words.iter().map(OsString::from));
                    // The value may be refused, and other words may be missing; the option's syntax
                    // is tested alone.
                    let kind = Cli::try_parse_from(words).map_or_else(|e| Some(e.kind()), |_| None);
                    assert_ne!(kind, Some(ErrorKind::UnknownArgument), "--{option} {number}");
                }
            }
        }
    }

    #[test]
    fn clap_errors_fit_one_line() {
        for words in [
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
