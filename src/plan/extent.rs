//! How large each tensor is, and which bytes of it belong to a piece.

use std::ops::Range;

use super::piece::Piece;
use crate::Problem;
use crate::classes::CLASS_BYTES;
use crate::loss::{Operand, Upstream};
pub(crate) use crate::tensor::Axes;
use crate::tensor::{ClassView, ElementType, Slot, TargetType};

/// The bytes of one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    /// Size of one element.
    pub element_bytes: u64,
    pub axes: Axes,
    /// How many there are.
    elements: u64,
    view: ClassView,
}

impl Extent {
    /// The tensor of a slot.
    pub fn of(slot: Slot, problem: &Problem) -> Self {
        if let Some(extent) = Self::of_element(slot, problem) {
            return extent;
        }
        let axes = match slot {
            Slot::Logits | Slot::Grad | Slot::Elements => Axes::Elements,
            Slot::Target if problem.label_type().is_none() => Axes::Elements,
            Slot::Target | Slot::RowLoss | Slot::RowWeights | Slot::Record => Axes::Rows,
            Slot::Upstream if matches!(problem.upstream, Upstream::PerElement(_)) => Axes::Elements,
            Slot::Upstream if problem.upstream == Upstream::PerRow => Axes::Rows,
            Slot::Weight => Axes::Classes,
            // The sums of all classes are one thing: pieces of rows have a part in any of them.
            Slot::Classes => Axes::One,
            // Only losses of single elements have the others.
            _ => Axes::One,
        };
        Self::along(axes, element_bytes(slot, problem), problem)
    }

    /// A tensor that has some of the input's axes.
    fn along(axes: Axes, element_bytes: u64, problem: &Problem) -> Self {
        let view = problem.view;
        let extents = axes.extents(&view).map(|extent| extent as u64);
        // Without a zero among them: the product of the others may be too large for a number.
        let elements = match extents.contains(&0) {
            true => 0,
            false => extents.into_iter().fold(1, u64::saturating_mul),
        };
        Self { element_bytes, axes, elements, view }
    }

    /// The tensor of a slot, for a loss of single elements.
    fn of_element(slot: Slot, problem: &Problem) -> Option<Self> {
        let pointwise = problem.pointwise?;
        let of = |operand: Option<Operand>| {
            operand.map_or((Axes::One, ElementType::F32), |o| (o.axes, o.element_type))
        };
        // The axes of an empty input do not tell how large the tensors are that are broadcast to it.
        let operand = match slot {
            Slot::Target | Slot::TargetGrad => Some(pointwise.target),
            Slot::ElementWeight => pointwise.weight,
            Slot::PosWeight => pointwise.pos_weight,
            Slot::Variance | Slot::VarianceGrad => pointwise.var,
            _ => None,
        };
        let (axes, element_type) = match slot {
            Slot::Logits => (Axes::Elements, problem.input_type),
            Slot::Grad => (Axes::Elements, problem.output_type),
            Slot::RowLoss => (Axes::Elements, ElementType::F32),
            Slot::Upstream if problem.upstream == Upstream::PerRow => {
                (Axes::Elements, ElementType::F32)
            }
            Slot::Target => of(Some(pointwise.target)),
            Slot::ElementWeight => of(pointwise.weight),
            Slot::PosWeight => of(pointwise.pos_weight),
            Slot::Variance => of(pointwise.var),
            Slot::TargetGrad => (pointwise.target.axes, pointwise.target_grad),
            Slot::VarianceGrad => (of(pointwise.var).0, pointwise.var_grad),
            _ => (Axes::One, ElementType::F32),
        };
        let extent = Self::along(axes, element_type.bytes().into(), problem);
        let elements = operand.map_or(extent.elements, |operand| operand.elements as u64);
        Some(Self { elements, ..extent })
    }

    /// Whether it has the classes' axis, along which rows are cut.
    pub fn has_classes(&self) -> bool {
        self.axes.has_classes()
    }

    /// Elements in all.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Bytes that go with one step of the outer axis, for tensors that are cut with it or within it.
    pub fn outer_bytes(&self) -> Option<u64> {
        let [_, classes, inner] = self.axes.extents(&self.view).map(|extent| extent as u64);
        (self.axes.has_outer() || self.axes.has_inner())
            .then(|| classes.saturating_mul(inner).saturating_mul(self.element_bytes))
    }

    /// Bytes in all, rounded up to whole words.
    pub fn bytes(&self) -> u64 {
        self.elements
            .saturating_mul(self.element_bytes)
            .checked_next_multiple_of(4)
            .unwrap_or(u64::MAX)
    }

    /// The bytes from the first element of a piece to its last one: not rounded, since small elements
    /// may start inside a word. Some of those between may be other pieces'.
    pub fn piece_bytes(&self, piece: &Piece) -> Range<u64> {
        if self.elements == 0 {
            return 0..0;
        }
        let Piece { outer, classes, inner } = piece;
        let first = self.axes.place(&self.view, [outer.start, classes.start, inner.start]);
        let last = [outer.end - 1, classes.end.saturating_sub(1), inner.end - 1];
        let last = self.axes.place(&self.view, last);
        first * self.element_bytes..(last + 1) * self.element_bytes
    }
}

/// Size of one element of a slot's tensor.
fn element_bytes(slot: Slot, problem: &Problem) -> u64 {
    let bytes = match slot {
        Slot::Logits => problem.input_type.bytes(),
        Slot::Grad | Slot::Elements => problem.output_type.bytes(),
        Slot::Weight => problem.weight_type.map_or(4, ElementType::bytes),
        Slot::Target => match problem.target {
            Some(TargetType::Labels(label)) => label.bytes(),
            Some(TargetType::Probabilities(element) | TargetType::Values(element)) => {
                element.bytes()
            }
            None => 4,
        },
        Slot::Upstream => match problem.upstream {
            Upstream::PerElement(element) => element.bytes(),
            _ => 4,
        },
        Slot::Record => 4 * problem.record().len() as u32,
        Slot::Classes => return CLASS_BYTES.saturating_mul(problem.view.classes as u64),
        _ => 4,
    };
    bytes.into()
}
