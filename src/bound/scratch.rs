//! The buffers that binding makes.

use super::buffers::Buffers;
use super::result::RESULT_BYTES;
use crate::Error;
use crate::plan::{Params, Plan};
use crate::tensor::TensorSlot;

/// The name of the parameters' writing in errors.
pub(super) const WRITING: &str = "writing the parameters";

/// Bytes between stand-ins: a multiple of every device's offset alignment.
pub(super) const NOTHING_STRIDE: u64 = 256;

/// The buffers that binding makes, and the result, which may be the host's.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) params: wgpu::Buffer,
    /// Bytes from the start of one dispatch's parameters to the next.
    pub(super) stride: u64,
    /// The result: a buffer, and the offset of the result in it.
    pub(super) result: (wgpu::Buffer, u64),
    pub(super) shared: Shared,
}

/// The buffers that all bindings of a plan on one queue share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) workspace: wgpu::Buffer,
    /// Stand-ins for tensors without elements, one for those that are read and one for those that are written: wgpu
    /// binds no empty range, and no buffer for both.
    pub(super) nothing: [wgpu::Buffer; 2],
}

impl Shared {
    pub(super) fn new(device: &wgpu::Device, plan: &Plan, label: &str) -> Self {
        let make = |what, size| storage(device, label, what, size, wgpu::BufferUsages::empty());
        Self {
            workspace: make("workspace", plan.workspace_bytes()),
            nothing: ["nothing to read", "nothing to write"]
                .map(|what| make(what, NOTHING_STRIDE * TensorSlot::COUNT as u64)),
        }
    }
}

impl Scratch {
    /// Allocates the parameters and the result of one binding.
    pub(super) fn new(
        device: &wgpu::Device,
        plan: &Plan,
        buffers: &Buffers<'_>,
        label: &str,
        shared: Shared,
    ) -> Self {
        let stride = stride(device);
        Self {
            params: params(device, label, stride * plan.all_dispatches().len() as u64),
            stride,
            result: result(device, buffers, label),
            shared,
        }
    }

    /// Writes the dispatches' parameters once, through the mapping that exists since their buffer was made. A queue's
    /// write would not do: it would come before work that is being recorded.
    pub(super) fn write_params(&self, blocks: &[Params]) -> Result<(), Error> {
        for (index, block) in blocks.iter().enumerate() {
            let start = index as u64 * self.stride;
            let range = start..start + size_of::<Params>() as u64;
            // The buffer was made without an error: if its mapping has no bytes, the device is lost.
            let view = self.params.get_mapped_range_mut(range);
            let mut view = view.map_err(|_| Error::Lost { during: WRITING })?;
            view.copy_from_slice(bytemuck::bytes_of(block));
        }
        self.params.unmap();
        Ok(())
    }
}

fn stride(device: &wgpu::Device) -> u64 {
    let alignment = u64::from(device.limits().min_uniform_buffer_offset_alignment);
    (size_of::<Params>() as u64).next_multiple_of(alignment)
}

fn params(device: &wgpu::Device, label: &str, size: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(&format!("{label} params")),
        size,
        usage: wgpu::BufferUsages::UNIFORM,
        mapped_at_creation: true,
    })
}

fn result(device: &wgpu::Device, buffers: &Buffers<'_>, label: &str) -> (wgpu::Buffer, u64) {
    match buffers.get(TensorSlot::Result) {
        Some(range) => (range.buffer.clone(), range.offset),
        None => (storage(device, label, "result", RESULT_BYTES, wgpu::BufferUsages::COPY_SRC), 0),
    }
}

fn storage(
    device: &wgpu::Device,
    label: &str,
    what: &str,
    size: u64,
    more: wgpu::BufferUsages,
) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(&format!("{label} {what}")),
        size,
        usage: wgpu::BufferUsages::STORAGE | more,
        mapped_at_creation: false,
    })
}
