//! Uploads of host data into buffers: through staging buffers in turn, so that the host fills one while the device
//! copies out of another.

use super::Gpu;
use super::buffers::{create, refused, unmap, write};
use super::parallel_copy::fill;
use crate::Error;
use crate::error_scope::scoped;
use crate::poll::{Answer, Wait, block_on, map};

/// The name of an upload in errors.
pub(super) const UPLOADING: &str = "uploading";
/// The most staging buffers: one that the host fills, and one or two that the device copies out of.
const STAGING_BUFFERS: usize = 3;
/// Bytes of each: enough that a submission costs little compared with the copy, and few enough for a tensor of some MB
/// to use several.
const PIECE_GPU: usize = 8 << 20;
/// Bytes of each for a software driver: the driver reads the host's copy from the cache.
const PIECE_CPU: usize = 4 << 20;
/// The size in bytes up to which wgpu's own staging memory is as fast.
const SMALL: usize = 1 << 20;

/// Uploads through staging buffers.
pub(super) struct Uploader<'g> {
    gpu: &'g Gpu,
    during: &'static str,
    piece: usize,
    buffers: Vec<StagingBuffer>,
    next: usize,
}

/// A staging buffer.
struct StagingBuffer {
    buffer: wgpu::Buffer,
    /// Its last submission, and its mapping, which was asked for after that. `None` while it is mapped.
    under_way: Option<(wgpu::SubmissionIndex, Answer)>,
}

/// Uploads bytes of any length to an offset in a buffer, and waits until they are there.
pub(super) fn upload(
    gpu: &Gpu,
    during: &'static str,
    buffer: &wgpu::Buffer,
    offset: u64,
    bytes: &[u8],
) -> Result<(), Error> {
    let mut uploader = Uploader::new(gpu, during);
    uploader.upload(buffer, offset, bytes)?;
    uploader.finish()
}

impl<'g> Uploader<'g> {
    /// Returns an uploader without staging buffers; they are made when needed.
    pub fn new(gpu: &'g Gpu, during: &'static str) -> Self {
        let software = gpu.kernels.profile().is_software();
        let piece = if software { PIECE_CPU } else { PIECE_GPU };
        Self { gpu, during, piece, buffers: Vec::new(), next: 0 }
    }

    /// Sends bytes of any length to an offset in a buffer, whose size is at least theirs rounded up to whole words. The
    /// next submission finds them there.
    pub fn upload(
        &mut self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        if bytes.len() <= SMALL {
            return write(self.gpu, self.during, buffer, offset, bytes);
        }
        let mut at = offset;
        for piece in bytes.chunks(self.piece) {
            let staging = self.free_buffer()?;
            self.send(staging, buffer, at, piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Waits until all bytes are there.
    pub fn finish(mut self) -> Result<(), Error> {
        (0..self.buffers.len()).try_for_each(|staging| self.wait(staging))?;
        block_on(self.gpu.submitted([], Wait::Here, self.during))
    }

    /// Returns a staging buffer that is mapped: a new one, or the one that was filled first.
    fn free_buffer(&mut self) -> Result<usize, Error> {
        if self.buffers.len() < STAGING_BUFFERS {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let buffer = create(self.gpu, self.during, self.piece as u64, usage, true)?;
            self.buffers.push(StagingBuffer { buffer, under_way: None });
            return Ok(self.buffers.len() - 1);
        }
        let staging = self.next;
        self.next = (staging + 1) % STAGING_BUFFERS;
        self.wait(staging)?;
        Ok(staging)
    }

    fn wait(&mut self, staging: usize) -> Result<(), Error> {
        let Some((submission, mapped)) = self.buffers[staging].under_way.take() else {
            return Ok(());
        };
        let device = &self.gpu.device;
        block_on(Wait::Here.for_answers(device, Some(submission), [&mapped], self.during))
    }

    /// Fills a staging buffer and submits its copy.
    fn send(
        &mut self,
        staging: usize,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let during = self.during;
        let StagingBuffer { buffer: staging, under_way } = &mut self.buffers[staging];
        // wgpu copies whole words, so the last one is padded.
        let whole = bytes.len().next_multiple_of(4);
        let view = staging.get_mapped_range_mut(..whole as u64);
        let mut view = view.map_err(|error| refused(self.gpu, error, during))?;
        fill(view.slice(..bytes.len()), bytes);
        view.slice(bytes.len()..).copy_from_slice(&[0; 3][..whole - bytes.len()]);
        drop(view);
        unmap(self.gpu, staging, during)?;
        *under_way = Some(scoped(&self.gpu.device, during, || {
            let mut encoder = self.gpu.encoder();
            encoder.copy_buffer_to_buffer(staging, 0, buffer, offset, whole as u64);
            let submission = self.gpu.queue.submit([encoder.finish()]);
            (submission, map(staging, wgpu::MapMode::Write, during))
        })?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GpuOptions;
    use crate::gpu::buffers::{read, readable, storage};

    /// Bytes of any length arrive at their offset, and the bytes around them are unchanged.
    fn arrives(gpu: &Gpu) {
        let piece = Uploader::new(gpu, "testing").piece;
        for length in [1, SMALL, SMALL + 1, piece - 1, piece + 3, 4 * piece, 7 * piece + 6] {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8 + 1).collect();
            let room = (length as u64 + 32).next_multiple_of(16);
            let buffer = storage(gpu, "a test", room).expect("a buffer");
            let mut uploader = Uploader::new(gpu, "testing");
            uploader.upload(&buffer, 16, &bytes).expect("an upload");
            uploader.upload(&buffer, 0, &[7; 4]).expect("an upload");
            uploader.finish().expect("an upload");
            let back = readable(gpu, "a test", room).expect("a buffer");
            let mut encoder = gpu.encoder();
            encoder.copy_buffer_to_buffer(&buffer, 0, &back, 0, room);
            gpu.queue.submit([encoder.finish()]);
            let got: Vec<u8> = read(gpu, "testing", &back).expect("bytes");
            let (before, after) = got.split_at(16);
            assert_eq!(before, [[7; 4], [0; 4], [0; 4], [0; 4]].as_flattened());
            assert!(after[..length] == bytes, "{length} bytes");
            assert!(after[length..].iter().all(|&byte| byte == 0), "after {length} bytes");
        }
    }

    #[test]
    fn every_length_arrives() {
        arrives(&Gpu::new().expect("a GPU adapter"));
    }

    #[test]
    fn every_length_arrives_in_memory_of_its_own() {
        let options = GpuOptions::new().own_memory().default_limits();
        arrives(&Gpu::with_options(&options).expect("a GPU adapter"));
    }
}
