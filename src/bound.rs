//! A plan joined to buffers: bind groups and parameters made once, recorded any number of times.

use std::sync::Arc;

use crate::kernels::{Access, Kernel, Kernels, Load, Pipeline, Slot, Spec};
use crate::loss::Upstream;
use crate::plan::{
    Alignment, Extent, Params, Plan, Step, bound_slots, offset_alignment, ragged_load,
};
use crate::scope::{allocating, scoped};
use crate::tensor::Axes;
use crate::{BadValue, Error, Reduction, Summary};

/// Bytes of the buffer behind [`Bound::result`].
pub const RESULT_BYTES: u64 = 64;

/// What is in [`Bound::result`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decoded {
    /// The reduced loss.
    pub loss: f32,
    /// The reduced z-loss; 0 where there is none.
    pub z_loss: f32,
    /// What was seen in the rows.
    pub summary: Summary,
}

/// The ranges of a host's buffers that a plan works on.
///
/// Offsets are multiples of 4 bytes; no other alignment is asked for (multiples of 16 are read
/// faster). Inputs need `STORAGE` usage, and so do outputs. A buffer that is written may not also be
/// read, except by [`Buffers::grad_in_place`].
#[derive(Clone, Debug)]
pub struct Buffers<'a> {
    ranges: Vec<(Slot, wgpu::BufferBinding<'a>)>,
    in_place: bool,
    /// Tensors that have the classes' axis are there for one piece at a time, from its first element on.
    piecewise: bool,
}

impl<'a> Buffers<'a> {
    /// The input: logits, or log-probabilities for nll. f32, in the input's shape.
    pub fn new(input: wgpu::BufferBinding<'a>) -> Self {
        Self { ranges: vec![(Slot::Logits, input)], in_place: false, piecewise: false }
    }

    /// Ranges by their slots.
    pub(crate) fn of(ranges: impl Iterator<Item = (Slot, wgpu::BufferBinding<'a>)>) -> Self {
        Self { ranges: ranges.collect(), in_place: false, piecewise: false }
    }

    /// The same, where tensors that have the classes' axis are there for one piece at a time: who records
    /// a step sees to it that its piece is.
    pub(crate) fn piecewise(self) -> Self {
        Self { piecewise: true, ..self }
    }

    fn with(mut self, slot: Slot, range: wgpu::BufferBinding<'a>) -> Self {
        self.ranges.retain(|(other, _)| *other != slot);
        self.ranges.push((slot, range));
        self
    }

    /// Labels in the type the plan names (the range rounded up to whole words); or class probabilities, in
    /// the input's shape; or the target of a loss of single elements.
    pub fn target(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Target, range)
    }

