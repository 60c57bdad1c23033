//! The program `wgpu-loss`. All of it is in the library beside it, where tests and fuzzing reach the parts.

use std::process::ExitCode;

fn main() -> ExitCode {
    wgpu_loss_cli::main()
}
