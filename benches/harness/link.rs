//! The link between the host and the device: the host's copies into and out of mapped memory, and the device's copies
//! between that and its own.

use std::time::Duration;

use wgpu_loss::Gpu;
use wgpu_loss::gpu::fill;
use wgpu_loss::wgpu::{self, BufferUsages};

use super::timed;

/// Timestamps: at both ends of a pass before the copy and of one after it.
const QUERIES: u32 = 4;

/// Buffers of one size on both sides.
pub struct Link<'a> {
    gpu: &'a Gpu,
    staging: wgpu::Buffer,
    device: wgpu::Buffer,
    readable: wgpu::Buffer,
    /// `None` if the device has no timestamps.
    queries: Option<(wgpu::QuerySet, wgpu::Buffer, wgpu::Buffer)>,
}

/// The number of threads that copy.
#[derive(Clone, Copy)]
pub enum Threads {
    One,
    All,
}

impl<'a> Link<'a> {
    /// Makes buffers of so many bytes, a multiple of four.
    pub fn new(gpu: &'a Gpu, bytes: u64) -> Self {
        let device = gpu.device();
        let buffer = |size, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("link"),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let timed = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let queries = timed.then(|| {
            let set = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: QUERIES,
            });
            let size = 8 * u64::from(QUERIES);
            let resolved = buffer(size, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC);
            (set, resolved, buffer(size, BufferUsages::MAP_READ | BufferUsages::COPY_DST))
        });
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        Self {
            gpu,
            staging: buffer(bytes, BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC),
            device: buffer(bytes, usage),
            readable: buffer(bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
            queries,
        }
    }

    /// Fills the staging buffer.
    pub fn fill(&self, from: &[u8], threads: Threads) -> Duration {
        self.mapped(&self.staging, wgpu::MapMode::Write);
        let mut view = self.staging.get_mapped_range_mut(..).expect("a mapping");
        let (time, ()) = timed(|| match threads {
            Threads::One => view.slice(..).copy_from_slice(from),
            Threads::All => fill(view.slice(..), from),
        });
        drop(view);
        self.staging.unmap();
        time
    }

    /// Copies from the staging buffer to the device's.
    pub fn up(&self) -> Duration {
        self.copy(&self.staging, &self.device)
    }

    /// Copies back.
    pub fn down(&self) -> Duration {
        self.copy(&self.device, &self.readable)
    }

    /// Reads the bytes that were copied back.
    pub fn read(&self, to: &mut [u8], threads: Threads) -> Duration {
        self.mapped(&self.readable, wgpu::MapMode::Read);
        let view = self.readable.get_mapped_range(..).expect("a mapping");
        let (time, ()) = timed(|| copy(to, &view, threads));
        drop(view);
        self.readable.unmap();
        time
    }

    /// Writes to the device's buffer by the usual call, and waits until the copy is done.
    pub fn write(&self, from: &[u8]) -> Duration {
        let (time, ()) = timed(|| {
            self.gpu.queue().write_buffer(&self.device, 0, from);
            self.gpu.queue().submit([]);
            self.wait();
        });
        time
    }

    fn mapped(&self, buffer: &wgpu::Buffer, mode: wgpu::MapMode) {
        buffer.map_async(mode, .., |mapped| mapped.expect("a mapping"));
        self.wait();
    }

    fn wait(&self) {
        self.gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("a device at work");
    }

    /// Times a copy, by timestamps if they are plausible, else by the wall clock.
    fn copy(&self, from: &wgpu::Buffer, to: &wgpu::Buffer) -> Duration {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.stamp(&mut encoder, 0);
        encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
        self.stamp(&mut encoder, 2);
        if let Some((set, resolved, readable)) = &self.queries {
            encoder.resolve_query_set(set, 0..QUERIES, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, readable, 0, resolved.size());
        }
        let commands = encoder.finish();
        let (wall, ()) = timed(|| {
            self.gpu.queue().submit([commands]);
            self.wait();
        });
        self.between().filter(|time| *time <= wall).unwrap_or(wall)
    }

    /// Records an empty pass with timestamps at its ends. wgpu has timestamps between commands too, but not on every
    /// device.
    fn stamp(&self, encoder: &mut wgpu::CommandEncoder, first: u32) {
        let Some((query_set, ..)) = &self.queries else { return };
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set,
                beginning_of_pass_write_index: Some(first),
                end_of_pass_write_index: Some(first + 1),
            }),
        });
    }

    /// Returns the time from the end of the first pass to the beginning of the second.
    fn between(&self) -> Option<Duration> {
        let (_, _, readable) = self.queries.as_ref()?;
        self.mapped(readable, wgpu::MapMode::Read);
        let view = readable.get_mapped_range(..).expect("a mapping");
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        readable.unmap();
        let period = f64::from(self.gpu.queue().get_timestamp_period());
        let between = ticks[2].checked_sub(ticks[1]).filter(|ticks| *ticks > 0)?;
        Some(Duration::from_nanos((between as f64 * period) as u64))
    }
}

/// Copies within the host's memory.
pub fn copy(to: &mut [u8], from: &[u8], threads: Threads) {
    let parts = match threads {
        Threads::One => 1,
        Threads::All => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let part = from.len().div_ceil(parts).max(1);
    std::thread::scope(|scope| {
        let pairs = to.chunks_mut(part).zip(from.chunks(part));
        pairs.for_each(|(to, from)| drop(scope.spawn(|| to.copy_from_slice(from))));
    });
}
