//! A plan joined to buffers: bind groups and parameters are made once and recorded any number of times.

mod binder;
mod bound_dispatch;
mod buffers;
mod reader;
mod result;
mod scratch;

pub use buffers::Buffers;
pub use reader::Reader;
pub use result::{Decoded, RESULT_BYTES};

use std::fmt;
use std::sync::Arc;

use self::binder::Binder;
use self::bound_dispatch::BoundDispatch;
use self::result::decoded;
use self::scratch::{Scratch, Shared, WRITING};
use crate::device::Kernels;
use crate::error_scope::{allocating, scoped};
use crate::plan::Plan;
use crate::{Error, Reduction};

/// A plan bound to buffers, ready to be recorded any number of times.
///
/// Binding allocates the workspace, the parameters and, unless the host has [a range](Buffers::result) for it, the
/// result (some KiB in all); recording allocates nothing on the device and writes nothing. The buffers are kept
/// alive by the bind groups. It may be recorded into one encoder or several, again and again, by any thread.
///
/// ```no_run
/// use wgpu_loss::loss::Shapes;
/// use wgpu_loss::{
///     Bound, Buffers, CrossEntropy, Error, Kernels, LabelType, Outputs, Plan, TargetType, wgpu,
/// };
///
/// /// Runs once.
/// fn bind(kernels: &Kernels, logits: &wgpu::Buffer, labels: &wgpu::Buffer) -> Result<Bound, Error> {
///     let shapes = Shapes::new(&[64, 1000]).target(TargetType::Labels(LabelType::U32), &[64]);
///     let outputs = Outputs::loss().with_grad();
///     let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, kernels.profile())?;
///     let buffers = Buffers::new(logits.as_entire_buffer_binding())
///         .target(labels.as_entire_buffer_binding())
///         .grad_in_place();
///     Bound::new(kernels, plan, &buffers)
/// }
///
/// /// Runs at every step.
/// fn step(pass: &mut wgpu::ComputePass<'_>, bound: &Bound) {
///     // ... the host's forward pass
///     bound.record(pass);
///     // ... its backward pass, which may bind `bound.result()`
/// }
/// ```
pub struct Bound {
    kernels: Kernels,
    plan: Arc<Plan>,
    dispatches: Vec<BoundDispatch>,
    scratch: Scratch,
    label: String,
}

impl Bound {
    /// Binds a plan to buffers. Compiles the plan's kernels that are not cached.
    ///
    /// # Errors
    /// [`Error::Binding`] for a missing or superfluous buffer, [`Error::Range`], [`Error::Usage`] and
    /// [`Error::Overlap`] for ranges that do not fit, [`Error::Feature`] and [`Error::Limit`] for a plan that was made
    /// for another device, or of more than 2^32 - 2 rows, [`Error::OutOfMemory`], [`Error::Lost`], and
    /// [`Error::Device`] for faults that only wgpu detects (a buffer of another device).
    ///
    /// # Panics
    /// wgpu itself may panic on a buffer of another [`wgpu::Instance`], which the library cannot detect: wgpu finds
    /// buffers by their number within an instance.
    pub fn new(
        kernels: &Kernels,
        plan: impl Into<Arc<Plan>>,
        buffers: &Buffers<'_>,
    ) -> Result<Self, Error> {
        let plan = plan.into();
        plan.check_rows()?;
        plan.check_device(&kernels.profile().limits)?;
        buffers.check(&plan)?;
        let label = buffers.label_of(&plan);
        let bytes = plan.workspace_bytes();
        let device = kernels.device();
        let scratch = allocating(device, "the workspace", bytes, || {
            Scratch::new(device, &plan, buffers, &label, Shared::new(device, &plan, &label))
        })?;
        Self::with_scratch(kernels.clone(), plan, buffers, scratch, label)
    }

    /// Binds the same plan to other buffers, at the cost of bind groups, parameters and a result. No kernel is compiled
    /// if the same tensors as before start on 16 bytes, and the workspace is shared, since a queue runs its work in
    /// order. For a ring of frames in flight, and for hosts whose buffers change.
    ///
    /// # Errors
    /// As [`Bound::new`].
    pub fn rebind(&self, buffers: &Buffers<'_>) -> Result<Self, Error> {
        buffers.check(&self.plan)?;
        let label = buffers.label_of(&self.plan);
        let device = self.kernels.device();
        let scratch = scoped(device, "making parameters", || {
            Scratch::new(device, &self.plan, buffers, &label, self.scratch.shared.clone())
        })?;
        Self::with_scratch(self.kernels.clone(), self.plan.clone(), buffers, scratch, label)
    }

