//! Sets of buffers that pieces use in turn, and the plans bound to them.

use std::sync::Arc;

use crate::bound::Buffers;
use crate::error_scope::scoped;
use crate::gpu::Gpu;
use crate::gpu::buffers::{create, refused, storage, unmap, viewed, write};
use crate::gpu::uploader::UPLOADING;
use crate::plan::offset_alignment;
use crate::poll::{Answer, Wait, map};
use crate::stream::tensors_of_pieces;
use crate::tensor::TensorSlot;
use crate::{Bound, Error, Plan, Problem, RESULT_BYTES};

pub(super) const COMPUTING: &str = "computing";
/// The number of shapes of pieces whose plans stay bound: the pieces of a call have few shapes, and a stream's batches
/// have one shape and perhaps another last one.
const SHAPES: usize = 4;

/// A tensor's range in the buffers of a slot.
#[derive(Clone, Copy, Debug)]
struct TensorRange {
    slot: TensorSlot,
    offset: u64,
    /// The bytes of the largest piece.
    bytes: u64,
}

/// The layout of a piece's tensors: inputs in one buffer, outputs and the result in another.
#[derive(Clone, Debug)]
struct RingLayout {
    inputs: Vec<TensorRange>,
    outputs: Vec<TensorRange>,
    input_bytes: u64,
    output_bytes: u64,
}

/// The most bytes between one tensor's end and the next one's start: the coarsest alignment that a device may require.
pub(super) const PADDING: u64 = 256;

impl RingLayout {
    /// Returns a layout for pieces up to one that poses this problem.
    fn new(problem: &Problem, limits: &wgpu::Limits) -> Self {
        let alignment = offset_alignment(limits);
        let mut layout =
            Self { inputs: Vec::new(), outputs: Vec::new(), input_bytes: 0, output_bytes: 0 };
        for tensor in tensors_of_pieces(problem) {
            let (slot, bytes) = (tensor.slot, tensor.bytes());
            let (ranges, end) = match slot.is_output() {
                true => (&mut layout.outputs, &mut layout.output_bytes),
                false => (&mut layout.inputs, &mut layout.input_bytes),
            };
            ranges.push(TensorRange { slot, offset: *end, bytes });
            // Empty tensors have a range too, which is never bound.
            *end = (*end + bytes.max(4)).next_multiple_of(alignment);
        }
        layout.output_bytes += RESULT_BYTES;
        layout
    }

    /// Returns true if a piece that poses this problem fits.
    fn holds(&self, problem: &Problem) -> bool {
        let all = || self.inputs.iter().chain(&self.outputs);
        tensors_of_pieces(problem).all(|tensor| {
            all().any(|range| range.slot == tensor.slot && tensor.bytes() <= range.bytes)
        })
    }

    /// Returns the offset of the result, after all outputs.
    fn result_offset(&self) -> u64 {
        self.output_bytes - RESULT_BYTES
    }
}

/// The buffers that kernels work on, and the plans bound to them.
#[derive(Debug)]
struct Stage {
    input: wgpu::Buffer,
    output: wgpu::Buffer,
    bounds: Vec<((usize, usize), Arc<Bound>)>,
}

/// The buffers that the host fills and reads.
#[derive(Debug)]
struct StagingSlot {
    input: wgpu::Buffer,
    output: wgpu::Buffer,
}

/// A piece on its way.
#[derive(Debug)]
pub(super) struct Submitted {
    slot: usize,
    pub bound: Arc<Bound>,
    submission: wgpu::SubmissionIndex,
    input: Answer,
    output: Answer,
}

impl Submitted {
    /// Returns the answers that say that the piece is done.
    pub fn answers(&self) -> [&Answer; 2] {
        [&self.input, &self.output]
    }
}

/// The ring of slots.
///
/// If the device works in the host's memory, each slot has buffers of its own, which are mapped while the host uses
/// them and bound while the device does: a byte is copied once. Otherwise slots have staging buffers, and the device,
/// which runs its work in order, has one set of buffers that they are copied to and from.
#[derive(Debug)]
pub(super) struct StagingRing {
    layout: RingLayout,
    stages: Vec<Stage>,
    slots: Vec<StagingSlot>,
    /// The slot of the next piece.
    next: usize,
    constants: Vec<(TensorSlot, Constant)>,
}

/// A tensor that all pieces share.
#[derive(Debug, Default)]
struct Constant {
    buffer: Option<wgpu::Buffer>,
    bytes: Vec<u8>,
}

