//! The inputs of an operation, laid out as the kernels read them.

use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use wgpu_loss::loss::Shapes;
use wgpu_loss::{ElementType, LabelType, Loss, Outputs, Problem, TargetType};

use crate::Error;
use crate::criterion::Criterion;
use crate::layout::Laid;
use crate::ops::{Target, Weight};

/// The tensors of an operation, each laid out as it is read.
pub(crate) struct Operands {
    pub(crate) criterion: Criterion,
    pub(crate) input: Laid,
    pub(crate) target: Laid,
    target_type: TargetType,
    pub(crate) weight: Option<Laid>,
}

impl Operands {
    pub(crate) fn new(
        input: CubeTensor,
        target: Target<CubeBackend>,
        weight: Weight<CubeBackend>,
        criterion: &Criterion,
    ) -> Result<Self, Error> {
        let input = match criterion.has_classes() {
            true => Laid::of(input),
            false => Laid::contiguous(input),
        };
        let (target, target_type) = match target {
            Target::Labels(labels) => {
                let label_type = label_type(labels.dtype)?;
                (Laid::contiguous(labels), TargetType::Labels(label_type))
            }
            Target::Values(values) => {
                let value_type = element_type("targets", values.dtype)?;
                (Laid::contiguous(values), TargetType::Values(value_type))
            }
        };
        let weight = match weight {
            Weight::None => None,
            Weight::Given(weight) => Some(Laid::contiguous(weight)),
        };
        let criterion = Criterion { class_axis: input.class_axis, ..criterion.clone() };
        Ok(Self { criterion, input, target, target_type, weight })
    }

    /// Returns the problem, over the axes in their order in memory.
    pub(crate) fn problem(&self, with_grad: bool) -> Result<Problem, Error> {
        let mut shapes = Shapes::new(&self.input.shape)
            .input_type(element_type("input", self.input.tensor.dtype)?)
            .target(self.target_type, &self.target.shape);
        if let Some(weight) = &self.weight {
            let weight_type = element_type("weights", weight.tensor.dtype)?;
            shapes = match self.criterion.has_classes() {
                true => shapes.weight(weight.shape.iter().product()).weight_type(weight_type),
                false => shapes.element_weight(weight_type, &weight.shape),
            };
        }
        let mut outputs = Outputs::loss().in_f32();
        outputs.grad = with_grad;
        Ok(self.criterion.problem(&shapes, outputs)?)
    }
}

/// The element types that the kernels read.
pub(crate) fn element_type(what: &'static str, dtype: DType) -> Result<ElementType, Error> {
    match dtype {
        DType::F32 | DType::Flex32 => Ok(ElementType::F32),
        DType::F16 => Ok(ElementType::F16),
        DType::BF16 => Ok(ElementType::BF16),
        other => {
            let (given, wanted) = (format!("{other:?}"), "f32, f16 or bf16");
            Err(Error::ElementType { what, given, wanted })
        }
    }
}

/// The label types that the kernels read.
pub(crate) fn label_type(dtype: DType) -> Result<LabelType, Error> {
    match dtype {
        DType::I64 => Ok(LabelType::I64),
        DType::I32 => Ok(LabelType::I32),
        DType::I16 => Ok(LabelType::I16),
        DType::I8 => Ok(LabelType::I8),
        DType::U64 => Ok(LabelType::U64),
        DType::U32 => Ok(LabelType::U32),
        DType::U16 => Ok(LabelType::U16),
        DType::U8 => Ok(LabelType::U8),
        other => {
            let (given, wanted) = (format!("{other:?}"), "integers");
            Err(Error::ElementType { what: "targets", given, wanted })
        }
    }
}
