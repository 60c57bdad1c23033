//! Host memory to device memory and back.

use super::wait::Wait;
use crate::bound::Buffers;
use crate::kernels::Slot;
use crate::plan::{Extent, bound_slots};
use crate::scope::scoped;
use crate::{ElementType, Error, Inputs, Problem};
use half::{bf16, f16};

/// The buffers of one call: inputs filled, outputs empty.
pub(super) struct Tensors {
    buffers: Vec<(Slot, wgpu::Buffer, usize)>,
}

impl Tensors {
    /// Allocates a buffer per tensor and uploads the inputs. The submission that makes the upload
    /// happen is the caller's.
    pub fn upload(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        problem: &Problem,
        inputs: &Inputs<'_>,
    ) -> Result<Self, Error> {
        let limits = device.limits();
        let mut buffers = Vec::new();
        for slot in bound_slots(problem) {
            let size = Extent::of(slot, problem).bytes();
            if size > limits.max_buffer_size {
                return Err(Error::Limit {
                    what: slot.name(),
                    limit: "max_buffer_size",
                    needed: size,
                    allowed: limits.max_buffer_size,
                });
            }
            let buffer = scoped(device, "allocating a tensor", || {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(slot.name()),
                    // Whole loads. Empty tensors get a buffer too: it is bound by nothing.
                    size: size.max(1).next_multiple_of(16),
                    usage: wgpu::BufferUsages::STORAGE
                        | wgpu::BufferUsages::COPY_DST
                        | wgpu::BufferUsages::COPY_SRC,
                    mapped_at_creation: false,
                })
            })?;
            if let Some(bytes) = input_bytes(slot, problem, inputs) {
                scoped(device, "uploading", || write(queue, &buffer, bytes))?;
            }
            buffers.push((slot, buffer, elements(slot, problem)));
        }
        Ok(Self { buffers })
    }

    /// The ranges to bind.
    pub fn buffers(&self) -> Buffers<'_> {
        let input = self.buffers.iter().find(|(slot, ..)| *slot == Slot::Logits);
        // `upload` always makes the input's buffer.
        let (_, input, _) = input.expect("an input");
        let mut buffers = Buffers::new(input.as_entire_buffer_binding());
        for (slot, buffer, _) in &self.buffers {
            let range = buffer.as_entire_buffer_binding();
            buffers = match slot {
                Slot::Target => buffers.target(range),
                Slot::Weight => buffers.weight(range),
                Slot::Upstream => buffers.upstream(range),
                Slot::RowLoss => buffers.loss(range),
                Slot::Grad => buffers.grad(range),
                Slot::Elements => buffers.elements(range),
                Slot::Logits | Slot::Params | Slot::Workspace | Slot::Result => buffers,
            };
        }
        buffers
    }

    /// An output's buffer and its number of elements.
    pub fn output(&self, slot: Slot) -> Option<(&wgpu::Buffer, usize)> {
        let found = self.buffers.iter().find(|(other, ..)| *other == slot);
        found.map(|(_, buffer, elements)| (buffer, *elements))
    }
}

fn elements(slot: Slot, problem: &Problem) -> usize {
    match slot {
        Slot::Grad | Slot::Elements => problem.view.elements(),
        _ => problem.view.rows(),
    }
}

/// The host bytes of an input.
fn input_bytes<'a>(slot: Slot, problem: &Problem, inputs: &Inputs<'a>) -> Option<&'a [u8]> {
    match slot {
        Slot::Logits => Some(inputs.input.data.bytes()),
        Slot::Target if problem.label_type().is_none() => {
            inputs.probabilities.map(|p| p.data.bytes())
        }
        Slot::Target => inputs.labels.map(|(labels, _)| labels.bytes()),
        Slot::Weight => inputs.weight.map(|w| w.bytes()),
        Slot::Upstream => inputs.upstream.map(|u| u.data.bytes()),
        _ => None,
    }
}

/// Writes bytes of any length; wgpu copies whole words, so a last part of one is filled up.
fn write(queue: &wgpu::Queue, buffer: &wgpu::Buffer, bytes: &[u8]) {
    let whole = bytes.len() / 4 * 4;
    if whole > 0 {
        queue.write_buffer(buffer, 0, &bytes[..whole]);
    }
    if whole < bytes.len() {
        let mut last = [0; 4];
        last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
        queue.write_buffer(buffer, whole as u64, &last);
    }
}

/// The first `count` elements of a type in bytes, as f32.
pub(super) fn widened(bytes: &[u8], element_type: ElementType, count: usize) -> Vec<f32> {
    let bytes = &bytes[..count * element_type.bytes() as usize];
    let halves = || bytes.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]]));
    match element_type {
        ElementType::F32 => bytemuck::pod_collect_to_vec(bytes),
        ElementType::F16 => halves().map(|bits| f16::from_bits(bits).to_f32()).collect(),
        ElementType::BF16 => halves().map(|bits| bf16::from_bits(bits).to_f32()).collect(),
    }
}

/// A buffer's contents.
pub(super) async fn read_back(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    buffer: &wgpu::Buffer,
    wait: Wait,
) -> Result<Vec<u8>, Error> {
    const DURING: &str = "reading back";
    let staging = scoped(device, DURING, || {
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu-loss read back"),
            size: buffer.size(),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        queue.submit([encoder.finish()]);
        staging
    })?;
    wait.for_map(device, &staging, DURING).await?;
    let view = staging
        .slice(..)
        .get_mapped_range()
        .map_err(|error| Error::Device { during: DURING, reason: error.to_string() })?;
    let bytes = view.to_vec();
    drop(view);
    staging.unmap();
    Ok(bytes)
}