impl StagingRing {
    /// Allocates buffers for pieces up to one that poses `largest`, of which `slots` are under way at a time.
    pub fn new(gpu: &Gpu, largest: &Problem, slots: usize) -> Result<Self, Error> {
        let layout = RingLayout::new(largest, &gpu.device.limits());
        let mut ring =
            Self { layout, stages: Vec::new(), slots: Vec::new(), next: 0, constants: Vec::new() };
        use wgpu::BufferUsages as Usages;
        let (input, output) = (ring.layout.input_bytes, ring.layout.output_bytes);
        let input = input.max(1).next_multiple_of(16);
        let output = output.next_multiple_of(16);
        if !is_mapped(gpu) {
            let inputs = storage(gpu, "the inputs of a piece", input)?;
            let outputs = storage(gpu, "the outputs of a piece", output)?;
            ring.stages.push(Stage { input: inputs, output: outputs, bounds: Vec::new() });
        }
        let (written, read) = match is_mapped(gpu) {
            true => (Usages::MAP_WRITE | Usages::STORAGE, Usages::MAP_READ | Usages::STORAGE),
            false => (Usages::MAP_WRITE | Usages::COPY_SRC, Usages::MAP_READ),
        };
        for _ in 0..slots {
            let input = create(gpu, "the inputs of a piece", input, written, true)?;
            let read = read | Usages::COPY_DST;
            let output = create(gpu, "the outputs of a piece", output, read, false)?;
            if is_mapped(gpu) {
                let (input, output) = (input.clone(), output.clone());
                ring.stages.push(Stage { input, output, bounds: Vec::new() });
            }
            ring.slots.push(StagingSlot { input, output });
        }
        Ok(ring)
    }

    /// Returns the most pieces that are under way.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Returns true if the largest piece of a problem fits.
    pub fn holds(&self, largest: &Problem) -> bool {
        self.layout.holds(largest)
    }

    /// Writes a tensor that all pieces share, unless it is there already.
    pub fn share(&mut self, gpu: &Gpu, slot: TensorSlot, bytes: &[u8]) -> Result<(), Error> {
        let range = self.constants.iter().position(|(other, _)| *other == slot);
        let range = range.unwrap_or_else(|| {
            self.constants.push((slot, Constant::default()));
            self.constants.len() - 1
        });
        let constant = &mut self.constants[range].1;
        if constant.buffer.is_some() && constant.bytes == bytes {
            return Ok(());
        }
        let buffer = match constant.buffer.take() {
            Some(buffer) => buffer,
            None => storage(gpu, slot.name(), bytes.len() as u64)?,
        };
        // Pieces that were submitted before read the previous content.
        write(gpu, UPLOADING, &buffer, 0, bytes)?;
        *constant = Constant { buffer: Some(buffer), bytes: bytes.to_vec() };
        Ok(())
    }

