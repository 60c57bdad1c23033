//! The command line.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};

const AFTER: &str = "\
Exit status: 0 if every step kept its promises and nothing grew, 1 if a step failed or took too long, or if
something grew, 2 for wrong usage. A step that failed is repeated with --seed S --from STEP --steps 1, and with the same
--only.";

/// Runs mixed work on the best GPU until the time is up, and records what the process holds meanwhile.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak", version, after_help = AFTER)]
pub struct Args {
    /// Minutes to run.
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = positive)]
    pub minutes: f64,
    /// Hours to run, instead of minutes.
    #[arg(long, value_name = "N", conflicts_with = "minutes", value_parser = positive)]
    pub hours: Option<f64>,
    /// Where the pseudo-random order begins [default: by the clock; printed at the start].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The first step. What a step does, and on which devices, depends on the seed and its number alone.
    #[arg(long, value_name = "STEP", default_value_t = 0)]
    pub from: u64,
    /// Stop after so many steps, if the time is not up before.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub steps: u64,
    /// Run these kinds of work alone.
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    pub only: Vec<String>,
    /// The folder of results: samples.csv, soak.svg, and `step`, the number and kind of the step under way.
    #[arg(long, value_name = "DIR", default_value = "target/soak")]
    pub out: PathBuf,
    /// Seconds from one sample to the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = positive)]
    pub every: f64,
    /// Seconds that a step may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 180.0, value_parser = positive)]
    pub limit: f64,
    /// Leak on purpose with every step, to see that the verdict notices it.
    #[arg(long, value_name = "WHAT")]
    pub leak: Option<Leak>,
}

/// What is leaked on purpose with every step.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Leak {
    /// A MiB of memory.
    Memory,
    /// An open file.
    Descriptors,
    /// A thread that sleeps for ever.
    Threads,
}

impl Args {
    /// Returns the time to run.
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.hours.map_or(60.0 * self.minutes, |hours| 3600.0 * hours))
    }

    /// Returns the seed, which is another one for each second if none is given.
    pub fn seed(&self) -> u64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.seed.unwrap_or_else(now)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && number < 1e6 => Ok(number),
        _ => Err("a number above 0 and below a million is wanted".into()),
    }
}
