//! Tensors of a call: their data copied from JavaScript's memory, or ranges of the page's buffers.

use bytemuck::Pod;
use js_sys::Uint8Array;
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use wgpu_loss::loss::Shapes;
use wgpu_loss::{ElementType, Floats, Inputs, LabelType, Labels, TargetType, Tensor};

use crate::errors::argument;

/// The place of a tensor in a call.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Slot {
    Input,
    Labels,
    Probabilities,
    Target,
    Weight,
    ElementWeight,
    PosWeight,
    Var,
    RowWeights,
    Upstream,
}

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    F32,
    F16,
    BF16,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

/// What the package says of a tensor.
#[derive(Deserialize)]
pub struct Described {
    pub slot: Slot,
    pub r#type: Type,
    pub shape: Vec<usize>,
}

/// A tensor with its data.
pub struct Operand {
    described: Described,
    /// The elements, starting where any type may.
    words: Vec<u64>,
    bytes: usize,
}

impl Type {
    fn floats(self) -> Result<ElementType, JsValue> {
        match self {
            Self::F32 => Ok(ElementType::F32),
            Self::F16 => Ok(ElementType::F16),
            Self::BF16 => Ok(ElementType::BF16),
            _ => Err(argument("this tensor holds integers, expected floats")),
        }
    }

    fn labels(self) -> Result<LabelType, JsValue> {
        Ok(match self {
            Self::U8 => LabelType::U8,
            Self::I8 => LabelType::I8,
            Self::U16 => LabelType::U16,
            Self::I16 => LabelType::I16,
            Self::U32 => LabelType::U32,
            Self::I32 => LabelType::I32,
            Self::U64 => LabelType::U64,
            Self::I64 => LabelType::I64,
            _ => return Err(argument("this tensor holds floats, expected labels")),
        })
    }
}

impl Operand {
    /// Copies a tensor's bytes.
    pub fn copied(described: Described, data: &Uint8Array) -> Self {
        let bytes = data.length() as usize;
        let mut words = vec![0u64; bytes.div_ceil(8)];
        data.copy_to(&mut bytemuck::cast_slice_mut(&mut words)[..bytes]);
        Self { described, words, bytes }
    }

    fn elements<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&bytemuck::cast_slice::<u64, u8>(&self.words)[..self.bytes])
    }

    fn floats(&self) -> Result<Floats<'_>, JsValue> {
        Ok(match self.described.r#type.floats()? {
            ElementType::F16 => Floats::F16(self.elements()),
            ElementType::BF16 => Floats::BF16(self.elements()),
            _ => Floats::F32(self.elements()),
        })
    }

    fn labels(&self) -> Result<Labels<'_>, JsValue> {
        Ok(match self.described.r#type {
            Type::U8 => Labels::U8(self.elements()),
            Type::I8 => Labels::I8(self.elements()),
            Type::U16 => Labels::U16(self.elements()),
            Type::I16 => Labels::I16(self.elements()),
            Type::U32 => Labels::U32(self.elements()),
            Type::I32 => Labels::I32(self.elements()),
            Type::U64 => Labels::U64(self.elements()),
            Type::I64 => Labels::I64(self.elements()),
            _ => return Err(argument("this tensor holds floats, expected labels")),
        })
    }

    fn tensor(&self) -> Result<Tensor<'_>, JsValue> {
        Ok(Tensor::new(self.floats()?, &self.described.shape))
    }
}

/// Returns a call's inputs, of which the first is the input itself.
pub fn inputs(operands: &[Operand]) -> Result<Inputs<'_>, JsValue> {
    let [input, others @ ..] = operands else { return Err(argument("there is no input")) };
    let mut inputs = Inputs::new(input.tensor()?);
    for operand in others {
        let shape = &operand.described.shape[..];
        inputs = match operand.described.slot {
            Slot::Input => return Err(argument("there are two inputs")),
            Slot::Labels => inputs.labels(operand.labels()?, shape),
            Slot::Probabilities => inputs.probabilities(operand.tensor()?),
            Slot::Target => inputs.target(operand.tensor()?),
            Slot::Weight => inputs.weight(operand.floats()?),
            Slot::ElementWeight => inputs.element_weight(operand.tensor()?),
            Slot::PosWeight => inputs.pos_weight(operand.tensor()?),
            Slot::Var => inputs.var(operand.tensor()?),
            Slot::RowWeights => inputs.row_weights(operand.tensor()?),
            Slot::Upstream => inputs.upstream(operand.tensor()?),
        };
    }
    Ok(inputs)
}

/// Returns the shapes and types of a call's tensors, of which the first is the input.
pub fn shapes(described: &[Described]) -> Result<Shapes<'_>, JsValue> {
    let [input, others @ ..] = described else { return Err(argument("there is no input")) };
    let mut shapes = Shapes::new(&input.shape).input_type(input.r#type.floats()?);
    for Described { slot, r#type, shape } in others {
        shapes = match slot {
            Slot::Input => return Err(argument("there are two inputs")),
            Slot::Labels => shapes.target(TargetType::Labels(r#type.labels()?), shape),
            Slot::Probabilities => {
                shapes.target(TargetType::Probabilities(r#type.floats()?), shape)
            }
            Slot::Target => shapes.target(TargetType::Values(r#type.floats()?), shape),
            Slot::Weight => shapes.weight(shape.iter().product()).weight_type(r#type.floats()?),
            Slot::ElementWeight => shapes.element_weight(r#type.floats()?, shape),
            Slot::PosWeight => shapes.pos_weight(r#type.floats()?, shape),
            Slot::Var => shapes.var(r#type.floats()?, shape),
            Slot::RowWeights => {
                is_f32(*r#type, "rowWeights")?;
                shapes.row_weights(shape)
            }
            Slot::Upstream => shapes.upstream(shape).upstream_type(r#type.floats()?),
        };
    }
    Ok(shapes)
}

fn is_f32(given: Type, name: &str) -> Result<(), JsValue> {
    match given {
        Type::F32 => Ok(()),
        other => Err(argument(&format!("{name} holds {other:?}, expected F32"))),
    }
}
