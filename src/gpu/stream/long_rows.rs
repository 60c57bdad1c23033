//! Rows that are larger than the memory budget: each passes through the device in boxes of its classes.
//!
//! The plan of one row, made for bindings that hold a part of it, folds box after box into one state, merges, and
//! writes box after box. The executor uploads the box of each dispatch before the dispatch runs; a gradient needs each
//! box twice.

use std::ops::Range;

use super::executor::Executor;
use super::host::{row_bytes, scatter_records};
use super::lane::{Batch, Given, Lane};
use super::merge::{add, of_piece};
use super::once::Once;
use super::results::Results;
use crate::bound::Buffers;
use crate::classes::class_losses;
use crate::error_scope::scoped;
use crate::gpu::Gpu;
use crate::gpu::buffers::{self, storage, unmap, viewed, write};
use crate::gpu::stopwatch::Stopwatch;
use crate::gpu::uploader::UPLOADING;
use crate::kernels::Access;
use crate::loss::{CallTensor, Upstream};
use crate::plan::{Profile, least_box, offset_alignment};
use crate::poll::{Wait, map};
use crate::stream::{RowRange, Sink, problem_of, scatter};
use crate::tensor::TensorSlot;
use crate::{Bound, Error, LargeOutput, Plan, Problem, RESULT_BYTES};

/// The fewest bytes of a box: in smaller ones the overhead of dispatches would dominate.
const LEAST: u64 = 4 << 10;
/// The most bytes of a box: its dispatch is a submission of its own.
const MOST: u64 = 64 << 20;
const COMPUTING: &str = "computing a long row";

/// The buffers that boxes pass through, and the classes that they hold.
struct Boxes {
    bound: Bound,
    tensors: Vec<(CallTensor, wgpu::Buffer)>,
    readable: wgpu::Buffer,
    /// The classes that the buffer of an input holds.
    held: Vec<(TensorSlot, Range<usize>)>,
}

/// The box of a dispatch and its tensors.
struct Work {
    classes: Range<usize>,
    /// The tensors that are cut, and their access by the dispatch.
    tensors: Vec<(CallTensor, Access)>,
}

impl Executor<'_> {
    /// Computes the rows of a batch, one by one. If a GPU fails, another one goes on.
    pub(super) async fn long_rows(
        &mut self,
        given: Given<'_>,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        // They need not hold a row.
        self.lanes.iter_mut().for_each(|lane| lane.takes_part = true);
        let (mut sink, mut done) = (Once::new(sink), 0);
        loop {
            let Some(number) = self.with_largest_budget() else { return Ok(()) };
            let (lane, wait) = (&self.lanes[number], self.wait);
            let results = &mut self.results;
            let computed =
                LongRows { lane, wait, given, results }.compute(&mut done, &mut sink).await;
            match computed {
                // The other GPUs' budgets are no larger.
                Err(error) if !sink.has_failed && !matches!(error, Error::Budget { .. }) => {
                    self.leave_out(number, error)?;
                }
                other => return other,
            }
        }
    }

    fn with_largest_budget(&self) -> Option<usize> {
        let budget = |number: &usize| self.lanes[*number].gpu.memory_budget;
        // Of equals, the first.
        (0..self.lanes.len()).rev().max_by_key(budget)
    }
}

/// The rows of a batch on their way through a GPU.
struct LongRows<'a, 'g> {
    lane: &'a Lane<'g>,
    wait: Wait<'g>,
    given: Given<'a>,
    results: &'a mut Results,
}

impl LongRows<'_, '_> {
    /// Computes the rows from number `done` on, which counts those that are merged.
    async fn compute(
        &mut self,
        done: &mut usize,
        sink: &mut Once<'_, impl Sink + ?Sized>,
    ) -> Result<(), Error> {
        let view = self.given.batch.problem.view;
        let start = Stopwatch::start();
        let mut boxes = Boxes::new(self.lane.gpu, &problem_of(&self.given.batch.problem, 1, 1))?;
        self.results.timing.prepare += start.elapsed();
        while *done < view.rows() {
            let (outer, inner) = (*done / view.inner, *done % view.inner);
            let row = RowRange { outer: outer..outer + 1, inner: inner..inner + 1 };
            let before = self.results.progress.bytes;
            boxes.held.clear();
            self.open_row(&boxes, &row)?;
            for dispatch in 0..boxes.bound.plan().all_dispatches().len() {
                self.load(&mut boxes, dispatch, &row).await?;
                self.compute_boxes(&boxes, dispatch).await?;
                self.save(&boxes, dispatch, &row, sink).await?;
            }
            self.close_row(&boxes, &row, sink).await?;
            *done += 1;
            self.lane.note(1, self.results.progress.bytes - before);
            sink.open_row();
            sink.progress(&self.results.progress)?;
        }
        Ok(())
    }

