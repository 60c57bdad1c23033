//! A tensor seen along its class axis.

use super::element_count;
use crate::Error;

/// A tensor seen along its class axis: `(outer, classes, inner)`, contiguous, nothing transposed.
///
/// A *row* is one set of classes: there are `outer * inner` of them, row `o * inner + i` holding the
/// elements `(o * classes + c) * inner + i`. `inner == 1` means that a row's classes are neighbours
/// in memory; otherwise neighbouring rows are.
///
/// ```
/// use wgpu_loss::ClassView;
///
/// // Two images of 5 classes and 3 by 4 pixels.
/// let (view, axis) = ClassView::new(&[2, 5, 3, 4], Some(1))?;
/// assert_eq!((view.outer, view.classes, view.inner, axis), (2, 5, 12, 1));
/// assert_eq!((view.rows(), view.row_start(13)), (24, 61));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClassView {
    /// Product of the extents before the class axis.
    pub outer: usize,
    /// Extent of the class axis.
    pub classes: usize,
    /// Product of the extents after the class axis.
    pub inner: usize,
}

impl ClassView {
    /// Returns the view of `shape` from `axis` (negative counts from the end; `None` means axis 1, or 0 for rank 1),
    /// and the axis counted from the front.
    ///
    /// # Errors
    /// [`Error::ClassAxis`] if there is no such axis, [`Error::Limit`] if the shape's product overflows.
    pub fn new(shape: &[usize], axis: Option<isize>) -> Result<(Self, usize), Error> {
        let axis = axis.unwrap_or(if shape.len() == 1 { 0 } else { 1 });
        let front = if axis < 0 { axis + shape.len() as isize } else { axis };
        if front < 0 || front as usize >= shape.len() {
            return Err(Error::ClassAxis { axis, shape: shape.to_vec() });
        }
        let front = front as usize;
        element_count("input", shape)?;
        let view = Self {
            outer: element_count("input", &shape[..front])?,
            classes: shape[front],
            inner: element_count("input", &shape[front + 1..])?,
        };
        element_count("input", &[view.outer, view.inner])?;
        Ok((view, front))
    }

    /// Returns the number of rows, `outer * inner`.
    pub fn rows(&self) -> usize {
        self.outer * self.inner
    }

    /// Returns the number of elements.
    pub fn elements(&self) -> usize {
        self.rows() * self.classes
    }

    /// Returns the flat index of class 0 of a row; class `c` is `c * inner` further.
    ///
    /// # Panics
    /// If the tensor has no rows.
    pub fn row_start(&self, row: usize) -> usize {
        row / self.inner * self.classes * self.inner + row % self.inner
    }

    /// Returns the row and the class of a flat element index.
    ///
    /// # Panics
    /// If the tensor has no elements.
    pub fn row_and_class(&self, element: usize) -> (usize, usize) {
        let (plane, i) = (element / self.inner, element % self.inner);
        (plane / self.classes * self.inner + i, plane % self.classes)
    }
}
