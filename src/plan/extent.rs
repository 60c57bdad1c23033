//! How large each tensor is, and which bytes of it belong to a piece.

use std::ops::Range;

use super::{CLASS_WORDS, Piece};
use crate::Problem;
use crate::kernels::Slot;
use crate::loss::Upstream;
use crate::tensor::{ClassView, ElementType, TargetType};

/// The axes of the input that a tensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axes {
    /// All of them: one element for each logit.
    Elements,
    /// One element for each row.
    Rows,
    /// One element for each class.
    Classes,
    /// One element.
    One,
}

/// The bytes of one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    /// Size of one element.
    pub element_bytes: u64,
    pub axes: Axes,
    view: ClassView,
}

impl Extent {
    /// The tensor of a slot.
    pub fn of(slot: Slot, problem: &Problem) -> Self {
        let axes = match slot {
            Slot::Logits | Slot::Grad | Slot::Elements => Axes::Elements,
            Slot::Target if problem.label_type().is_none() => Axes::Elements,
            Slot::Target | Slot::RowLoss | Slot::RowWeights | Slot::Record => Axes::Rows,
            Slot::Upstream if matches!(problem.upstream, Upstream::PerElement(_)) => Axes::Elements,
            Slot::Upstream if problem.upstream == Upstream::PerRow => Axes::Rows,
            Slot::Weight => Axes::Classes,
            // The sums of all classes are one thing: pieces of rows have a part in any of them.
            Slot::Classes => Axes::One,
            Slot::Upstream | Slot::Params | Slot::Workspace | Slot::Result => Axes::One,
        };
        Self { element_bytes: element_bytes(slot, problem), axes, view: problem.view }
    }

    /// Whether it has the classes' axis, along which rows are cut.
    pub fn has_classes(&self) -> bool {
        matches!(self.axes, Axes::Elements | Axes::Classes)
    }

    /// Elements in all.
    fn elements(&self) -> u64 {
        match self.axes {
            Axes::Elements => self.view.elements() as u64,
            Axes::Rows => self.view.rows() as u64,
            Axes::Classes => self.view.classes as u64,
            Axes::One => 1,
        }
    }

    /// Bytes that go with one step of the outer axis, for tensors that have it.
    pub fn outer_bytes(&self) -> Option<u64> {
        let ClassView { classes, inner, .. } = self.view;
        let elements = match self.axes {
            Axes::Elements => (classes as u64).saturating_mul(inner as u64),
            Axes::Rows => inner as u64,
            Axes::Classes | Axes::One => return None,
        };
        Some(elements.saturating_mul(self.element_bytes))
    }

    /// Bytes in all, rounded up to whole words.
    pub fn bytes(&self) -> u64 {
        self.elements()
            .saturating_mul(self.element_bytes)
            .checked_next_multiple_of(4)
            .unwrap_or(u64::MAX)
    }

    /// The bytes from the first element of a piece to its last one: not rounded, since small elements
    /// may start inside a word. Some of those between may be other pieces'.
    pub fn piece_bytes(&self, piece: &Piece) -> Range<u64> {
        if self.elements() == 0 {
            return 0..0;
        }
        let Piece { outer, classes, inner } = piece;
        let first = self.place(outer.start, classes.start, inner.start);
        let last = self.place(outer.end - 1, classes.end.saturating_sub(1), inner.end - 1);
        first * self.element_bytes..(last + 1) * self.element_bytes
    }

    /// The number of the element at a place of the input.
    fn place(&self, outer: usize, class: usize, inner: usize) -> u64 {
        let (o, c, i) = (outer as u64, class as u64, inner as u64);
        match self.axes {
            Axes::Elements => (o * self.view.classes as u64 + c) * self.view.inner as u64 + i,
            Axes::Rows => o * self.view.inner as u64 + i,
            Axes::Classes => c,
            Axes::One => 0,
        }
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
            Some(TargetType::Probabilities(element)) => element.bytes(),
            None => 4,
        },
        Slot::Upstream => match problem.upstream {
            Upstream::PerElement(element) => element.bytes(),
            _ => 4,
        },
        Slot::Record => 4 * problem.record().len() as u32,
        Slot::Classes => return CLASS_WORDS.saturating_mul(4 * problem.view.classes as u64),
        Slot::RowLoss | Slot::RowWeights => 4,
        Slot::Params | Slot::Workspace | Slot::Result => 4,
    };
    bytes.into()
}

impl Slot {
    /// What errors call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Slot::Params => "params",
            Slot::Logits => "input",
            Slot::Target => "target",
            Slot::Weight => "weight",
            Slot::Upstream => "upstream gradient",
            Slot::RowLoss => "unreduced loss",
            Slot::Grad => "gradient",
            Slot::Elements => "log-probabilities or probabilities",
            Slot::Workspace => "workspace",
            Slot::Result => "result",
            Slot::RowWeights => "row weights",
            Slot::Record => "rows' records",
            Slot::Classes => "sums of classes",
        }
    }
}
