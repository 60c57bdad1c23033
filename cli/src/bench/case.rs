//! The data of one measured shape: cross-entropy's logits and labels, the same on every run.

use std::collections::TryReserveError;

use wgpu_loss::{ElementType, Inputs, Tensor};

pub use crate::stored::Stored;
use crate::stored::{filled, random};

/// The tensors of one shape, on the host. Classes are on axis 1.
pub struct Case {
    /// The logits' shape.
    pub shape: Vec<usize>,
    /// The labels' shape.
    pub label_shape: Vec<usize>,
    /// The logits.
    pub logits: Stored,
    /// Their labels.
    pub labels: Vec<i64>,
}

impl Case {
    /// Makes logits from -4 to 4 and labels from all classes. `shape` has two axes or more.
    pub fn new(shape: &[usize], element_type: ElementType) -> Result<Self, TryReserveError> {
        let classes = shape[1];
        let mut label_shape = shape.to_vec();
        label_shape.remove(1);
        let elements = shape.iter().product();
        let rows = label_shape.iter().product();
        Ok(Self {
            shape: shape.to_vec(),
            label_shape,
            logits: Stored::new(element_type, elements, random(1).map(|x| 8.0 * x - 4.0))?,
            // The product of a number below 1 and the number of classes may be rounded up to the
            // number of classes.
            labels: filled(
                rows,
                random(2).map(|x| ((x * classes as f32) as i64).min(classes as i64 - 1)),
            )?,
        })
    }

    /// Returns a loss's inputs.
    pub fn inputs(&self) -> Inputs<'_> {
        let logits = Tensor::new(self.logits.floats(), &self.shape);
        Inputs::new(logits).labels(&self.labels, &self.label_shape)
    }

    /// Returns the bytes that have to move: logits and labels are read, and for a gradient the
    /// logits are read again and the gradient is written.
    pub fn bytes(&self, grad: bool) -> u64 {
        let passes = if grad { 3 } else { 1 };
        passes * self.logits.floats().bytes().len() as u64 + size_of_val(&self.labels[..]) as u64
    }
}
