//! The tensors of a call, and their sizes.

use super::{LargeOutput, Operand, Pointwise, Problem, Reduction, Upstream};
use crate::classes::CLASS_BYTES;
use crate::tensor::{Axes, ClassView, ElementType, TargetType, TensorSlot};

/// Bytes of a number that is always an f32, and of a word.
const WORD: u64 = 4;

/// A tensor of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CallTensor {
    pub slot: TensorSlot,
    pub axes: Axes,
    /// Size of one element.
    pub element_bytes: u64,
    /// The number of elements.
    pub elements: u64,
    view: ClassView,
}

impl Problem {
    /// Returns the tensors of the call, in the order of their slots.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = CallTensor> + use<'_> {
        TensorSlot::ALL.into_iter().filter_map(|slot| self.tensor(slot))
    }

    /// Returns the tensor of a slot, if the call has it: one row for each.
    pub(crate) fn tensor(&self, slot: TensorSlot) -> Option<CallTensor> {
        let Self { view, outputs, .. } = *self;
        let along = |axes, element_bytes| CallTensor::along(slot, axes, element_bytes, view);
        let of = |axes, element_type: ElementType| along(axes, element_type.bytes().into());
        // Broadcast operands have a size of their own: the axes of an empty input do not determine it.
        let like = |operand: Operand, element_type| CallTensor {
            elements: operand.elements as u64,
            ..of(operand.axes, element_type)
        };
        let operand = |operand: fn(&Pointwise) -> Option<Operand>| {
            let operand = operand(self.pointwise.as_ref()?)?;
            Some(like(operand, operand.element_type))
        };
        // Without classes, each element is a row.
        let rows = if self.pointwise.is_some() { Axes::Elements } else { Axes::Rows };
        match slot {
            TensorSlot::GivenStates => self.states.map(|shards| match shards {
                1 => along(Axes::Rows, self.state_bytes()),
                // They are bound whole: a piece's rows have states in each shard.
                _ => CallTensor {
                    elements: (view.rows() as u64).saturating_mul(shards as u64),
                    ..along(Axes::One, self.state_bytes())
                },
            }),
            TensorSlot::States => outputs.states.then(|| along(Axes::Rows, self.state_bytes())),
            // Of given states, each row's are merged, and nothing else is read or written.
            _ if self.only_merges() => None,
            TensorSlot::Logits => self.reads_logits().then(|| of(Axes::Elements, self.input_type)),
            TensorSlot::Target => match self.target? {
                TargetType::Labels(label) => Some(along(Axes::Rows, label.bytes().into())),
                TargetType::Probabilities(element) => {
                    self.reads_logits().then(|| of(Axes::Elements, element))
                }
                TargetType::Values(_) => operand(|p| Some(p.target)),
            },
            // Each shard of classes has the weights of all of them: labels may be any.
            TensorSlot::Weight if self.class_shard.is_some() => self.weight_type.map(|element| {
                CallTensor { elements: self.all_classes(), ..of(Axes::One, element) }
            }),
            TensorSlot::Weight => self.weight_type.map(|element| of(Axes::Classes, element)),
            TensorSlot::Upstream if !outputs.any_grad() => None,
            TensorSlot::Upstream => match self.upstream {
                Upstream::Ones => None,
                Upstream::Scalar => Some(along(Axes::One, WORD)),
                Upstream::PerRow => Some(along(rows, WORD)),
                Upstream::PerElement(element) => Some(of(Axes::Elements, element)),
            },
            TensorSlot::RowLoss => {
                (self.reduction == Reduction::None && !outputs.states).then(|| along(rows, WORD))
            }
            TensorSlot::Grad => outputs.grad.then(|| of(Axes::Elements, self.output_type)),
            TensorSlot::Distribution => {
                let asked = (outputs.log_probs || outputs.probs) && !outputs.states;
                asked.then(|| of(Axes::Elements, self.output_type))
            }
            TensorSlot::ElementWeight => operand(|p| p.weight),
            TensorSlot::PosWeight => operand(|p| p.pos_weight),
            TensorSlot::Variance => operand(|p| p.var),
            TensorSlot::TargetGrad => {
                let pointwise = self.pointwise.filter(|_| outputs.target_grad)?;
                Some(like(pointwise.target, pointwise.target_grad))
            }
            TensorSlot::VarianceGrad => {
                let pointwise = self.pointwise.filter(|_| outputs.var_grad)?;
                Some(like(pointwise.var?, pointwise.var_grad))
            }
            TensorSlot::RowWeights => self.row_weights.then(|| along(rows, WORD)),
            TensorSlot::Record => {
                let words = self.record().len() as u64;
                (words > 0 && !outputs.states).then(|| along(rows, WORD * words))
            }
            // The sums of all classes are one element: each piece of rows may add to any of them.
            TensorSlot::Classes => outputs
                .class_losses
                .then(|| along(Axes::One, CLASS_BYTES.saturating_mul(view.classes as u64))),
            TensorSlot::Params | TensorSlot::Workspace | TensorSlot::Result => None,
        }
    }

    /// Returns the bytes of a row's state.
    fn state_bytes(&self) -> u64 {
        WORD * self.state_fields().len() as u64
    }
}

