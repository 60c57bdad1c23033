//! How large each tensor is, and which bytes of it belong to a piece.

use std::ops::Range;

use crate::Problem;
use crate::kernels::Slot;
use crate::loss::Upstream;
use crate::tensor::{ElementType, TargetType};

/// The bytes of one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    /// Size of one element.
    pub element_bytes: u64,
    /// Elements per step of the outer axis; `None` where every piece sees the whole tensor.
    per_outer: Option<u64>,
    /// Elements in all.
    elements: u64,
}

impl Extent {
    /// The tensor of a slot.
    pub fn of(slot: Slot, problem: &Problem) -> Self {
        let view = problem.view;
        let (classes, inner) = (view.classes as u64, view.inner as u64);
        let element_bytes = element_bytes(slot, problem);
        let per_outer = match slot {
            Slot::Logits | Slot::Grad | Slot::Elements => Some(classes.saturating_mul(inner)),
            Slot::Target if problem.label_type().is_none() => Some(classes.saturating_mul(inner)),
            Slot::Target | Slot::RowLoss => Some(inner),
            Slot::Upstream if problem.upstream == Upstream::PerRow => Some(inner),
            Slot::Weight | Slot::Upstream | Slot::Params | Slot::Workspace | Slot::Result => None,
        };
        let elements = match (per_outer, slot) {
            (Some(per_outer), _) => per_outer.saturating_mul(view.outer as u64),
            (None, Slot::Weight) => classes,
            (None, _) => 1,
        };
        Self { element_bytes, per_outer, elements }
    }

    /// Bytes per step of the outer axis, for tensors that are cut along it.
    pub fn outer_bytes(&self) -> Option<u64> {
        self.per_outer.map(|elements| elements.saturating_mul(self.element_bytes))
    }

    /// Bytes in all, rounded up to whole words.
    pub fn bytes(&self) -> u64 {
        self.elements
            .saturating_mul(self.element_bytes)
            .checked_next_multiple_of(4)
            .unwrap_or(u64::MAX)
    }

    /// The bytes of a piece: not rounded, since small labels may start inside a word.
    pub fn piece_bytes(&self, piece: Option<&Range<usize>>) -> Range<u64> {
        match (piece, self.outer_bytes()) {
            (Some(piece), Some(bytes)) => piece.start as u64 * bytes..piece.end as u64 * bytes,
            _ => 0..self.elements * self.element_bytes,
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
        Slot::RowLoss | Slot::Upstream => 4,
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
        }
    }
}
