//! A part of a call's tensors.

use std::ops::Range;

use crate::loss::CallTensor;
use crate::tensor::{Axes, ClassView};

/// A part of the tensors that a dispatch binds: a box of the input, seen as (outer, classes, inner).
///
/// It has every class and every position of the inner axis, or lies in one step of the outer axis. It contains its
/// rows' elements of a tensor with one element for each row, and its classes' elements of the class weights.
///
/// ```
/// use wgpu_loss::loss::Shapes;
/// use wgpu_loss::{CrossEntropy, LabelType, Outputs, Plan, Profile, TargetType};
///
/// // Logits of 512 MB, on a device that binds 128 MiB at once.
/// let shapes = Shapes::new(&[128_000, 1000]).target(TargetType::Labels(LabelType::I32), &[128_000]);
/// let plan = Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss(), &Profile::portable())?;
/// let mut next = 0;
/// for piece in plan.pieces() {
///     assert_eq!((piece.outer.start, piece.classes.len()), (next, 1000));
///     next += piece.rows();
/// }
/// assert_eq!(next, 128_000);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Its part of the outer axis.
    pub outer: Range<usize>,
    /// Its classes.
    pub classes: Range<usize>,
    /// Its part of the inner axis.
    pub inner: Range<usize>,
}

impl Piece {
    /// Returns the number of its rows, whole or in part.
    pub fn rows(&self) -> usize {
        self.outer.len() * self.inner.len()
    }

    /// Returns the bytes of a tensor from the piece's first element to its last one: not rounded, since small elements
    /// may start inside a word. Some of the elements between may belong to other pieces.
    pub(crate) fn bytes_of(&self, tensor: &CallTensor) -> Range<u64> {
        if tensor.elements == 0 {
            return 0..0;
        }
        if tensor.axes == Axes::One {
            return 0..tensor.elements * tensor.element_bytes;
        }
        let Self { outer, classes, inner } = self;
        let first = [outer.start, classes.start, inner.start];
        let last = [outer.end - 1, classes.end.saturating_sub(1), inner.end - 1];
        tensor.offset(first)..tensor.offset(last) + tensor.element_bytes
    }

    /// Returns true if both have the same rows.
    pub(super) fn shares_rows(&self, other: &Self) -> bool {
        self.outer == other.outer && self.inner == other.inner
    }

    /// Returns true if it is a box within one step of the outer axis of `view`.
    pub(super) fn is_inside(&self, view: ClassView) -> bool {
        self.classes.len() < view.classes || self.inner.len() < view.inner
    }
}
