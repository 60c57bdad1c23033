//! Uploading alone: the same bytes, by the same threads, through staging buffers in turns, without computation.

use wgpu_loss::Gpu;
use wgpu_loss::gpu::fill;
use wgpu_loss::wgpu::{self, BufferUsages};

/// The number of pieces in flight, as in the library.
const TURNS: usize = 3;

/// Staging buffers, and the buffer that they are copied to: none if the device reads the memory that the host fills.
pub struct Ring<'a> {
    gpu: &'a Gpu,
    staging: Vec<wgpu::Buffer>,
    submitted: Vec<Option<wgpu::SubmissionIndex>>,
    target: Option<wgpu::Buffer>,
    piece: usize,
}

impl<'a> Ring<'a> {
    /// Makes a ring for pieces as large as the library's, to the same place or one after the other in a buffer of
    /// `room` bytes.
    pub fn new(gpu: &'a Gpu, room: Option<u64>) -> Self {
        let software = gpu.info().device_type == wgpu::DeviceType::Cpu;
        let piece: usize = if software { 4 << 20 } else { 32 << 20 };
        let mapped = gpu.device().features().contains(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS);
        let direct = mapped && room.is_none();
        let buffer = |size: u64, usage, mapped_at_creation| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("upload"),
                size,
                usage,
                mapped_at_creation,
            })
        };
        let usage = match direct {
            true => BufferUsages::MAP_WRITE | BufferUsages::STORAGE,
            false => BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC,
        };
        let staging = (0..TURNS).map(|_| buffer(piece as u64, usage, true)).collect();
        let target = (!direct).then(|| {
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
            buffer(room.unwrap_or(piece as u64), usage, false)
        });
        Self { gpu, staging, submitted: vec![None; TURNS], target, piece }
    }

    /// Uploads bytes, a multiple of four of them, and waits until they are there.
    pub fn upload(&mut self, bytes: &[u8]) {
        for (number, piece) in bytes.chunks(self.piece).enumerate() {
            let turn = number % TURNS;
            self.wait(turn);
            let staging = &self.staging[turn];
            let part = staging.slice(..piece.len() as u64);
            fill(part.get_mapped_range_mut().expect("a mapping").slice(..), piece);
            staging.unmap();
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            if let Some(target) = &self.target {
                let at = (number * self.piece) as u64;
                let at = if at + piece.len() as u64 <= target.size() { at } else { 0 };
                encoder.copy_buffer_to_buffer(staging, 0, target, at, piece.len() as u64);
            }
            let submission = self.gpu.queue().submit([encoder.finish()]);
            staging.map_async(wgpu::MapMode::Write, .., |mapped| mapped.expect("a mapping"));
            self.submitted[turn] = Some(submission);
        }
        (0..TURNS).for_each(|turn| self.wait(turn));
    }

    /// Waits until the host may write to a turn's buffer again.
    fn wait(&mut self, turn: usize) {
        if let Some(submission) = self.submitted[turn].take() {
            let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
            self.gpu.device().poll(wait).expect("a device at work");
        }
    }
}
