//! Wall-clock time.

use std::time::Duration;

/// The times of opening a device, for the benchmark of cold starts.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    /// The time to load the drivers and make an instance.
    pub instance: Duration,
    /// The time to search the adapters and open a device.
    pub device: Duration,
}

/// Measures wall-clock time, if there is a clock.
#[derive(Debug)]
pub(super) struct Stopwatch(Option<std::time::Instant>);

impl Stopwatch {
    pub fn start() -> Self {
        // The standard library has no clock in a browser and panics on use.
        Self((!cfg!(target_arch = "wasm32")).then(std::time::Instant::now))
    }

    /// Returns true if there is a clock.
    pub fn runs(&self) -> bool {
        self.0.is_some()
    }

    pub fn elapsed(&self) -> Duration {
        self.0.map(|start| start.elapsed()).unwrap_or_default()
    }
}
