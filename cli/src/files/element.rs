//! The element types of arrays in files, and the types that they are read as.

use wgpu_loss::{ElementType, LabelType};

/// The element types that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// One byte: 0 is false, all others are true.
    Bool,
    /// Two bytes that NumPy has no type for: it stores other libraries' bf16 in this way.
    Raw16,
    /// An integer.
    Integer(LabelType),
}

/// The library's type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Floats of a type that the kernels read.
    Floats(ElementType),
    /// Integers.
    Labels(LabelType),
}

impl Element {
    /// Classes and ranks, as they are saved.
    pub const WORD: Self = Element::Integer(LabelType::U32);

    /// Returns its size in a file.
    pub fn bytes(self) -> usize {
        match self {
            Element::Bool => 1,
            Element::F16 | Element::Bf16 | Element::Raw16 => 2,
            Element::F32 => 4,
            Element::F64 => 8,
            Element::Integer(label) => label.bytes() as usize,
        }
    }

    /// Returns its name in NumPy.
    pub fn name(self) -> &'static str {
        match self {
            Element::F16 => "float16",
            Element::Bf16 => "bfloat16",
            Element::F32 => "float32",
            Element::F64 => "float64",
            Element::Bool => "bool",
            Element::Raw16 => "raw 16-bit words",
            Element::Integer(LabelType::U8) => "uint8",
            Element::Integer(LabelType::I8) => "int8",
            Element::Integer(LabelType::U16) => "uint16",
            Element::Integer(LabelType::I16) => "int16",
            Element::Integer(LabelType::U32) => "uint32",
            Element::Integer(LabelType::I32) => "int32",
            Element::Integer(LabelType::U64) => "uint64",
            Element::Integer(LabelType::I64) => "int64",
            Element::Integer(_) => "integer",
        }
    }

    /// Returns its label type, if it can be labels.
    pub fn label_type(self) -> Option<LabelType> {
        match self {
            Element::Bool => Some(LabelType::U8),
            Element::Integer(label) => Some(label),
            _ => None,
        }
    }

    /// Returns the type that floats are read as: their own, or f32 for f64.
    pub fn float_type(self) -> Option<ElementType> {
        match self {
            Element::F16 => Some(ElementType::F16),
            Element::Bf16 => Some(ElementType::BF16),
            Element::F32 | Element::F64 => Some(ElementType::F32),
            Element::Bool | Element::Raw16 | Element::Integer(_) => None,
        }
    }

    /// Returns true if its bits may be those of a 16-bit float, if the user says so.
    pub fn is_raw_16(self) -> bool {
        matches!(self, Element::Raw16 | Element::Integer(LabelType::U16))
    }
}

impl From<ElementType> for Element {
    fn from(element_type: ElementType) -> Self {
        match element_type {
            ElementType::F16 => Element::F16,
            ElementType::BF16 => Element::Bf16,
            _ => Element::F32,
        }
    }
}
