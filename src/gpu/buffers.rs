//! Buffers, and blocking writes and reads of their content.

use bytemuck::Pod;

use super::Gpu;
use crate::Error;
use crate::error_scope::{allocating, scoped};
use crate::poll::{Wait, block_on, explained, map};

/// Creates a buffer; an error names its purpose.
pub(super) fn create(
    gpu: &Gpu,
    what: &'static str,
    size: u64,
    usage: wgpu::BufferUsages,
    mapped: bool,
) -> Result<wgpu::Buffer, Error> {
    let allowed = gpu.device.limits().max_buffer_size;
    if size > allowed {
        return Err(Error::Limit { what, limit: "max_buffer_size", needed: size, allowed });
    }
    allocating(&gpu.device, what, size, || {
        gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage,
            mapped_at_creation: mapped,
        })
    })
}

/// Creates a buffer that kernels read and write, and that is copied to and from. It holds whole loads; empty tensors
/// get one too, which no kernel binds.
pub(super) fn storage(gpu: &Gpu, what: &'static str, bytes: u64) -> Result<wgpu::Buffer, Error> {
    let usage =
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    create(gpu, what, bytes.max(1).next_multiple_of(16), usage, false)
}

/// Creates a buffer that the device copies to and the host reads.
pub(super) fn readable(gpu: &Gpu, what: &'static str, bytes: u64) -> Result<wgpu::Buffer, Error> {
    let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
    create(gpu, what, bytes, usage, false)
}

/// Writes a few bytes before the next submission.
pub(super) fn write(
    gpu: &Gpu,
    during: &'static str,
    buffer: &wgpu::Buffer,
    offset: u64,
    bytes: &[u8],
) -> Result<(), Error> {
    // wgpu copies whole words, so the last one is padded.
    let (whole, rest) = bytes.split_at(bytes.len() / 4 * 4);
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    allocating(&gpu.device, during, bytes.len() as u64, || {
        if !whole.is_empty() {
            gpu.queue.write_buffer(buffer, offset, whole);
        }
        if !rest.is_empty() {
            gpu.queue.write_buffer(buffer, offset + whole.len() as u64, &last);
        }
    })
}

/// Waits for all submitted work and reads a readable buffer.
pub(super) fn read<T: Pod>(
    gpu: &Gpu,
    during: &'static str,
    buffer: &wgpu::Buffer,
) -> Result<Vec<T>, Error> {
    let mapped = scoped(&gpu.device, during, || map(buffer, wgpu::MapMode::Read, during))?;
    block_on(Wait::Here.for_answers(&gpu.device, None, [&mapped], during))?;
    let view = viewed(gpu, buffer, during)?;
    let values = bytemuck::pod_collect_to_vec(&view);
    drop(view);
    unmap(gpu, buffer, during)?;
    Ok(values)
}

/// Returns the bytes of a buffer that is mapped for reading.
pub(super) fn viewed(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    during: &'static str,
) -> Result<wgpu::BufferView, Error> {
    buffer.slice(..).get_mapped_range().map_err(|error| refused(gpu, error, during))
}

/// Returns the cause of a failure to access a mapped buffer's bytes.
pub(super) fn refused(gpu: &Gpu, error: wgpu::MapRangeError, during: &'static str) -> Error {
    explained(&gpu.device, Error::Device { during, reason: error.to_string() })
}

/// Unmaps a buffer. Another thread may have destroyed the device meanwhile: wgpu reports that to the device's handler,
/// which panics by default, unless a scope catches it.
pub(super) fn unmap(gpu: &Gpu, buffer: &wgpu::Buffer, during: &'static str) -> Result<(), Error> {
    scoped(&gpu.device, during, || buffer.unmap())
}
