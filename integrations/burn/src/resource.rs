//! The memory of Burn's tensors, as wgpu buffers.

use burn_cubecl::cubecl::wgpu::{AutoCompiler, WgpuResource, WgpuServer};
use burn_cubecl::tensor::CubeTensor;
use cubecl_runtime::storage::ManagedResource;
use wgpu_loss::wgpu;

use crate::Error;

/// A tensor's buffer. Burn neither frees nor moves the tensor's memory while this is held.
pub(crate) struct Resource(ManagedResource<WgpuResource>);

impl Resource {
    /// Returns the buffer of a tensor. All work that was recorded for it is submitted by this call, so that work that
    /// is submitted next to Burn's queue runs after it.
    pub(crate) fn of(tensor: &CubeTensor) -> Result<Self, Error> {
        let handle = tensor.handle.clone();
        let found = tensor.client.get_resource::<WgpuServer<AutoCompiler>>(handle);
        found.map(Self).map_err(|error| Error::Buffer { reason: error.to_string() })
    }

    pub(crate) fn binding(&self) -> wgpu::BufferBinding<'_> {
        let resource: &WgpuResource = self.0.resource();
        // Burn's memory comes in slices of whole words.
        let size = wgpu::BufferSize::new(resource.size.next_multiple_of(4));
        wgpu::BufferBinding { buffer: &resource.buffer, offset: resource.offset, size }
    }
}