    /// Class weights: f32, one per class.
    pub fn weight(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Weight, range)
    }

    /// The gradient with respect to the loss: f32, one value or one per row.
    pub fn upstream(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Upstream, range)
    }

    /// Row weights: f32, one per row.
    pub fn row_weights(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::RowWeights, range)
    }

    /// Where the rows' records go: for each row one word for each of [`Problem::record`], one behind the
    /// other.
    pub fn records(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Record, range)
    }

    /// Where the sums of classes go: for each class
    /// [`CLASS_BYTES`](crate::gpu::stream::CLASS_BYTES) bytes, which
    /// [`class_losses`](crate::gpu::stream::class_losses) reads.
    pub fn classes(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Classes, range)
    }

    /// Where reduction `none` writes the loss of each row, f32. A reduced loss is in
    /// [`Bound::result`].
    pub fn loss(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::RowLoss, range)
    }

    /// Where the gradient goes: f32, in the input's shape.
    pub fn grad(mut self, range: wgpu::BufferBinding<'a>) -> Self {
        self.in_place = false;
        self.with(Slot::Grad, range)
    }

    /// The gradient overwrites the input.
    pub fn grad_in_place(mut self) -> Self {
        self.in_place = true;
        self.ranges.retain(|(slot, _)| *slot != Slot::Grad);
        self
    }

    /// Where log-probabilities or probabilities go: f32, in the input's shape.
    pub fn elements(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Elements, range)
    }

    /// The weights of the elements, in their own shape.
    pub fn element_weight(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::ElementWeight, range)
    }

    /// The weights of what is positive of the elements, in their own shape.
    pub fn pos_weight(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::PosWeight, range)
    }

    /// The variances, in their own shape.
    pub fn var(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Variance, range)
    }

    /// Where the gradient with respect to the target goes, in the target's shape.
    pub fn target_grad(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::TargetGrad, range)
    }

    /// Where the gradient with respect to the variances goes, in their shape.
    pub fn var_grad(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::VarianceGrad, range)
    }

    fn get(&self, slot: Slot) -> Option<&wgpu::BufferBinding<'a>> {
        let slot = if slot == Slot::Grad && self.in_place { Slot::Logits } else { slot };
        self.ranges.iter().find(|(other, _)| *other == slot).map(|(_, range)| range)
    }

    /// Checks the ranges against what the plan needs.
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        let problem = plan.problem();
        let needed = bound_slots(problem);
        for &slot in &needed {
            let range = self.get(slot).ok_or(Error::Binding { what: slot.name(), needed: true })?;
            check_range(slot, range, self.bytes(slot, plan))?;
        }
        for &(slot, _) in &self.ranges {
            let reduced_upstream = slot == Slot::Upstream && !problem.outputs.any_grad();
            if !needed.contains(&slot) && !reduced_upstream {
                return Err(Error::Binding { what: slot.name(), needed: false });
            }
        }
        if self.in_place && !problem.outputs.grad {
            return Err(Error::Binding { what: Slot::Grad.name(), needed: false });
        }
        if self.in_place && problem.input_type != problem.output_type {
            return Err(Error::Option {
                option: "gradient in place",
                given: problem.output_type.name().into(),
                wanted: "it has the input's element type",
            });
        }
        self.check_sharing(plan, &needed)
    }

    /// The bytes that a slot's range has at least.
    fn bytes(&self, slot: Slot, plan: &Plan) -> u64 {
        let extent = Extent::of(slot, plan.problem());
        if !(self.piecewise && extent.has_classes()) {
            return extent.bytes();
        }
        let pieces = plan.pieces().iter().map(|piece| extent.piece_bytes(piece));
        pieces.map(|bytes| bytes.end - bytes.start).max().unwrap_or(0).next_multiple_of(4)
    }

    /// Refuses outputs that share bytes with anything, or a buffer with an input.
    fn check_sharing(&self, plan: &Plan, slots: &[Slot]) -> Result<(), Error> {
        let written = |slot: Slot| slot.is_output() || (slot == Slot::Logits && self.in_place);
        let range = |slot| {
            let range = self.get(slot)?;
            Some((range.buffer, range.offset, range.offset + self.bytes(slot, plan)))
        };
        for (i, &a) in slots.iter().enumerate() {
            for &b in &slots[i + 1..] {
                let same_tensor = self.in_place && (a, b) == (Slot::Logits, Slot::Grad);
                let (Some(x), Some(y)) = (range(a), range(b)) else { continue };
                if same_tensor || x.0 != y.0 || !(written(a) || written(b)) {
                    continue;
                }
                if x.1 < y.2 && y.1 < x.2 {
                    return Err(Error::Overlap { first: a.name(), second: b.name() });
                }
                if written(a) != written(b) {
                    return Err(Error::SharedBuffer { first: a.name(), second: b.name() });
                }
            }
        }
        Ok(())
    }
}

/// Checks one range: usage, alignment, length, bounds.
fn check_range(slot: Slot, range: &wgpu::BufferBinding<'_>, wanted: u64) -> Result<(), Error> {
    let size = range.buffer.size();
    let given = range.size.map_or(size.saturating_sub(range.offset), |bytes| bytes.get());
    let end = range.offset.saturating_add(given);
    let refuse = |problem: String| {
        Err(Error::Range { what: slot.name(), offset: range.offset, end, size, problem })
    };
    if !range.buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
        return Err(Error::Usage { what: slot.name(), missing: "STORAGE" });
    }
    if !range.offset.is_multiple_of(4) {
        return refuse("does not start at a multiple of 4 bytes".into());
    }
    if range.offset > size || end > size {
        return refuse("reaches past the buffer's end".into());
    }
    if given < wanted {
        return refuse(format!("is too small: {wanted} bytes are wanted"));
    }
    Ok(())
}

