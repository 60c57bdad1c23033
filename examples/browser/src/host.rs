//! The page's device, and its memory.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use futures_channel::oneshot;
use wgpu_loss::{Kernels, wanted_features, wanted_limits};

use crate::Failure;
use crate::page;

/// Bindings start at multiples of so many bytes on every device.
const ALIGNMENT: u64 = 256;

/// A device, its queue, and the library's pipelines.
pub struct Host {
    /// The property that distinguishes it.
    pub name: &'static str,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub kernels: Kernels,
}

impl Host {
    /// Opens a device with WebGPU's default limits and no features.
    pub async fn bare(adapter: &wgpu::Adapter) -> Result<Self, Failure> {
        Self::open("bare", adapter, wgpu::DeviceDescriptor::default()).await
    }

    /// Opens a device with everything that the library requests.
    pub async fn wanted(adapter: &wgpu::Adapter) -> Result<Self, Failure> {
        let descriptor = wgpu::DeviceDescriptor {
            required_features: wanted_features(adapter),
            required_limits: wanted_limits(adapter),
            ..Default::default()
        };
        Self::open("wanted", adapter, descriptor).await
    }

    async fn open(
        name: &'static str,
        adapter: &wgpu::Adapter,
        descriptor: wgpu::DeviceDescriptor<'_>,
    ) -> Result<Self, Failure> {
        let (device, queue) = adapter.request_device(&descriptor).await?;
        device.on_uncaptured_error(Arc::new(|error: wgpu::Error| {
            page::report("an uncaptured error", Err(error));
        }));
        let kernels = Kernels::new(&device);
        Ok(Self { name, device, queue, kernels })
    }

    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    pub fn buffer(&self, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("the page's"),
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    /// Reads the bytes of a range of a buffer, once all submitted work is done.
    pub async fn read(&self, range: wgpu::BufferBinding<'_>) -> Result<Vec<u8>, Failure> {
        let size = range.size.map_or(range.buffer.size() - range.offset, |size| size.get());
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
        let staging = self.buffer(size, usage);
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(range.buffer, range.offset, &staging, 0, size);
        self.queue.submit([encoder.finish()]);
        let (answer, answered) = oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., |mapped| drop(answer.send(mapped)));
        answered.await??;
        let bytes = staging.get_mapped_range(..)?.to_vec();
        staging.unmap();
        Ok(bytes)
    }
}

/// One buffer that holds every tensor of a case.
pub struct Arena<'a> {
    host: &'a Host,
    pub buffer: wgpu::Buffer,
    end: Cell<u64>,
}

impl<'a> Arena<'a> {
    pub fn new(host: &'a Host, bytes: u64) -> Self {
        use wgpu::BufferUsages as Usages;
        let buffer = host.buffer(bytes, Usages::STORAGE | Usages::COPY_SRC | Usages::COPY_DST);
        Self { host, buffer, end: Cell::new(0) }
    }

    /// Reserves so many bytes, rounded up to whole words.
    pub fn room(&self, bytes: usize) -> Range<u64> {
        let start = self.end.get().next_multiple_of(ALIGNMENT);
        let range = start..start + (bytes as u64).next_multiple_of(4);
        self.end.set(range.end);
        range
    }

    /// Reserves room for elements, and writes them.
    pub fn put<T: Pod>(&self, elements: &[T]) -> Range<u64> {
        let mut bytes: Vec<u8> = bytemuck::cast_slice(elements).to_vec();
        let range = self.room(bytes.len());
        bytes.resize((range.end - range.start) as usize, 0);
        self.host.queue.write_buffer(&self.buffer, range.start, &bytes);
        range
    }

    /// Returns a range as a binding.
    pub fn at(&self, range: &Range<u64>) -> wgpu::BufferBinding<'_> {
        let size = wgpu::BufferSize::new(range.end - range.start);
        wgpu::BufferBinding { buffer: &self.buffer, offset: range.start, size }
    }

    /// Reads the elements of a range.
    pub async fn read<T: Pod>(&self, range: &Range<u64>) -> Result<Vec<T>, Failure> {
        Ok(bytemuck::pod_collect_to_vec(&self.host.read(self.at(range)).await?))
    }
}
