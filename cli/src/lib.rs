//! The program `wgpu-loss`: losses of arrays in files, on the GPU or on the CPU reference.
//!
//! ```text
//! args/        the command line's arguments           -> run/      one loss over named files
//! files/       arrays in, arrays out                  -> inputs    the files of a loss
//! formula      the losses, with their options         -> data/     any range of a loss's tensors
//! destinations files of results that are saved        -> inspect/  losses of rows, shown to a person
//! question     a loss, its outputs and its data       -> compute   on the GPU or the CPU reference
//! sinks        receivers of results as they come      -> check/    comparison with the f64 reference
//! progress     a bar, if the work takes a while       -> report/   lines for a person, JSON for a script
//! interrupt    Ctrl-C leaves no half-written files       picture   font, colours and formats of pictures
//! bench/       measures speed                            tune      finds a device's best numbers
//! visible      text that a terminal does not interpret       shards/   one loss over many files
//! style        colours for people                 diagnose/ a report on the GPU, and a test of it
//! stored       floats in memory                   generate  completions and manual pages
//! ```
//!
//! Results go to stdout, all other output to stderr. Exit status: 0 for success, 1 for data, devices and checks that
//! failed, 2 for wrong usage, 130 and 143 for Ctrl-C and SIGTERM. An error is one line that names the faulty file,
//! tensor or option.

// Arrays are read and written as the bytes of little-endian files, without a swap.
#[cfg(target_endian = "big")]
compile_error!("wgpu-loss reads and writes little-endian files in place");

mod adapter;
mod adapters;
mod args;
#[doc(hidden)]
pub mod bench;
mod check;
mod compute;
mod computed;
mod data;
mod destinations;
mod diagnose;
mod error;
#[doc(hidden)]
pub mod files;
mod formula;
mod generate;
mod inputs;
mod inspect;
mod interrupt;
mod names;
#[doc(hidden)]
pub mod picture;
mod position;
mod progress;
mod question;
mod report;
mod run;
mod shards;
mod sinks;
mod stored;
mod style;
mod tune;
mod visible;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, Command, Request};
use crate::error::Failure;

/// Runs the program: reads the command line and returns the exit status.
pub fn main() -> ExitCode {
    quiet_device_selection();
    ExitCode::from(run_as(std::env::args_os()))
}

/// Runs the program with the words of a command line, its name first, and returns the exit status. A process does this
/// once, and not much else: Ctrl-C ends it.
pub fn run_as(words: impl IntoIterator<Item = OsString>) -> u8 {
    interrupt::watch();
    let done = match args::parse(words.into_iter()) {
        Ok(Some(Request::Subcommand(command))) => run(*command),
        Ok(Some(Request::Generate(what, into))) => {
            generate::run(what, Cli::command(), into.as_deref())
        }
        // Help or the version was requested and is shown.
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    match done {
        Ok(()) => 0,
        Err(failure) => {
            error::say_failure(&failure);
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::CrossEntropy(args) => compute(&args.into()),
        Command::Nll(args) => compute(&args.into()),
        Command::Entropy(args) => compute(&args.into()),
        Command::Bce(args) => compute(&args.into()),
        Command::BceWithLogits(args) => compute(&args.into()),
        Command::KlDiv(args) => compute(&args.into()),
        Command::GaussianNll(args) => compute(&args.into()),
        Command::PoissonNll(args) => compute(&args.into()),
        Command::LogSoftmax(args) => compute(&run::Job::softmax("log-softmax", args)),
        Command::Softmax(args) => compute(&run::Job::softmax("softmax", args)),
        Command::Merge(args) => shards::merge(&args),
        Command::Adapters(args) => adapters::list(args.json),
        Command::Bench(args) => bench::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Diagnose(args) => diagnose::run(&args),
    }
}

fn compute(job: &run::Job) -> Result<(), Failure> {
    if shards::are_meant_by(job) { shards::run(job) } else { run::run(job) }
}

/// Stops Mesa's device selection layer from printing errors on stderr if there is no desktop.
///
/// The layer asks a Wayland compositor which GPU to put first. In a container or over ssh there is
/// none, and libwayland prints two errors in every run, where we promise one line per error. The
/// layer is left alone if the user has a desktop session or has set a selection.
fn quiet_device_selection() {
    let set = |name| std::env::var_os(name).is_some();
    if cfg!(target_os = "linux") && !set("XDG_RUNTIME_DIR") && !set("MESA_VK_DEVICE_SELECT") {
        // SAFETY: nothing else reads or writes the environment yet: this is the first call of `main`,
        // and no thread has been started.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
