//! Floats in memory, of one type; data that is the same on every run.

use std::collections::TryReserveError;

use half::{bf16, f16};
use wgpu_loss::{ElementType, Floats};

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

/// Collects the first elements of a sequence; fails if there is not enough memory.
pub fn filled<T>(
    count: usize,
    elements: impl Iterator<Item = T>,
) -> Result<Vec<T>, TryReserveError> {
    let mut all = Vec::new();
    all.try_reserve_exact(count)?;
    all.extend(elements.take(count));
    Ok(all)
}

/// Returns numbers in [0, 1), from a linear congruential generator.
pub fn random(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    })
}
