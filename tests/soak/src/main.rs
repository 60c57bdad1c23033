//! See `soak`.

use std::process::ExitCode;

use clap::Parser;
use soak::args::Args;

fn main() -> ExitCode {
    match soak::run::run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}
