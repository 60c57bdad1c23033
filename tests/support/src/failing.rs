//! A sink that fails.

use wgpu_loss::stream::Progress;
use wgpu_loss::{Error, LargeOutput, Sink};

/// Fails after so many writes, or after so many reports.
pub struct Failing {
    pub writes: usize,
    pub reports: usize,
}

impl Sink for Failing {
    fn write(&mut self, what: LargeOutput, _: u64, _: &[u8]) -> Result<(), Error> {
        let full = || Error::Sink { what: what.name(), reason: "the disk is full".into() };
        self.writes = self.writes.checked_sub(1).ok_or_else(full)?;
        Ok(())
    }

    fn progress(&mut self, _: &Progress) -> Result<(), Error> {
        self.reports = self.reports.checked_sub(1).ok_or(Error::Stopped)?;
        Ok(())
    }
}