    /// Fills the inputs of the next slot, which must be free: `fill` is called for each of them.
    pub fn fill(
        &mut self,
        gpu: &Gpu,
        mut fill: impl FnMut(TensorSlot, wgpu::WriteOnly<'_, [u8]>),
    ) -> Result<(), Error> {
        let buffer = &self.slots[self.next].input;
        let view = buffer.get_mapped_range_mut(..);
        let mut view = view.map_err(|error| refused(gpu, error, UPLOADING))?;
        for range in &self.layout.inputs {
            let (start, end) = (range.offset as usize, (range.offset + range.bytes) as usize);
            fill(range.slot, view.slice(start..end));
        }
        drop(view);
        unmap(gpu, buffer, UPLOADING)
    }

    /// Binds the next slot's buffers to the plan of a piece that poses `problem`, unless they are bound to it already.
    pub fn bind(&mut self, gpu: &Gpu, problem: &Problem) -> Result<Arc<Bound>, Error> {
        let shape = (problem.view.outer, problem.view.inner);
        let layout = &self.layout;
        let stage = self.next % self.stages.len();
        let Stage { input, output, bounds } = &mut self.stages[stage];
        if let Some((_, bound)) = bounds.iter().find(|(other, _)| *other == shape) {
            return Ok(bound.clone());
        }
        let range = |buffer, range: &TensorRange| {
            let size = wgpu::BufferSize::new(range.bytes.max(4));
            (range.slot, wgpu::BufferBinding { buffer, offset: range.offset, size })
        };
        let constants = self.constants.iter().filter_map(|(slot, constant)| {
            let buffer = constant.buffer.as_ref()?;
            Some((*slot, buffer.as_entire_buffer_binding()))
        });
        let inputs = layout.inputs.iter().map(|tensor| range(&*input, tensor));
        let outputs = layout.outputs.iter().map(|tensor| range(&*output, tensor));
        let buffers = Buffers::of(inputs.chain(outputs).chain(constants));
        let plan = Plan::of(problem.clone(), gpu.kernels.profile())?;
        let bound = Arc::new(Bound::new(&gpu.kernels, plan, &buffers)?);
        if bounds.len() == SHAPES {
            bounds.remove(0);
        }
        bounds.push((shape, bound.clone()));
        Ok(bound)
    }

    /// Submits the next slot and asks for its buffers to be mapped.
    pub fn submit(&mut self, gpu: &Gpu, bound: Arc<Bound>) -> Result<Submitted, Error> {
        let slot = self.next;
        let StagingSlot { input, output } = &self.slots[slot];
        let submitted = scoped(&gpu.device, COMPUTING, || {
            let mut encoder = gpu.encoder();
            if !is_mapped(gpu) {
                copy(&mut encoder, &self.layout.inputs, &bound, input, &self.stages[0].input);
            }
            gpu.record(&mut encoder, &bound);
            if !is_mapped(gpu) {
                copy(&mut encoder, &self.layout.outputs, &bound, &self.stages[0].output, output);
            }
            let at = self.layout.result_offset();
            encoder.copy_buffer_to_buffer(bound.result().buffer, 0, output, at, RESULT_BYTES);
            let submission = gpu.queue.submit([encoder.finish()]);
            let input = map(input, wgpu::MapMode::Write, COMPUTING);
            let output = map(output, wgpu::MapMode::Read, COMPUTING);
            (submission, input, output)
        })?;
        self.next = (slot + 1) % self.slots.len();
        let (submission, input, output) = submitted;
        Ok(Submitted { slot, bound, submission, input, output })
    }

    /// Waits for a piece.
    pub async fn wait(&self, gpu: &Gpu, piece: &Submitted, wait: Wait<'_>) -> Result<(), Error> {
        let submission = Some(piece.submission.clone());
        wait.for_answers(&gpu.device, submission, piece.answers(), COMPUTING).await
    }

    /// Returns the outputs of a piece that is done.
    pub fn outputs(&self, gpu: &Gpu, piece: &Submitted) -> Result<Outputs<'_>, Error> {
        let view = viewed(gpu, &self.slots[piece.slot].output, "reading back")?;
        Ok(Outputs { layout: &self.layout, view })
    }

    /// Frees the buffers of a piece for the next one.
    pub fn release(&self, gpu: &Gpu, piece: &Submitted) -> Result<(), Error> {
        unmap(gpu, &self.slots[piece.slot].output, "reading back")
    }
}

/// The outputs of a piece, mapped.
pub(super) struct Outputs<'a> {
    layout: &'a RingLayout,
    view: wgpu::BufferView,
}

impl Outputs<'_> {
    /// Returns the bytes of [`Bound::result`].
    pub fn result(&self) -> &[u8] {
        self.bytes(self.layout.result_offset(), RESULT_BYTES)
    }

    /// Returns the tensors, each as long as the largest piece's.
    pub fn tensors(&self) -> impl Iterator<Item = (TensorSlot, &[u8])> {
        let ranges = self.layout.outputs.iter();
        ranges.map(|range| (range.slot, self.bytes(range.offset, range.bytes)))
    }

    fn bytes(&self, offset: u64, bytes: u64) -> &[u8] {
        &self.view[offset as usize..(offset + bytes) as usize]
    }
}

/// Returns true if the host reads and writes the buffers that kernels use.
pub(super) fn is_mapped(gpu: &Gpu) -> bool {
    gpu.device.features().contains(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS)
}

/// Copies a piece's tensors between buffers of the same layout.
fn copy(
    encoder: &mut wgpu::CommandEncoder,
    ranges: &[TensorRange],
    bound: &Bound,
    from: &wgpu::Buffer,
    to: &wgpu::Buffer,
) {
    for range in ranges {
        let tensor = bound.plan().problem().tensor(range.slot);
        let bytes = tensor.map_or(0, |tensor| tensor.bytes());
        if bytes > 0 {
            encoder.copy_buffer_to_buffer(from, range.offset, to, range.offset, bytes);
        }
    }
}
