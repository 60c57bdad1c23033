//! The data that all parts of a run share: the arguments, the folder of results, and the time that is left.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::args::Args;
use crate::pack::Pack;

/// The time limit of a test module, and of a bench of the code around the kernels.
pub const MODULE: Duration = Duration::from_secs(10 * 60);
/// Time that a program may run after the time is up, if it has begun.
const GRACE: Duration = Duration::from_secs(30);

/// The data that all parts need.
pub struct Context<'a> {
    pub pack: &'a Pack,
    pub args: &'a Args,
    pub machine: &'a Value,
    pub out: PathBuf,
    pub begin: Instant,
}

impl Context<'_> {
    /// Returns true if the measured adapter is a GPU.
    pub fn gpu(&self) -> bool {
        self.machine["gpu"] == true
    }

    /// Returns the time that is left.
    pub fn left(&self) -> Duration {
        Duration::from_secs_f64(60.0 * self.args.minutes).saturating_sub(self.begin.elapsed())
    }

    /// Returns the reason why nothing more is started, once the time is up.
    pub fn time_is_up(&self) -> Option<String> {
        self.left().is_zero().then(|| format!("not run: the {} minutes were up", self.args.minutes))
    }

    /// Returns the time limit of a program: `most`, or half a minute more than is left.
    pub fn limit(&self, most: Duration) -> Duration {
        most.min(self.left() + GRACE)
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.out.join("work").join(name)
    }

    pub fn logs(&self) -> PathBuf {
        self.out.join("logs")
    }

    pub fn tell(&self, what: &str) {
        eprintln!("  {:>5.0} s  {what}", self.begin.elapsed().as_secs_f64());
    }
}