    fn with_scratch(
        kernels: Kernels,
        plan: Arc<Plan>,
        buffers: &Buffers<'_>,
        scratch: Scratch,
        label: String,
    ) -> Result<Self, Error> {
        let binder =
            Binder { kernels: &kernels, plan: &plan, buffers, scratch: &scratch, label: &label };
        // One scope for all dispatches: opening one costs as much as a bind group.
        let bound = scoped(kernels.device(), "binding buffers", || {
            let dispatches = plan.all_dispatches().iter().zip(0..);
            let bound = dispatches.map(|(dispatch, index)| binder.bind(dispatch, index));
            bound.collect::<Result<Vec<_>, Error>>()
        })??;
        let (dispatches, blocks): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
        scoped(kernels.device(), WRITING, || scratch.write_params(&blocks))??;
        Ok(Self { kernels, plan, dispatches, scratch, label })
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the debug label: the loss, after [`Buffers::label`] if it is set.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Records the work into a compute pass, as a debug group with the loss's name. Nothing is submitted, polled,
    /// mapped, written or read back.
    ///
    /// It changes the pass's pipeline and bind group 0: a host sets its own again before it dispatches. Bind groups
    /// from 1 on stay set.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.push_debug_group(&self.label);
        self.record_steps(pass);
        pass.pop_debug_group();
    }

    /// Records the work as a compute pass of its own.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.encode_pass(encoder, None);
    }

    /// Records the work as [`Bound::encode`] does, and writes the device's time before and after to a host's queries
    /// (`Features::TIMESTAMP_QUERY`).
    ///
    /// ```no_run
    /// use wgpu_loss::{Bound, wgpu};
    ///
    /// fn timed(encoder: &mut wgpu::CommandEncoder, bound: &Bound, queries: &wgpu::QuerySet) {
    ///     bound.encode_timed(encoder, wgpu::ComputePassTimestampWrites {
    ///         query_set: queries,
    ///         beginning_of_pass_write_index: Some(0),
    ///         end_of_pass_write_index: Some(1),
    ///     });
    /// }
    /// ```
    pub fn encode_timed(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        times: wgpu::ComputePassTimestampWrites<'_>,
    ) {
        self.encode_pass(encoder, Some(times));
    }

    fn encode_pass(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) {
        let label = Some(self.label.as_str());
        let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes };
        self.record_steps(&mut encoder.begin_compute_pass(&descriptor));
    }

    fn record_steps(&self, pass: &mut wgpu::ComputePass<'_>) {
        (0..self.dispatches.len()).for_each(|index| self.record_dispatch(index, pass));
    }

    /// Records one dispatch of the plan.
    pub(crate) fn record_dispatch(&self, index: usize, pass: &mut wgpu::ComputePass<'_>) {
        let dispatch = &self.dispatches[index];
        pass.set_pipeline(&dispatch.pipeline.pipeline);
        pass.set_bind_group(0, &dispatch.bind_group, &[]);
        pass.dispatch_workgroups(dispatch.groups, 1, 1);
    }

    /// Returns the result on the GPU, [`RESULT_BYTES`] long: the host's range, or a buffer with the usages
    /// `STORAGE | COPY_SRC`. A later kernel may bind it as it is. In words of 32 bits:
    ///
    /// | word | | |
    /// |---|---|---|
    /// | 0 | f32 | the reduced loss |
    /// | 1 | f32 | the sum of the rows' weights |
    /// | 2 | u32 | rows that count |
    /// | 3 | u32 | not 0 where something in the rows is NaN or infinite |
    /// | 4 | u32 | bad rows: 0 if all is well |
    /// | 5 | u32 | the first of them, `u32::MAX` where there is none |
    /// | 6, 7 | | its label (64 bits), or the bad value; 0 where there is none |
    /// | 8, 9 | u32 | rows whose loss is not finite, and the first of them, `u32::MAX` where there is none |
    /// | 10 | f32 | the reduced z-loss |
    /// | 11, 12 | u32 | rows whose label is the largest class, and among the first k |
    /// | 13, 14, 15 | f32 | words 0, 1 and 10 once more, times 2^-64: where sums are beyond an f32, those are infinite |
    pub fn result(&self) -> wgpu::BufferBinding<'_> {
        let (buffer, offset) = &self.scratch.result;
        wgpu::BufferBinding { buffer, offset: *offset, size: wgpu::BufferSize::new(RESULT_BYTES) }
    }

    /// Returns a reader that brings the result to the host, with a staging buffer of its own.
    ///
    /// # Errors
    /// [`Error::Usage`] if the result is in a range of a host's buffer without `COPY_SRC`, [`Error::OutOfMemory`],
    /// [`Error::Lost`].
    pub fn reader(&self) -> Result<Reader, Error> {
        Reader::new(self)
    }

    /// Reads the bytes of [`Bound::result`].
    ///
    /// # Errors
    /// [`Error::Length`] for other than [`RESULT_BYTES`] bytes.
    pub fn decode(&self, bytes: &[u8]) -> Result<Decoded, Error> {
        decoded(self.plan.problem(), bytes)
    }

    /// Returns true if the loss is in [`Bound::result`], not in a buffer of its own.
    pub fn is_reduced(&self) -> bool {
        self.plan.problem().reduction != Reduction::None
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bound {:?}, {}", self.label, self.plan)
    }
}
