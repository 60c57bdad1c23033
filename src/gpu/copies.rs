//! Copies between the host's memory and mapped buffers.

/// Bytes that are worth a thread.
const CHUNK: usize = 1 << 19;

/// Fills mapped memory, as long as what it is filled with, by all cores: one alone does not use all of a memory's
/// bandwidth. Where a software driver computes on the same cores, both take as much of them as there is; it was faster
/// all the same.
pub fn fill(mut to: wgpu::WriteOnly<'_, [u8]>, from: &[u8]) {
    if from.len() < 2 * CHUNK {
        return to.copy_from_slice(from);
    }
    let middle = from.len() / 2 / CHUNK * CHUNK;
    let (front, back) = to.split_at(middle);
    let (front, back) = (Part(front), Part(back));
    rayon::join(|| front.fill(&from[..middle]), || back.fill(&from[middle..]));
}

/// A part of mapped memory that another thread may write.
struct Part<'a>(wgpu::WriteOnly<'a, [u8]>);

// SAFETY: it is the only one to write these bytes, and a byte may be written by any thread. wgpu says so of
// every sized type that is `Send`, and leaves out slices.
unsafe impl Send for Part<'_> {}

impl Part<'_> {
    fn fill(self, from: &[u8]) {
        fill(self.0, from);
    }
}
