//! The ranges of a host's buffers, and the requirements on them.

use super::result::RESULT_BYTES;
use crate::Error;
use crate::plan::Plan;
use crate::tensor::TensorSlot;

/// The ranges of a host's buffers that a plan works on.
///
/// Offsets must be multiples of 4 bytes (multiples of 16 are read faster). Inputs and outputs need `STORAGE` usage.
///
/// All of them may lie in one buffer (an arena). wgpu does not allow one dispatch to bind a buffer both for reading and
/// for writing, even if the ranges are disjoint; where a buffer holds tensors of both kinds, all are bound for writing.
/// Ranges that are written may not overlap any other, except by [`Buffers::grad_in_place`].
///
/// ```no_run
/// use wgpu_loss::{Buffers, RESULT_BYTES, wgpu};
///
/// /// 64 rows of 1000 logits, their labels, the gradient and the result, one after the other.
/// fn buffers(arena: &wgpu::Buffer) -> Buffers<'_> {
///     let range = |offset, bytes| wgpu::BufferBinding {
///         buffer: arena,
///         offset,
///         size: wgpu::BufferSize::new(bytes),
///     };
///     Buffers::new(range(0, 256_000))
///         .target(range(256_000, 256))
///         .grad(range(256_256, 256_000))
///         .result(range(512_256, RESULT_BYTES))
///         .label("student")
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Buffers<'a> {
    ranges: Vec<(TensorSlot, wgpu::BufferBinding<'a>)>,
    pub(super) in_place: bool,
    /// True if tensors with a class axis hold one piece at a time, from its first element on.
    pub(super) piecewise: bool,
    label: Option<&'a str>,
}

impl<'a> Buffers<'a> {
    /// Returns buffers with the input: logits, or log-probabilities for nll. f32, in the input's shape.
    pub fn new(input: wgpu::BufferBinding<'a>) -> Self {
        Self {
            ranges: vec![(TensorSlot::Logits, input)],
            in_place: false,
            piecewise: false,
            label: None,
        }
    }

    /// Returns buffers of ranges by their slots.
    pub(crate) fn of(ranges: impl Iterator<Item = (TensorSlot, wgpu::BufferBinding<'a>)>) -> Self {
        Self { ranges: ranges.collect(), in_place: false, piecewise: false, label: None }
    }

    /// Marks tensors with a class axis as holding one piece at a time: the caller must put a dispatch's piece in place
    /// before it records the dispatch.
    pub(crate) fn piecewise(self) -> Self {
        Self { piecewise: true, ..self }
    }

    fn with(mut self, slot: TensorSlot, range: wgpu::BufferBinding<'a>) -> Self {
        self.ranges.retain(|(other, _)| *other != slot);
        self.ranges.push((slot, range));
        self
    }

    /// Sets the target: labels in the plan's type (the range rounded up to whole words); or class probabilities, in the
    /// input's shape; or the target of a loss of single elements.
    pub fn target(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::Target, range)
    }