    /// Uploads the inputs of which the row has one element.
    fn open_row(&mut self, boxes: &Boxes, row: &RowRange) -> Result<(), Error> {
        let Given { batch, inputs, scale } = self.given;
        let scales = boxes.bound.plan().problem().upstream == Upstream::Scalar;
        let inputs_of_row = boxes.of_row().filter(|(tensor, _)| !tensor.slot.is_output());
        for (tensor, buffer) in inputs_of_row {
            if tensor.slot == TensorSlot::Upstream && scales {
                write(self.lane.gpu, UPLOADING, buffer, 0, bytemuck::bytes_of(&(scale as f32)))?;
            } else {
                let bytes = row_bytes(tensor.slot, &batch.problem, inputs, row, 0..1);
                write(self.lane.gpu, UPLOADING, buffer, 0, &bytes)?;
            }
        }
        Ok(())
    }

    /// Uploads the boxes that a dispatch reads, unless the buffers hold them.
    async fn load(
        &mut self,
        boxes: &mut Boxes,
        dispatch: usize,
        row: &RowRange,
    ) -> Result<(), Error> {
        let start = Stopwatch::start();
        let Some(Work { classes, tensors }) = boxes.dispatch(dispatch) else { return Ok(()) };
        let Given { batch, inputs, .. } = self.given;
        let read = tensors.iter().filter(|(_, access)| *access == Access::Read);
        for slot in read.map(|(tensor, _)| tensor.slot) {
            if boxes.held.iter().any(|(other, held)| *other == slot && *held == classes) {
                continue;
            }
            let bytes = row_bytes(slot, &batch.problem, inputs, row, classes.clone());
            self.results.progress.bytes += bytes.len() as u64;
            write(self.lane.gpu, UPLOADING, boxes.buffer(slot), 0, &bytes)?;
            // wgpu holds a copy on the host until then.
            self.lane.gpu.submitted([], self.wait, UPLOADING).await?;
            boxes.held.retain(|(other, _)| *other != slot);
            boxes.held.push((slot, classes.clone()));
        }
        self.results.timing.upload += start.elapsed();
        Ok(())
    }

    async fn compute_boxes(&mut self, boxes: &Boxes, dispatch: usize) -> Result<(), Error> {
        let start = Stopwatch::start();
        let mut encoder = self.lane.gpu.encoder();
        boxes.bound.record_dispatch(dispatch, &mut encoder.begin_compute_pass(&Default::default()));
        self.lane.gpu.submitted([encoder.finish()], self.wait, COMPUTING).await?;
        self.results.timing.kernel += start.elapsed();
        Ok(())
    }

    /// Passes the boxes that a dispatch has written to the sink.
    async fn save(
        &mut self,
        boxes: &Boxes,
        dispatch: usize,
        row: &RowRange,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let start = Stopwatch::start();
        let Some(Work { classes, tensors }) = boxes.dispatch(dispatch) else { return Ok(()) };
        let Batch { problem, rows_before } = &**self.given.batch;
        for (CallTensor { slot, element_bytes: element, .. }, _) in tensors {
            let Some(what) = LargeOutput::of(slot) else { continue };
            let bytes =
                self.read(boxes, boxes.buffer(slot), classes.len() as u64 * element).await?;
            self.results.progress.bytes += bytes.len() as u64;
            let (view, whole) = (&problem.view, bytes.len());
            let base = rows_before * view.classes as u64 * element;
            if view.inner == 1 {
                let first = (row.outer.start * view.classes + classes.start) as u64 * element;
                sink.write(what, base + first, &bytes)?;
                continue;
            }
            for (class, at) in classes.clone().zip((0..whole).step_by(element as usize)) {
                let place = row.element_of(view, class) * element;
                sink.write(what, base + place, &bytes[at..at + element as usize])?;
            }
        }
        self.results.timing.read_back += start.elapsed();
        Ok(())
    }

    /// Merges the row's result, and passes its loss to the sink.
    async fn close_row(
        &mut self,
        boxes: &Boxes,
        row: &RowRange,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        // If the GPU fails meanwhile, nothing of the row is merged.
        let result = self.read(boxes, boxes.bound.result().buffer, RESULT_BYTES).await?;
        let decoded = boxes.bound.decode(&result)?;
        let mut outputs = Vec::new();
        for (tensor, buffer) in boxes.of_row().filter(|(tensor, _)| tensor.slot.is_output()) {
            outputs.push((tensor.slot, self.read(boxes, buffer, tensor.bytes()).await?));
        }
        let (Batch { problem, rows_before: before }, results) =
            (&**self.given.batch, &mut *self.results);
        let sums = of_piece(problem, &decoded, row, *before);
        let of_rows = outputs.iter().find(|(slot, _)| *slot == TensorSlot::RowLoss);
        add(&mut results.found, &sums, of_rows.map(|(_, bytes)| &bytes[..]));
        for (slot, bytes) in &outputs {
            match slot {
                TensorSlot::Classes => results.found.classes.add(&class_losses(bytes)?),
                TensorSlot::Record => drop(scatter_records(problem, *before, row, bytes, sink)?),
                slot => drop(scatter(*slot, problem, *before, row, bytes, sink)?),
            }
        }
        results.progress.rows += 1;
        Ok(())
    }

