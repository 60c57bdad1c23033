//! Long runs: mixed work in an endless pseudo-random order, each result against the reference, until the time is up.
//! `scripts/soak` builds and runs it.
//!
//! ```text
//! args     the command line          -> run      one step after the other, a sample now and then
//! sample   what the process holds       watch    a step that takes too long ends the run
//! kinds/   a file per kind of work      devices  what stays open between steps
//! verdict  what has grown too much      picture  samples as an SVG
//! ```

pub mod args;
mod call;
mod devices;
mod kinds;
mod picture;
pub mod run;
mod sample;
mod verdict;
mod watch;