/// A plan bound to buffers, ready to be recorded any number of times.
///
/// Binding allocates the workspace, the parameters and the result (some KiB); recording allocates
/// nothing and writes nothing. The buffers are kept alive by the bind groups.
#[derive(Debug)]
pub struct Bound {
    plan: Plan,
    dispatches: Vec<Dispatch>,
    result: wgpu::Buffer,
}

#[derive(Debug)]
struct Dispatch {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    groups: u32,
}

impl Bound {
    /// Binds a plan to buffers. Compiles the kernels the plan needs, where they are not cached.
    ///
    /// # Errors
    /// [`Error::Binding`] for a missing or superfluous buffer, [`Error::Range`], [`Error::Usage`],
    /// [`Error::Overlap`] and [`Error::SharedBuffer`] for ranges that do not fit, [`Error::Limit`] for
    /// more than 2^32 - 2 rows, [`Error::Device`] for what only wgpu knows (a buffer of another device,
    /// memory).
    ///
    /// # Panics
    /// wgpu itself may panic on a buffer of another [`wgpu::Instance`], which nobody can tell from
    /// outside: it finds buffers by their number within an instance.
    pub fn new(kernels: &Kernels, plan: Plan, buffers: &Buffers<'_>) -> Result<Self, Error> {
        plan.check_rows()?;
        buffers.check(&plan)?;
        let binder = Binder { kernels, plan: &plan, buffers, device: kernels.device() };
        let bytes = plan.workspace_bytes();
        let scratch = allocating(kernels.device(), "the workspace", bytes, || binder.scratch())?;
        let mut dispatches = Vec::with_capacity(plan.steps().len());
        let mut blocks = Vec::new();
        for (index, step) in plan.steps().iter().enumerate() {
            let (dispatch, params) = binder.bind(step, index as u64, &scratch)?;
            dispatches.push(dispatch);
            blocks.push(params);
        }
        scoped(kernels.device(), "writing the parameters", || {
            write_params(&scratch.params, scratch.stride, &blocks);
        })?;
        Ok(Self { dispatches, result: scratch.result, plan })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Records the work into a compute pass. Nothing is submitted, polled or read back.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        (0..self.dispatches.len()).for_each(|step| self.record_step(step, pass));
    }

    /// Records one step of the plan.
    pub(crate) fn record_step(&self, step: usize, pass: &mut wgpu::ComputePass<'_>) {
        let dispatch = &self.dispatches[step];
        pass.set_pipeline(&dispatch.pipeline.pipeline);
        pass.set_bind_group(0, &dispatch.bind_group, &[]);
        pass.dispatch_workgroups(dispatch.groups, 1, 1);
    }

    /// The result on the GPU, [`RESULT_BYTES`] long, usages `STORAGE | COPY_SRC`: word 0 is the
    /// reduced loss (f32), word 1 the weight sum (f32), word 10 the reduced z-loss (f32), the rest what
    /// [`Bound::decode`] reads.
    pub fn result(&self) -> &wgpu::Buffer {
        &self.result
    }

    /// Reads the bytes of [`Bound::result`].
    ///
    /// # Errors
    /// [`Error::Length`] for other than [`RESULT_BYTES`] bytes.
    pub fn decode(&self, bytes: &[u8]) -> Result<Decoded, Error> {
        let wanted = RESULT_BYTES as usize;
        if bytes.len() != wanted {
            let shape = vec![wanted];
            return Err(Error::Length { what: "result", given: bytes.len(), wanted, shape });
        }
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
        let problem = self.plan.problem();
        let bits = u64::from(words[7]) << 32 | u64::from(words[6]);
        let signed = problem.label_type().is_some_and(|label| label.signed());
        let value = if signed { i128::from(bits as i64) } else { i128::from(bits) };
        let labels = problem.pointwise.is_none();
        let summary = Summary {
            rows: problem.losses() as u64,
            live: words[2].into(),
            weight: f32::from_bits(words[1]).into(),
            bad: words[4].into(),
            first_bad: (words[4] > 0 && labels).then_some((words[5].into(), value)),
            first_bad_value: (words[4] > 0 && !labels).then_some(BadValue {
                position: words[5].into(),
                what: refused_operand(words[7]),
                value: f32::from_bits(words[6]),
            }),
            nonfinite: words[8].into(),
            first_nonfinite: (words[8] > 0).then_some(words[9].into()),
            correct: words[11].into(),
            top_k: words[12].into(),
        };
        let [loss, z_loss] = [words[0], words[10]].map(f32::from_bits);
        Ok(Decoded { loss, z_loss, summary })
    }

