//! Ctrl-C: half-written files are removed when the program is interrupted.
//!
//! Results are written to temporary files in their final folders. All of them are registered here; on SIGINT and
//! SIGTERM they are removed and the program ends with 130 or 143, as shells report it. A program that is killed
//! outright leaves its temporary files (`.wgpu-loss-*.tmp`), but nothing under a final name. On systems other than Unix
//! an interrupted run leaves the same.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

static STATE: Mutex<State> = Mutex::new(State { temporaries: Vec::new(), saved: Saved::Nothing });

#[derive(Debug)]
struct State {
    temporaries: Vec<PathBuf>,
    saved: Saved,
}

/// The results that have their names.
#[derive(Clone, Copy, Debug)]
pub enum Saved {
    /// None of them.
    Nothing,
    /// Those of some shards, which a later run finds.
    Parts,
    /// All of them.
    All,
}

/// The list of files that are being written. While a thread holds it, signals wait.
pub struct Temporaries(MutexGuard<'static, State>);

impl Temporaries {
    /// Locks the list, and waits for a thread that holds it.
    pub fn lock() -> Self {
        // A thread that panics while it holds the list leaves it consistent.
        Self(STATE.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records that results have their names.
    pub fn saved(&mut self, saved: Saved) {
        self.0.saved = saved;
    }

    /// Creates a temporary file and records it. It stays recorded when it is gone or has its final name: removing a
    /// file that does not exist does nothing.
    pub fn create(
        &mut self,
        make: impl FnOnce() -> io::Result<NamedTempFile>,
    ) -> io::Result<NamedTempFile> {
        let file = make()?;
        self.0.temporaries.push(file.path().to_path_buf());
        Ok(file)
    }
}

/// Watches for the signals that end a program.
pub fn watch() {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGINT, SIGTERM};
        // Without such a thread, signals have their default effect.
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else {
            return;
        };
        let wait = move || {
            if let Some(signal) = signals.forever().next() {
                let Temporaries(state) = Temporaries::lock();
                state.temporaries.iter().for_each(|path| drop(fs::remove_file(path)));
                crate::error::say(match state.saved {
                    Saved::All => "interrupted; the results had been saved",
                    Saved::Parts => "interrupted; --resume finds the shards that are done",
                    Saved::Nothing => "interrupted; nothing was saved",
                });
                // Not `exit`: a driver's own clean-up may wait for work in progress.
                signal_hook::low_level::exit(128 + signal);
            }
        };
        let _ = std::thread::Builder::new().name("signals".into()).spawn(wait);
    }
}
