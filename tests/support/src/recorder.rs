//! A sink that stores its input unchanged.

use wgpu_loss::stream::Progress;
use wgpu_loss::{Error, LargeOutput, Sink};

/// Stores all writes, and every report.
#[derive(Default)]
pub struct Recorder {
    pub parts: Vec<(LargeOutput, u64, Vec<u8>)>,
    pub reports: Vec<Progress>,
}

impl Sink for Recorder {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.parts.push((what, offset, bytes.to_vec()));
        Ok(())
    }

    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        self.reports.push(*done);
        Ok(())
    }
}

impl Recorder {
    /// The words of an output, each of which must have come once.
    #[track_caller]
    pub fn words(&self, what: LargeOutput) -> Vec<u32> {
        let mut parts: Vec<_> = self.parts.iter().filter(|part| part.0 == what).collect();
        parts.sort_by_key(|part| part.1);
        let mut bytes: Vec<u8> = Vec::new();
        for (_, offset, part) in parts {
            assert_eq!(*offset, bytes.len() as u64, "{what:?}");
            bytes.extend(part);
        }
        bytemuck::pod_collect_to_vec(&bytes)
    }

    /// Returns the numbers of an output of f32, in the same way.
    #[track_caller]
    pub fn floats(&self, what: LargeOutput) -> Vec<f32> {
        self.words(what).into_iter().map(f32::from_bits).collect()
    }
}
