//! `--generate`: completions for shells and pages for `man`, from the definition of the command line.

use std::path::Path;

use clap::{Command, ValueEnum};
use clap_complete::Shell;

use crate::error::Failure;
use crate::report;

/// The program's name, as shells and pages know it.
const NAME: &str = "wgpu-loss";

/// What `--generate` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// Completions for bash.
    Bash,
    /// Completions for zsh.
    Zsh,
    /// Completions for fish.
    Fish,
    /// Completions for PowerShell.
    Powershell,
    /// Completions for Elvish.
    Elvish,
    /// The page for `man`; with `--into`, those of the subcommands too.
    Man,
}

impl Generated {
    fn shell(self) -> Option<Shell> {
        match self {
            Generated::Bash => Some(Shell::Bash),
            Generated::Zsh => Some(Shell::Zsh),
            Generated::Fish => Some(Shell::Fish),
            Generated::Powershell => Some(Shell::PowerShell),
            Generated::Elvish => Some(Shell::Elvish),
            Generated::Man => None,
        }
    }
}

/// Generates files into a folder, under the names by which they are found, or one text on stdout.
pub fn run(what: Generated, mut command: Command, into: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = into else {
        let mut text = Vec::new();
        let written = match what.shell() {
            Some(shell) => {
                clap_complete::generate(shell, &mut command, NAME, &mut text);
                Ok(())
            }
            None => clap_mangen::Man::new(command).render(&mut text),
        };
        written.map_err(|error| Failure::Failed(error.to_string()))?;
        return report::print_bytes(&text);
    };
    let written = std::fs::create_dir_all(folder).and_then(|()| match what.shell() {
        Some(shell) => clap_complete::generate_to(shell, &mut command, NAME, folder).map(drop),
        None => clap_mangen::generate_to(command, folder),
    });
    written.map_err(|error| Failure::of(folder.display(), error))
}