    /// Sets the class weights: f32, one per class.
    pub fn weight(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::Weight, range)
    }

    /// Sets the gradient with respect to the loss: f32, one value or one per row.
    pub fn upstream(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::Upstream, range)
    }

    /// Sets the row weights: f32, one per row.
    pub fn row_weights(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::RowWeights, range)
    }

    /// Sets the range of the rows' records: one after the other, each with one word for each output of
    /// [`Problem::record`](crate::Problem::record).
    pub fn records(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::Record, range)
    }

    /// Sets the range of the sums of classes: for each class [`CLASS_BYTES`](crate::CLASS_BYTES) bytes, which
    /// [`class_losses`](crate::class_losses) reads.
    pub fn classes(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::Classes, range)
    }

    /// Sets the range of the loss of each row, f32, for reduction `none`. A reduced loss is in
    /// [`Bound::result`](crate::Bound::result).
    pub fn loss(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::RowLoss, range)
    }

    /// Sets the range of the gradient: f32, in the input's shape.
    pub fn grad(mut self, range: wgpu::BufferBinding<'a>) -> Self {
        self.in_place = false;
        self.with(TensorSlot::Grad, range)
    }

    /// Makes the gradient overwrite the input.
    pub fn grad_in_place(mut self) -> Self {
        self.in_place = true;
        self.ranges.retain(|(slot, _)| *slot != TensorSlot::Grad);
        self
    }

    /// Sets the range of the log-probabilities or probabilities: f32, in the input's shape.
    pub fn distribution(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::Distribution, range)
    }

    /// Sets the weights of the elements, in their own shape.
    pub fn element_weight(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::ElementWeight, range)
    }

    /// Sets the weights of the positive parts of the elements' losses, in their own shape.
    pub fn pos_weight(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::PosWeight, range)
    }

    /// Sets the variances, in their own shape.
    pub fn var(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::Variance, range)
    }

    /// Sets the range of the gradient with respect to the target, in the target's shape.
    pub fn target_grad(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::TargetGrad, range)
    }

    /// Sets the range of the gradient with respect to the variances, in their shape.
    pub fn var_grad(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::VarianceGrad, range)
    }

    /// Sets the states of the rows over all classes, those of the shards one after the other: for each row a word for each
    /// of [`Problem::state_fields`](crate::Problem::state_fields).
    pub fn given_states(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::GivenStates, range)
    }

    /// Sets the range of the rows' states, which [`Outputs::only_states`](crate::Outputs::only_states) requests: for each
    /// row a word for each of [`Problem::state_fields`](crate::Problem::state_fields).
    pub fn states(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::States, range)
    }

    /// Sets the range of the result, which replaces a buffer that [`Bound`](crate::Bound) makes: [`RESULT_BYTES`] in
    /// the layout of [`Bound::result`](crate::Bound::result).
    pub fn result(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(TensorSlot::Result, range)
    }

    /// Sets the beginning of debug labels: the name of this loss among the host's.
    pub fn label(self, label: &'a str) -> Self {
        Self { label: Some(label), ..self }
    }

    /// Returns the debug label of a plan over these buffers.
    pub(super) fn label_of(&self, plan: &Plan) -> String {
        let name = plan.problem().function.name();
        match self.label {
            Some(label) => format!("{label}: wgpu-loss {name}"),
            None => format!("wgpu-loss {name}"),
        }
    }

    pub(super) fn get(&self, slot: TensorSlot) -> Option<&wgpu::BufferBinding<'a>> {
        let slot =
            if slot == TensorSlot::Grad && self.in_place { TensorSlot::Logits } else { slot };
        self.ranges.iter().find(|(other, _)| *other == slot).map(|(_, range)| range)
    }

    /// Checks the ranges against the plan's needs.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), Error> {
        let problem = plan.problem();
        let mut needed: Vec<TensorSlot> = problem.tensors().map(|tensor| tensor.slot).collect();
        needed.extend(self.get(TensorSlot::Result).map(|_| TensorSlot::Result));
        for &slot in &needed {
            let range = self.get(slot).ok_or(Error::Binding { what: slot.name(), needed: true })?;
            check_range(slot, range, self.bytes(slot, plan))?;
        }
        for &(slot, _) in &self.ranges {
            let reduced_upstream = slot == TensorSlot::Upstream && !problem.outputs.any_grad();
            // A plan from states may read nothing of a shard, which the host's other plans of the same buffers do.
            let of_shard = problem.states.is_some() && is_of_shard(slot);
            if !needed.contains(&slot) && !reduced_upstream && !of_shard {
                return Err(Error::Binding { what: slot.name(), needed: false });
            }
        }
        if self.in_place && !problem.outputs.grad {
            return Err(Error::Binding { what: TensorSlot::Grad.name(), needed: false });
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

    /// Returns the fewest bytes that the range of a tensor, or of the result, may have.
    fn bytes(&self, slot: TensorSlot, plan: &Plan) -> u64 {
        let Some(tensor) = plan.problem().tensor(slot) else { return RESULT_BYTES };
        if !(self.piecewise && tensor.has_classes()) {
            return tensor.bytes();
        }
        let pieces = plan.pieces().iter().map(|piece| piece.bytes_of(&tensor));
        pieces.map(|bytes| bytes.end - bytes.start).max().unwrap_or(0).next_multiple_of(4)
    }

    /// Returns an error if an output shares bytes with another range.
    fn check_sharing(&self, plan: &Plan, slots: &[TensorSlot]) -> Result<(), Error> {
        let written =
            |slot: TensorSlot| slot.is_output() || (slot == TensorSlot::Logits && self.in_place);
        let range = |slot| {
            let range = self.get(slot)?;
            Some((range.buffer, range.offset, range.offset + self.bytes(slot, plan)))
        };
        for (i, &a) in slots.iter().enumerate() {
            for &b in &slots[i + 1..] {
                let same_tensor = self.in_place && (a, b) == (TensorSlot::Logits, TensorSlot::Grad);
                let (Some(x), Some(y)) = (range(a), range(b)) else { continue };
                if same_tensor || x.0 != y.0 || !(written(a) || written(b)) {
                    continue;
                }
                if x.1 < y.2 && y.1 < x.2 {
                    return Err(Error::Overlap { first: a.name(), second: b.name() });
                }
            }
        }
        Ok(())
    }
}

/// Returns true for the tensors of a shard of classes.
fn is_of_shard(slot: TensorSlot) -> bool {
    use TensorSlot::{Logits, RowWeights, Target, Upstream, Weight};
    matches!(slot, Logits | RowWeights | Target | Upstream | Weight)
}

/// Checks one range: usage, alignment, length, bounds.
fn check_range(
    slot: TensorSlot,
    range: &wgpu::BufferBinding<'_>,
    wanted: u64,
) -> Result<(), Error> {
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
        return refuse(format!("is too small: {wanted} bytes are needed"));
    }
    Ok(())
}
