//! The data of one measured shape: cross-entropy's logits and labels, the same on every run.
//!
//! The library's criterion bench includes this file too, so it imports nothing of the program.

use std::collections::TryReserveError;

use half::{bf16, f16};
use wgpu_loss::{ElementType, Floats, Inputs, Tensor};

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

/// Floats of one type.
pub enum Stored {
    /// Single precision.
    F32(Vec<f32>),
    /// Half precision.
    F16(Vec<f16>),
    /// The upper halves of f32.
    BF16(Vec<bf16>),
}

impl Stored {
    /// Rounds the first elements of a sequence to a type.
    pub fn new(
        element_type: ElementType,
        count: usize,
        elements: impl Iterator<Item = f32>,
    ) -> Result<Self, TryReserveError> {
        Ok(match element_type {
            ElementType::F16 => Stored::F16(filled(count, elements.map(f16::from_f32))?),
            ElementType::BF16 => Stored::BF16(filled(count, elements.map(bf16::from_f32))?),
            _ => Stored::F32(filled(count, elements)?),
        })
    }

    /// Returns the floats as the library takes them.
    pub fn floats(&self) -> Floats<'_> {
        match self {
            Stored::F32(floats) => floats.into(),
            Stored::F16(floats) => floats.into(),
            Stored::BF16(floats) => floats.into(),
        }
    }
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

/// Collects the first elements of a sequence; fails if there is not enough memory.
fn filled<T>(count: usize, elements: impl Iterator<Item = T>) -> Result<Vec<T>, TryReserveError> {
    let mut all = Vec::new();
    all.try_reserve_exact(count)?;
    all.extend(elements.take(count));
    Ok(all)
}

/// Returns numbers in [0, 1), from a linear congruential generator.
fn random(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    })
}
