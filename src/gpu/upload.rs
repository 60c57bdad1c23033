//! Host data that stays on the device.

use super::Gpu;
use super::buffers::storage;
use super::stream::host_bytes;
use super::uploader::{UPLOADING, Uploader};
use crate::bound::Buffers;
use crate::tensor::TensorSlot;
use crate::{Error, Inputs, Problem};

/// The buffers of one call: inputs filled, outputs empty.
pub(super) struct Tensors(Vec<(TensorSlot, wgpu::Buffer)>);

impl Tensors {
    /// Allocates a buffer per tensor and uploads the inputs.
    pub fn upload(gpu: &Gpu, problem: &Problem, inputs: &Inputs<'_>) -> Result<Self, Error> {
        let mut buffers = Vec::new();
        let mut uploader = Uploader::new(gpu, UPLOADING);
        for tensor in problem.tensors() {
            let buffer = storage(gpu, tensor.slot.name(), tensor.bytes())?;
            if let Some(bytes) = host_bytes(tensor.slot, inputs) {
                uploader.upload(&buffer, 0, bytes)?;
            }
            buffers.push((tensor.slot, buffer));
        }
        uploader.finish()?;
        Ok(Self(buffers))
    }

    /// Returns the ranges to bind.
    pub fn buffers(&self) -> Buffers<'_> {
        Buffers::of(self.0.iter().map(|(slot, buffer)| (*slot, buffer.as_entire_buffer_binding())))
    }
}
