//! How the program fails: one line on stderr and an exit status.

use std::io::Write;

use crate::visible::visible;

/// Why the program stops.
#[derive(Debug)]
pub enum Failure {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// The data, a file, the device or a check failed.
    Failed(String),
}

impl Failure {
    /// A failure of the file or tensor that the user called `name`.
    pub fn of(name: impl std::fmt::Display, what: impl std::fmt::Display) -> Self {
        Failure::Failed(format!("{name}: {what}"))
    }

    /// The line to show.
    pub fn message(&self) -> String {
        match self {
            Failure::Usage(message) | Failure::Failed(message) => message.clone(),
        }
    }

    /// The exit status.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Failed(_) => 1,
        }
    }
}

/// Says one line on stderr. Drivers and file names may hold newlines; the line stays one. What else a
/// terminal would obey is written out.
pub fn say(message: &str) {
    let lines: Vec<&str> = message.split(['\n', '\r']).map(str::trim).collect();
    let line = lines.into_iter().filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ");
    // Nobody is left to tell where stderr is closed.
    let _ = writeln!(std::io::stderr(), "wgpu-loss: {}", visible(&line));
}
