//! Floats that a test owns, in any of their types.

use half::{bf16, f16};
use wgpu_loss::{ElementType, Floats};

/// Owned floats in one type.
#[derive(Clone, Debug)]
pub enum OwnedFloats {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
}

impl OwnedFloats {
    /// `floats`, each rounded to the nearest of a type.
    pub fn new(element_type: ElementType, floats: &[f32]) -> Self {
        match element_type {
            ElementType::F16 => Self::F16(floats.iter().map(|&x| f16::from_f32(x)).collect()),
            ElementType::BF16 => Self::BF16(floats.iter().map(|&x| bf16::from_f32(x)).collect()),
            _ => Self::F32(floats.to_vec()),
        }
    }

    /// The floats as the library takes them.
    pub fn borrow(&self) -> Floats<'_> {
        match self {
            Self::F32(floats) => floats.into(),
            Self::F16(floats) => floats.into(),
            Self::BF16(floats) => floats.into(),
        }
    }

    /// Their type.
    pub fn element_type(&self) -> ElementType {
        self.borrow().element_type()
    }

    /// The floats as f32, which holds all of them.
    pub fn wide(&self) -> Vec<f32> {
        self.borrow().iter().collect()
    }
}

/// The nearest number of a type, by way of f32: of an f64, `half` drops the last 32 bits before it rounds, and takes
/// what is close to a tie for one.
pub fn rounded(element_type: ElementType, x: f64) -> f64 {
    let x = x as f32;
    match element_type {
        ElementType::F16 => f16::from_f32(x).into(),
        ElementType::BF16 => bf16::from_f32(x).into(),
        _ => x.into(),
    }
}

/// The bytes of numbers of a type, as f32.
pub fn from_bytes(element_type: ElementType, bytes: &[u8]) -> Vec<f32> {
    let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match element_type {
        ElementType::F16 => halves().map(|bits| f16::from_bits(bits).to_f32()).collect(),
        ElementType::BF16 => halves().map(|bits| bf16::from_bits(bits).to_f32()).collect(),
        _ => bytemuck::pod_collect_to_vec(bytes),
    }
}
