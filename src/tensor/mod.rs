//! Tensors: element types, shapes, the class axis.

mod axes;
mod floats;
mod labels;
mod slot;
mod target;
mod view;

pub use axes::Axes;
pub(crate) use axes::broadcast;
pub use floats::{ElementType, Floats};
#[cfg(feature = "reference")]
pub(crate) use floats::{OwnedFloats, with_floats};
pub use labels::{LabelType, Labels};
pub(crate) use slot::Role;
pub use slot::TensorSlot;
pub use target::TargetType;
pub use view::ClassView;

use crate::Error;

/// A contiguous C-order tensor borrowed from the host.
///
/// ```
/// use wgpu_loss::{Tensor, half::f16};
///
/// let logits = Tensor::new(&[1.5f32, -2.0, 0.25, 4.0], &[2, 2]);
/// let halves = Tensor::new(&[f16::ZERO; 6], &[1, 6]);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Tensor<'a> {
    /// The elements, last axis fastest.
    pub data: Floats<'a>,
    /// The shape. Its product is the number of elements.
    pub shape: &'a [usize],
}

impl<'a> Tensor<'a> {
    /// Returns a tensor of `data` (`f32`, `half::f16` or `half::bf16`) in `shape`. The call that uses the tensor checks
    /// its length.
    pub fn new(data: impl Into<Floats<'a>>, shape: &'a [usize]) -> Self {
        Self { data: data.into(), shape }
    }

    /// Returns an error if the data's length is not the shape's product.
    pub(crate) fn check(&self, what: &'static str) -> Result<(), Error> {
        check_length(what, self.data.len(), self.shape)
    }
}

/// Returns an error for a length that is not the shape's product.
pub(crate) fn check_length(what: &'static str, given: usize, shape: &[usize]) -> Result<(), Error> {
    let wanted = element_count(what, shape)?;
    if given != wanted {
        return Err(Error::Length { what, given, wanted, shape: shape.to_vec() });
    }
    Ok(())
}

/// Returns the product of a shape, or an error if it overflows `usize`.
pub(crate) fn element_count(what: &'static str, shape: &[usize]) -> Result<usize, Error> {
    // A zero anywhere makes the tensor empty, even where the other extents would overflow.
    if shape.contains(&0) {
        return Ok(0);
    }
    let product = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    product.ok_or(Error::Limit {
        what,
        limit: "address space",
        needed: u64::MAX,
        allowed: usize::MAX as u64,
    })
}
