//! What each of several GPUs has done, and how fast.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Error;

/// The work that one GPU of a [`MultiGpu`](crate::gpu::MultiGpu) has done in all of its calls so far.
///
/// ```
/// use wgpu_loss::{Error, MultiGpu};
///
/// /// Names the GPUs that were lost, and what each has left undone for the others.
/// fn lost(gpus: &MultiGpu) {
///     for (gpu, share) in gpus.gpus().zip(gpus.shares()) {
///         if let Some(Error::Lost { .. }) = share.failure {
///             println!("{} was lost after {} pieces, {} rows", gpu.info().name, share.pieces, share.rows);
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Share {
    /// Pieces that it has computed. A row that is larger than the memory budget counts as one.
    pub pieces: u64,
    /// The rows in these.
    pub rows: u64,
    /// Bytes of tensors that were moved to it and back.
    pub bytes: u64,
    /// Its last failure, whose pieces other GPUs have computed, if there were any. After [`Error::Lost`] it takes part in
    /// no call; after any other, it takes part in the next one.
    pub failure: Option<Error>,
}

impl Share {
    /// Returns true unless the device is lost.
    fn is_usable(&self) -> bool {
        !matches!(self.failure, Some(Error::Lost { .. }))
    }
}

/// The share of a GPU, and its speed, which later calls go by.
#[derive(Debug, Default)]
pub(in crate::gpu) struct Ledger(Mutex<Entries>);

#[derive(Clone, Debug, Default)]
struct Entries {
    share: Share,
    /// The bytes of pieces that it finishes in a second, if it has finished any.
    speed: Option<f64>,
}

impl Ledger {
    /// Adds rows that were computed at once.
    pub fn add(&self, rows: u64, bytes: u64) {
        let share = &mut self.entries().share;
        share.pieces += 1;
        share.rows += rows;
        share.bytes += bytes;
    }

    /// Takes note of the time that a piece took.
    pub fn measure(&self, bytes: u64, time: Duration) {
        let entries = &mut *self.entries();
        // Without a clock, no time passes.
        if !time.is_zero() {
            let speed = bytes as f64 / time.as_secs_f64();
            // Half of it is the last piece's: the speed of a shared GPU changes.
            entries.speed = Some(entries.speed.map_or(speed, |before| (before + speed) / 2.0));
        }
    }

    /// Takes note of a failure. A lost device stays lost, whatever another thread's call finds after that.
    pub fn fail(&self, error: &Error) {
        let share = &mut self.entries().share;
        if share.is_usable() {
            share.failure = Some(error.clone());
        }
    }

    /// Returns the bytes per second, if they are known.
    pub fn speed(&self) -> Option<f64> {
        self.entries().speed
    }

    pub fn share(&self) -> Share {
        self.entries().share.clone()
    }

    /// Returns true unless the device is lost.
    pub fn is_usable(&self) -> bool {
        self.entries().share.is_usable()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nothing panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pieces_make_the_speed() {
        let ledger = Ledger::default();
        let piece = |milliseconds| {
            ledger.measure(1000, Duration::from_millis(milliseconds));
            ledger.speed()
        };
        assert_eq!(ledger.speed(), None);
        assert_eq!(piece(0), None);
        assert_eq!(piece(10), Some(1e5));
        assert_eq!(piece(5), Some(1.5e5));
        for _ in 0..50 {
            piece(1000);
        }
        assert!((ledger.speed().unwrap() - 1000.0).abs() < 1.0);
    }

    #[test]
    fn only_lost_devices_are_done_with() {
        let ledger = Ledger::default();
        ledger.fail(&Error::OutOfMemory { what: "a piece", bytes: 5 });
        assert!(ledger.is_usable());
        let lost = Error::Lost { during: "computing" };
        ledger.fail(&lost);
        assert!(!ledger.is_usable());
        // Another call, which began before, fails later by what the loss has caused.
        ledger.fail(&Error::Device { during: "reading", reason: "a mapping failed".into() });
        assert_eq!((ledger.is_usable(), ledger.share().failure), (false, Some(lost)));
    }
}
