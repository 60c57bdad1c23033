//! Ctrl-C: files that are half written go away with the program.
//!
//! Results are written to temporary files beside their places. All of them are registered here; on
//! SIGINT and SIGTERM they are removed and the program ends with 130 or 143, as a shell has it. A
//! program that is killed outright leaves its temporary files (`.wgpu-loss-*.tmp`), but nothing under
//! a final name. Elsewhere than on Unix an interrupted run leaves the same.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

static STATE: Mutex<State> = Mutex::new(State { temporaries: Vec::new(), saved: false });

#[derive(Debug)]
struct State {
    temporaries: Vec<PathBuf>,
    /// The results have their names.
    saved: bool,
}

/// What is being written. Whoever holds it is not interrupted.
pub struct Temporaries(MutexGuard<'static, State>);

impl Temporaries {
    /// Waits for whoever holds them.
    pub fn lock() -> Self {
        // A thread that panicked left the list as whole as any.
        Self(STATE.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says that the results have their names.
    pub fn saved(&mut self) {
        self.0.saved = true;
    }

    /// Makes a temporary file and remembers it, also when it is gone or has its final name: what is not
    /// there cannot be removed.
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
        // Where there is no such thread, signals do what they do by themselves.
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else {
            return;
        };
        let wait = move || {
            if let Some(signal) = signals.forever().next() {
                let Temporaries(state) = Temporaries::lock();
                state.temporaries.iter().for_each(|path| drop(fs::remove_file(path)));
                crate::error::say(match state.saved {
                    true => "interrupted; the results were saved before",
                    false => "interrupted; nothing was saved",
                });
                // Not `exit`: a driver's own clean-up may wait for work that is under way.
                signal_hook::low_level::exit(128 + signal);
            }
        };
        let _ = std::thread::Builder::new().name("signals".into()).spawn(wait);
    }
}