impl Problem {
    /// Returns the element type that an output has for a [`Sink`](crate#features); `None` for one of u32.
    ///
    /// ```
    /// use wgpu_loss::loss::{Loss, Shapes};
    /// use wgpu_loss::{CrossEntropy, ElementType, LabelType, LargeOutput, Outputs, TargetType};
    ///
    /// let labels = TargetType::Labels(LabelType::U8);
    /// let shapes = Shapes::new(&[8, 3]).input_type(ElementType::BF16).target(labels, &[8]);
    /// let problem = CrossEntropy::new().problem(&shapes, Outputs::loss().with_grad())?;
    /// assert_eq!(problem.float_type_of(LargeOutput::Grad), Some(ElementType::BF16));
    /// assert_eq!(problem.float_type_of(LargeOutput::Lse), Some(ElementType::F32));
    /// assert_eq!(problem.float_type_of(LargeOutput::Argmax), None);
    /// # Ok::<(), wgpu_loss::Error>(())
    /// ```
    pub fn float_type_of(&self, what: LargeOutput) -> Option<ElementType> {
        let operand = |of: fn(&Pointwise) -> ElementType| self.pointwise.as_ref().map(of);
        match what {
            LargeOutput::Grad | LargeOutput::Distribution => Some(self.output_type),
            LargeOutput::TargetGrad => operand(|pointwise| pointwise.target_grad),
            LargeOutput::VarGrad => operand(|pointwise| pointwise.var_grad),
            LargeOutput::Argmax | LargeOutput::Rank | LargeOutput::States => None,
            LargeOutput::RowLoss
            | LargeOutput::ZLoss
            | LargeOutput::Lse
            | LargeOutput::Entropy
            | LargeOutput::Variance
            | LargeOutput::RowWeights => Some(ElementType::F32),
        }
    }

    /// Returns the axes of an output's elements, if the call may have it: those of the input, of its rows, or of the
    /// variance.
    #[cfg(feature = "reference")]
    pub(crate) fn axes_of(&self, what: LargeOutput) -> Option<Axes> {
        let pointwise = self.pointwise.as_ref();
        match what {
            LargeOutput::Grad | LargeOutput::Distribution | LargeOutput::TargetGrad => {
                Some(Axes::Elements)
            }
            LargeOutput::VarGrad => pointwise?.var.map(|var| var.axes),
            _ if pointwise.is_some() => Some(Axes::Elements),
            _ => Some(Axes::Rows),
        }
    }
}

impl CallTensor {
    /// Returns a tensor that has some of the input's axes.
    fn along(slot: TensorSlot, axes: Axes, element_bytes: u64, view: ClassView) -> Self {
        let extents = axes.extents(&view).map(|extent| extent as u64);
        // A zero extent is handled apart: the product of the others may overflow.
        let elements = match extents.contains(&0) {
            true => 0,
            false => extents.into_iter().fold(1, u64::saturating_mul),
        };
        Self { slot, axes, element_bytes, elements, view }
    }

    /// Returns true if it has the class axis, along which rows are cut.
    pub fn has_classes(&self) -> bool {
        self.axes.has_classes()
    }

    /// Returns its bytes, rounded up to whole words.
    pub fn bytes(&self) -> u64 {
        self.elements
            .saturating_mul(self.element_bytes)
            .checked_next_multiple_of(4)
            .unwrap_or(u64::MAX)
    }

    /// Returns the bytes that belong to one step of the outer axis, of tensors that are cut with it or within it.
    pub fn outer_bytes(&self) -> Option<u64> {
        let [_, classes, inner] = self.axes.extents(&self.view).map(|extent| extent as u64);
        (self.axes.has_outer() || self.axes.has_inner())
            .then(|| classes.saturating_mul(inner).saturating_mul(self.element_bytes))
    }

    /// Returns the offset in bytes of the element that belongs to a position of the input.
    pub fn offset(&self, place: [usize; 3]) -> u64 {
        self.axes.place(&self.view, place) * self.element_bytes
    }
}
