//! The program `wgpu-loss`. All its code is in the library of this package, so that tests and fuzzing reach the parts.

use std::process::ExitCode;

fn main() -> ExitCode {
    wgpu_loss_cli::main()
}
