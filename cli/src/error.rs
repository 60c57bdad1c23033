//! The program's failures: one line on stderr and an exit status.

use std::io::Write;

use anstyle::Style;

use crate::style::{BAD, LABEL, styled};
use crate::visible::visible;

/// The reason why the program stops.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// The data, a file, the device or a check failed.
    Failed(String),
}

impl Failure {
    /// Makes a failure of the file or tensor that the user called `name`.
    pub fn of(name: impl std::fmt::Display, what: impl std::fmt::Display) -> Self {
        Failure::Failed(format!("{name}: {what}"))
    }

    /// Returns the line to print.
    pub fn message(&self) -> String {
        match self {
            Failure::Usage(message) | Failure::Failed(message) => message.clone(),
        }
    }

    /// Returns the exit status.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Failed(_) => 1,
        }
    }
}

/// Prints one line on stderr. Drivers' messages and file names may hold newlines, and other characters that a terminal
/// interprets; they are written as escapes, so that the line stays one.
pub fn say(message: &str) {
    say_in(LABEL, message);
}

/// Prints the line of an error.
pub fn say_failure(failure: &Failure) {
    say_in(BAD, &failure.message());
}

fn say_in(style: Style, message: &str) {
    let lines: Vec<&str> = message.split(['\n', '\r']).map(str::trim).collect();
    let line = lines.into_iter().filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ");
    // If stderr is closed, there is no place for the message.
    let _ = writeln!(anstream::stderr(), "{} {}", styled(style, "wgpu-loss:"), visible(&line));
}
