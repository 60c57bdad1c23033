//! The ranges of a host's buffers, and what they have to be like.

use super::result::RESULT_BYTES;
use crate::Error;
use crate::plan::Plan;
use crate::tensor::Slot;

/// The ranges of a host's buffers that a plan works on.
///
/// Offsets are multiples of 4 bytes; no other alignment is asked for (multiples of 16 are read
/// faster). Inputs need `STORAGE` usage, and so do outputs.
///
/// All of them may lie in one buffer (an arena). wgpu refuses a buffer that one dispatch binds to be read and to be
/// written, even where the ranges do not meet; where a buffer holds tensors of both kinds, all are bound to be
/// written. Ranges that are written may not meet any other, except by [`Buffers::grad_in_place`].
///
/// ```no_run
/// use wgpu_loss::{Buffers, RESULT_BYTES, wgpu};
///
/// /// 64 rows of 1000 logits, their labels, the gradient and the result, one behind the other.
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
    ranges: Vec<(Slot, wgpu::BufferBinding<'a>)>,
    pub(super) in_place: bool,
    /// Tensors that have the classes' axis are there for one piece at a time, from its first element on.
    pub(super) piecewise: bool,
    label: Option<&'a str>,
}

impl<'a> Buffers<'a> {
    /// The input: logits, or log-probabilities for nll. f32, in the input's shape.
    pub fn new(input: wgpu::BufferBinding<'a>) -> Self {
        Self { ranges: vec![(Slot::Logits, input)], in_place: false, piecewise: false, label: None }
    }

    /// Ranges by their slots.
    pub(crate) fn of(ranges: impl Iterator<Item = (Slot, wgpu::BufferBinding<'a>)>) -> Self {
        Self { ranges: ranges.collect(), in_place: false, piecewise: false, label: None }
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

    /// Where the rows' records go: for each row one word for each of [`Problem::record`](crate::Problem::record), one behind the
    /// other.
    pub fn records(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Record, range)
    }

    /// Where the sums of classes go: for each class [`CLASS_BYTES`](crate::CLASS_BYTES) bytes, which
    /// [`class_losses`](crate::class_losses) reads.
    pub fn classes(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Classes, range)
    }

    /// Where reduction `none` writes the loss of each row, f32. A reduced loss is in
    /// [`Bound::result`](crate::Bound::result).
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

    /// Where the result goes, instead of a buffer that [`Bound`](crate::Bound) makes:
    /// [`RESULT_BYTES`] in the layout that [`Bound::result`](crate::Bound::result) tells.
    pub fn result(self, range: wgpu::BufferBinding<'a>) -> Self {
        self.with(Slot::Result, range)
    }

    /// What debug labels begin with: which of a host's losses it is.
    pub fn label(self, label: &'a str) -> Self {
        Self { label: Some(label), ..self }
    }

    /// What debug labels of a plan over these buffers say.
    pub(super) fn label_of(&self, plan: &Plan) -> String {
        let name = plan.problem().function.name();
        match self.label {
            Some(label) => format!("{label}: wgpu-loss {name}"),
            None => format!("wgpu-loss {name}"),
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&wgpu::BufferBinding<'a>> {
        let slot = if slot == Slot::Grad && self.in_place { Slot::Logits } else { slot };
        self.ranges.iter().find(|(other, _)| *other == slot).map(|(_, range)| range)
    }

    /// Checks the ranges against what the plan needs.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), Error> {
        let problem = plan.problem();
        let mut needed: Vec<Slot> = problem.tensors().map(|tensor| tensor.slot).collect();
        needed.extend(self.get(Slot::Result).map(|_| Slot::Result));
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

    /// The bytes that the range of a tensor, or of the result, has at least.
    fn bytes(&self, slot: Slot, plan: &Plan) -> u64 {
        let Some(tensor) = plan.problem().tensor(slot) else { return RESULT_BYTES };
        if !(self.piecewise && tensor.has_classes()) {
            return tensor.bytes();
        }
        let pieces = plan.pieces().iter().map(|piece| piece.bytes_of(&tensor));
        pieces.map(|bytes| bytes.end - bytes.start).max().unwrap_or(0).next_multiple_of(4)
    }

    /// Refuses outputs that share bytes with anything.
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
