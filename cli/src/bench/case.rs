//! The data of one measured shape: cross-entropy's logits and labels, the same on every run.
//!
//! The library's criterion bench includes this file too, so it names nothing of the program.

use std::collections::TryReserveError;

use wgpu_loss::{Inputs, Tensor};

/// The tensors of one shape, on the host. Classes are on axis 1.
pub struct Case {
    /// The logits' shape.
    pub shape: Vec<usize>,
    label_shape: Vec<usize>,
    /// The logits.
    pub logits: Vec<f32>,
    /// Their labels.
    pub labels: Vec<i64>,
}

impl Case {
    /// Logits from -4 to 4 and labels from all classes. `shape` has two axes or more.
    pub fn new(shape: &[usize]) -> Result<Self, TryReserveError> {
        let classes = shape[1];
        let mut label_shape = shape.to_vec();
        label_shape.remove(1);
        let elements = shape.iter().product();
        let rows = label_shape.iter().product();
        Ok(Self {
            shape: shape.to_vec(),
            label_shape,
            logits: filled(elements, random(1).map(|x| 8.0 * x - 4.0))?,
            // A number below 1 times the classes may round up to them.
            labels: filled(
                rows,
                random(2).map(|x| ((x * classes as f32) as i64).min(classes as i64 - 1)),
            )?,
        })
    }

    /// What a loss takes.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs::new(Tensor::new(&self.logits, &self.shape)).labels(&self.labels, &self.label_shape)
    }

    /// Bytes that have to move: logits and labels are read, and for a gradient the logits are read
    /// again and the gradient is written.
    pub fn bytes(&self, grad: bool) -> u64 {
        let passes = if grad { 3 } else { 1 };
        passes * size_of_val(&self.logits[..]) as u64 + size_of_val(&self.labels[..]) as u64
    }
}

/// The first elements of a sequence; fails where there is no memory for them.
fn filled<T>(count: usize, elements: impl Iterator<Item = T>) -> Result<Vec<T>, TryReserveError> {
    let mut all = Vec::new();
    all.try_reserve_exact(count)?;
    all.extend(elements.take(count));
    Ok(all)
}

/// Numbers in [0, 1), from a linear congruential generator.
fn random(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    })
}