    /// Reads the first bytes of a buffer.
    async fn read(
        &self,
        boxes: &Boxes,
        buffer: &wgpu::Buffer,
        bytes: u64,
    ) -> Result<Vec<u8>, Error> {
        let (gpu, wait) = (self.lane.gpu, self.wait);
        let mut encoder = gpu.encoder();
        let words = bytes.next_multiple_of(4);
        encoder.copy_buffer_to_buffer(buffer, 0, &boxes.readable, 0, words);
        gpu.submitted([encoder.finish()], wait, COMPUTING).await?;
        let mapped = scoped(&gpu.device, COMPUTING, || {
            map(&boxes.readable, wgpu::MapMode::Read, COMPUTING)
        })?;
        wait.for_answers(&gpu.device, None, [&mapped], COMPUTING).await?;
        let view = viewed(gpu, &boxes.readable, COMPUTING)?;
        let bytes = view[..bytes as usize].to_vec();
        drop(view);
        unmap(gpu, &boxes.readable, COMPUTING)?;
        Ok(bytes)
    }
}

impl Boxes {
    /// Allocates buffers for boxes of one row that poses `problem`, as large as the memory budget allows.
    fn new(gpu: &Gpu, problem: &Problem) -> Result<Self, Error> {
        let cut = problem.tensors().filter(CallTensor::has_classes).count();
        // In addition to the tensors: the host's staging for uploads and for reads, and a copy of the latter.
        let copies = cut as u64 + 3;
        // The sums of classes are there whole, and once more for reading.
        let sums = problem.tensor(TensorSlot::Classes).map_or(0, |tensor| 2 * tensor.bytes());
        let of_box = (gpu.memory_budget.saturating_sub(sums) / copies).min(MOST);
        let profile = gpu.kernels.profile();
        let slack = offset_alignment(&gpu.device.limits()) + 64;
        let least = (LEAST + slack).max(least_box(problem, profile)?);
        if of_box < least {
            let needed = least * copies + sums;
            let given = gpu.memory_budget;
            return Err(Error::Budget { what: "a part of one row", needed, given });
        }
        let mut profile: Profile = profile.clone();
        let limit = &mut profile.limits.max_storage_buffer_binding_size;
        *limit = of_box.min(*limit);
        let plan = Plan::of(problem.clone(), &profile)?;

        let mut tensors = Vec::new();
        for tensor in problem.tensors() {
            let bytes = if tensor.has_classes() { of_box } else { tensor.bytes() };
            tensors.push((tensor, storage(gpu, tensor.slot.name(), bytes)?));
        }
        let ranges = tensors.iter().map(|(t, buffer)| (t.slot, buffer.as_entire_buffer_binding()));
        let bound = Bound::new(&gpu.kernels, plan, &Buffers::of(ranges).piecewise())?;
        let readable = of_box.max(sums / 2).next_multiple_of(16);
        let readable = buffers::readable(gpu, "a part of a row", readable)?;
        Ok(Self { bound, tensors, readable, held: Vec::new() })
    }

    /// Returns a dispatch's box, and the tensors that it reads and writes; `None` for dispatches over partials.
    fn dispatch(&self, dispatch: usize) -> Option<Work> {
        let plan = self.bound.plan();
        let dispatch = &plan.all_dispatches()[dispatch];
        let piece = &plan.pieces()[dispatch.piece?];
        let cut = |slot| plan.problem().tensor(slot).filter(CallTensor::has_classes);
        let slots = dispatch.spec.slots().into_iter();
        let tensors = slots.filter_map(|(slot, access)| Some((cut(slot)?, access))).collect();
        Some(Work { classes: piece.classes.clone(), tensors })
    }

    /// Returns the tensors that a row has whole.
    fn of_row(&self) -> impl Iterator<Item = &(CallTensor, wgpu::Buffer)> {
        self.tensors.iter().filter(|(tensor, _)| !tensor.has_classes())
    }

    fn buffer(&self, slot: TensorSlot) -> &wgpu::Buffer {
        // Every slot that a dispatch binds has a buffer in `tensors`, or belongs to the plan.
        let found = self.tensors.iter().find(|(tensor, _)| tensor.slot == slot);
        found.map_or(self.bound.result().buffer, |(_, buffer)| buffer)
    }
}
