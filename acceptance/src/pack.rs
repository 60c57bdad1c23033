//! The packed files, and the start of their programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::args::Args;

/// The unpacked programs and data.
pub struct Pack {
    pub root: PathBuf,
    /// `pack.json`: version, commit, compiler.
    pub about: Value,
}

impl Pack {
    /// Reads the pack's description.
    pub fn open(root: &Path) -> Result<Self, String> {
        let file = root.join("pack.json");
        let wrong = |error: String| format!("{}: {error}", file.display());
        let text = fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
        let about = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let root = root.canonicalize().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { root, about })
    }

    /// Returns the commit that it was built from.
    pub fn commit(&self) -> &str {
        self.about["commit"].as_str().unwrap_or("unknown")
    }

    /// Starts a program of `bin`. Tunings stored on this machine are not used: `cache` is.
    pub fn program(&self, name: &str, args: &Args, cache: &Path) -> Command {
        let mut command = Command::new(self.root.join("bin").join(name));
        command.env("WGPU_LOSS_CACHE", cache);
        if let Some(adapter) = &args.adapter {
            command.env("WGPU_LOSS_ADAPTER", adapter);
        }
        command
    }
}
