//! A step that takes too long ends the run, and says which it is.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Watches steps from a thread of its own.
pub struct Watch {
    begun: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
    /// The file that names the step under way, for a process that is killed.
    file: std::path::PathBuf,
}

impl Watch {
    /// Watches steps that may take `limit` each.
    pub fn new(limit: Duration, out: &Path) -> Self {
        let (begun, steps) = channel::<String>();
        let thread = thread::spawn(move || {
            let Ok(mut step) = steps.recv() else { return };
            loop {
                match steps.recv_timeout(limit) {
                    Ok(next) => step = next,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        eprintln!("soak: {step}: it hangs: not done after {limit:?}");
                        // The step cannot be ended: its thread waits for a driver.
                        std::process::exit(1);
                    }
                }
            }
        });
        Self { begun: Some(begun), thread: Some(thread), file: out.join("step") }
    }

    /// Notes that a step begins, which ends the one before.
    pub fn begins(&self, step: &str) -> Result<(), String> {
        let written = std::fs::write(&self.file, format!("{step}\n"));
        written.map_err(|error| format!("{}: {error}", self.file.display()))?;
        let begun = self.begun.as_ref().expect("a sender until the drop");
        begun.send(step.into()).map_err(|_| "the thread that watches has ended".into())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.begun.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