    /// Whether the loss is in [`Bound::result`], not in a buffer of its own.
    pub fn is_reduced(&self) -> bool {
        self.plan.problem().reduction != Reduction::None
    }
}

/// The operand of that number in `formulas.wgsl`.
fn refused_operand(number: u32) -> &'static str {
    match number {
        1 => "input",
        2 => "target",
        _ => "var",
    }
}

/// Bytes between stand-ins: a multiple of every device's offset alignment.
const NOTHING_STRIDE: u64 = 256;

/// The buffers that binding makes.
struct Scratch {
    params: wgpu::Buffer,
    /// Bytes from one step's parameters to the next.
    stride: u64,
    workspace: wgpu::Buffer,
    result: wgpu::Buffer,
    /// Stand in for tensors without elements, those that are read and those that are written: wgpu
    /// binds no empty range, and no buffer as both.
    nothing: [wgpu::Buffer; 2],
}

struct Binder<'a> {
    kernels: &'a Kernels,
    device: &'a wgpu::Device,
    plan: &'a Plan,
    buffers: &'a Buffers<'a>,
}

/// A bound range and how far behind its start the piece begins, in bytes.
struct Place<'a> {
    range: wgpu::BufferBinding<'a>,
    lead: u64,
}

impl Binder<'_> {
    fn scratch(&self) -> Scratch {
        let alignment = self.device.limits().min_uniform_buffer_offset_alignment;
        let stride = (size_of::<Params>() as u64).next_multiple_of(u64::from(alignment));
        let make = |label, size, usage, mapped_at_creation| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation,
            })
        };
        let storage = wgpu::BufferUsages::STORAGE;
        let steps = self.plan.steps().len() as u64;
        Scratch {
            // Mapped at creation: parameters are written here and never again.
            params: make("wgpu-loss params", stride * steps, wgpu::BufferUsages::UNIFORM, true),
            stride,
            workspace: make("wgpu-loss workspace", self.plan.workspace_bytes(), storage, false),
            result: make(
                "wgpu-loss result",
                RESULT_BYTES,
                storage | wgpu::BufferUsages::COPY_SRC,
                false,
            ),
            nothing: ["wgpu-loss nothing to read", "wgpu-loss nothing to write"]
                .map(|label| make(label, NOTHING_STRIDE * Slot::COUNT, storage, false)),
        }
    }

    /// The bytes of a slot that a step binds. Offsets are cut down to the device's alignment.
    fn place<'s>(
        &'s self,
        (slot, access): (Slot, Access),
        step: &Step,
        scratch: &'s Scratch,
    ) -> Place<'s> {
        let nothing = Place {
            range: wgpu::BufferBinding {
                buffer: &scratch.nothing[usize::from(access == Access::Write)],
                offset: slot as u64 * NOTHING_STRIDE,
                size: wgpu::BufferSize::new(16),
            },
            lead: 0,
        };
        let whole =
            |buffer: &'s wgpu::Buffer| Place { range: buffer.as_entire_buffer_binding(), lead: 0 };
        let given = match slot {
            Slot::Workspace => return whole(&scratch.workspace),
            Slot::Result => return whole(&scratch.result),
            _ => match self.buffers.get(slot) {
                Some(given) => given,
                None => return nothing,
            },
        };
        let extent = Extent::of(slot, self.plan.problem());
        let mut bytes = match (step.piece, slot) {
            (_, Slot::Classes) => 0..extent.bytes(),
            (Some(piece), _) => extent.piece_bytes(&self.plan.pieces()[piece]),
            (None, _) => return nothing,
        };
        if bytes.is_empty() {
            return nothing;
        }
        if self.buffers.piecewise && extent.has_classes() {
            bytes = 0..bytes.end - bytes.start;
        }
        let alignment = offset_alignment(&self.device.limits());
        let (start, end) = (given.offset + bytes.start, given.offset + bytes.end);
        let offset = start / alignment * alignment;
        // A load that has a row's last element may reach behind it, to be read and never written.
        let whole =
            |bytes| Some(end.next_multiple_of(bytes)).filter(|&end| end <= given.buffer.size());
        let end = whole(32).or(whole(16)).unwrap_or(end.next_multiple_of(4));
        let size = wgpu::BufferSize::new(end - offset);
        Place {
            range: wgpu::BufferBinding { buffer: given.buffer, offset, size },
            lead: start - offset,
        }
    }

    /// The variant of a step's kernel that these buffers allow.
    fn variant(&self, step: &Step, scratch: &Scratch) -> Spec {
        let mut spec = step.spec;
        if !spec.is_softmax() && spec.kernel != Kernel::Pointwise {
            return spec;
        }
        spec.in_place = self.buffers.in_place && spec.grad;
        let step = Step { spec, ..step.clone() };
        let alignment = match spec.kernel {
            Kernel::Pointwise => self.alignment_of_elements(&step, scratch),
            _ => self.alignment(&step, scratch),
        };
        self.plan.variant(&step, alignment)
    }

    /// How the tensors of single elements lie: those in the input's shape, and those that are broadcast
    /// (`weights`).
    fn alignment_of_elements(&self, step: &Step, scratch: &Scratch) -> Alignment {
        let problem = self.plan.problem();
        let lies = |whole: bool, load: Load| {
            step.spec.slots().into_iter().all(|(slot, access)| {
                let extent = Extent::of(slot, problem);
                if access == Access::Uniform || (extent.axes == Axes::Elements) != whole {
                    return true;
                }
                let bytes = extent.element_bytes * load.elements() as u64;
                let place = self.place((slot, access), step, scratch);
                // A shader sees no part of a load.
                let size = place.range.size.map_or(0, |size| size.get());
                place.lead.is_multiple_of(bytes) && (whole || size.is_multiple_of(bytes))
            })
        };
        let loads = [Load::Eight, Load::Four];
        let load = loads.into_iter().find(|&load| lies(true, load)).unwrap_or(Load::One);
        let weights = lies(false, load);
        Alignment { load, alike: false, labels: false, weights, records: false }
    }

    /// How the tensors that a step reads and writes in loads lie in their bindings.
    fn alignment(&self, step: &Step, scratch: &Scratch) -> Alignment {
        let problem = self.plan.problem();
        let labels = problem.label_type().is_some();
        let loaded = |slot| match slot {
            Slot::Logits | Slot::Grad | Slot::Elements => true,
            Slot::Target => !labels,
            Slot::Upstream => matches!(problem.upstream, Upstream::PerElement(_)),
            _ => false,
        };
        // Elements in front of each tensor in its binding.
        let mut leads = Vec::new();
        let ragged = ragged_load(problem.input_type).elements() as u64;
        let mut whole = true;
        for (slot, access) in step.spec.slots() {
            if loaded(slot) {
                let place = self.place((slot, access), step, scratch);
                let bytes = Extent::of(slot, problem).element_bytes;
                leads.push(place.lead / bytes);
                // A shader sees no part of a load.
                let load = bytes * ragged;
                whole &= place.range.size.is_some_and(|size| size.get().is_multiple_of(load));
            }
        }
        let all = |load: Load| leads.iter().all(|lead| lead % load.elements() as u64 == 0);
        Alignment {
            load: match () {
                () if all(Load::Eight) => Load::Eight,
                () if all(Load::Four) => Load::Four,
                () => Load::One,
            },
            alike: whole && leads.iter().all(|lead| lead % ragged == leads[0] % ragged),
            labels: self.labels_start_on_packs(step, scratch),
            records: self.starts_on(Slot::Record, 16, step, scratch),
            weights: self.starts_on(
                Slot::Weight,
                4 * Extent::of(Slot::Weight, problem).element_bytes,
                step,
                scratch,
            ),
        }
    }

    /// Whether the labels of four rows come in one load, or two.
    fn labels_start_on_packs(&self, step: &Step, scratch: &Scratch) -> bool {
        let label = self.plan.problem().label_type();
        let load = label.map(|label| u64::from(4 * label.bytes()).min(16));
        load.is_some_and(|load| self.starts_on(Slot::Target, load, step, scratch))
    }

    /// Whether a tensor starts on a load of so many bytes, and its binding holds the last one whole.
    fn starts_on(&self, slot: Slot, load: u64, step: &Step, scratch: &Scratch) -> bool {
        let place = self.place((slot, Access::Read), step, scratch);
        let size = place.range.size.map_or(0, |size| size.get());
        place.lead.is_multiple_of(load) && size.is_multiple_of(load)
    }

    /// The dispatch of a step and its parameters.
    fn bind(
        &self,
        step: &Step,
        index: u64,
        scratch: &Scratch,
    ) -> Result<(Dispatch, Params), Error> {
        let spec = self.variant(step, scratch);
        let pipeline = self.kernels.get(&spec)?;
        let mut params = self.plan.params(step, &spec);
        let mut entries = Vec::new();
        for (slot, access) in spec.slots() {
            let range = if slot == Slot::Params {
                wgpu::BufferBinding {
                    buffer: &scratch.params,
                    offset: index * scratch.stride,
                    size: wgpu::BufferSize::new(size_of::<Params>() as u64),
                }
            } else {
                let place = self.place((slot, access), step, scratch);
                self.set_origin(&mut params, slot, place.lead, &spec);
                place.range
            };
            let resource = wgpu::BindingResource::Buffer(range);
            entries.push(wgpu::BindGroupEntry { binding: slot as u32, resource });
        }
        let bind_group = scoped(self.device, "binding buffers", || {
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgpu-loss"),
                layout: &pipeline.layout,
                entries: &entries,
            })
        })?;
        Ok((Dispatch { pipeline, bind_group, groups: step.groups }, params))
    }

    fn set_origin(&self, params: &mut Params, slot: Slot, lead: u64, spec: &Spec) {
        let extent = Extent::of(slot, self.plan.problem());
        let elements = (lead / extent.element_bytes) as u32;
        if spec.is_pointwise() {
            // What is not bound in loads is counted in elements.
            let load = if spec.reads_singly(slot) { 1 } else { spec.load.elements() as u32 };
            let origin = match slot {
                Slot::Logits => &mut params.logits_origin,
                Slot::Grad => &mut params.grad_origin,
                Slot::RowLoss => &mut params.row_loss_origin,
                Slot::Upstream => &mut params.upstream_origin,
                Slot::Target => &mut params.target_origin,
                Slot::ElementWeight => &mut params.element_weight_origin,
                Slot::PosWeight => &mut params.pos_weight_origin,
                Slot::Variance => &mut params.variance_origin,
                Slot::TargetGrad => &mut params.target_grad_origin,
                Slot::VarianceGrad => &mut params.variance_grad_origin,
                _ => return,
            };
            *origin = elements / load;
            if slot == Slot::Logits && spec.in_place {
                params.grad_origin = params.logits_origin;
            }
            return;
        }
        // Rows that do not start on a load are counted in elements.
        let packs = if spec.ragged { elements } else { elements / spec.load.elements() as u32 };
        match slot {
            Slot::Logits if spec.in_place => {
                (params.logits_origin, params.grad_origin) = (packs, packs);
            }
            Slot::Logits => params.logits_origin = packs,
            Slot::Grad => params.grad_origin = packs,
            Slot::Elements => params.elements_origin = packs,
            Slot::RowLoss => params.row_loss_origin = elements,
            Slot::RowWeights => params.row_weights_origin = elements,
            Slot::Record if spec.record_packs => params.record_origin = (lead / 16) as u32,
            Slot::Record => params.record_origin = (lead / 4) as u32,
            Slot::Classes => params.classes_origin = (lead / 4) as u32,
            Slot::Upstream if spec.has_wide_upstream() => params.probabilities_origin = packs,
            Slot::Upstream => params.upstream_origin = elements,
            Slot::Weight => params.weight_origin = elements,
            Slot::Target if spec.label_type().is_none() => params.probabilities_origin = packs,
            Slot::Target if spec.label_packs => {
                params.label_origin = (lead / (4 * extent.element_bytes).min(16)) as u32;
            }
            // Labels of two words may start at any word.
            Slot::Target => params.label_origin = (lead / extent.element_bytes.min(4)) as u32,
            _ => {}
        }
    }
}

/// Writes the steps' parameters into their buffer, mapped since its creation.
fn write_params(buffer: &wgpu::Buffer, stride: u64, blocks: &[Params]) {
    for (index, block) in blocks.iter().enumerate() {
        let start = index as u64 * stride;
        let range = start..start + size_of::<Params>() as u64;
        if let Ok(mut view) = buffer.get_mapped_range_mut(range) {
            view.copy_from_slice(bytemuck::bytes_of(block));
        }
    }
    buffer.unmap();
}
