//! Wall-clock time.

use std::time::Duration;

/// How long it took to open a device, for the bench of cold starts.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    /// The drivers loaded, an instance made.
    pub instance: Duration,
    /// The adapters looked at, and a device opened.
    pub device: Duration,
}

/// Measures wall-clock time, where there is a clock.
pub(super) struct Stopwatch(Option<std::time::Instant>);

impl Stopwatch {
    pub fn start() -> Self {
        // The standard library has no clock in a browser and panics when asked.
        Self((!cfg!(target_arch = "wasm32")).then(std::time::Instant::now))
    }

    /// Whether there is a clock.
    pub fn runs(&self) -> bool {
        self.0.is_some()
    }

    pub fn elapsed(&self) -> Duration {
        self.0.map(|start| start.elapsed()).unwrap_or_default()
    }
}
