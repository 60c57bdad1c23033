//! The tensors with an element for each class: the load of each, and the WGSL that reads and writes it, for any element
//! type.

use super::layout::{RowLoads, VectorWidth};
use super::spec::{Kernel, Spec, Target, is_half};
use super::stage::Stage;
use super::template::Value;
use crate::tensor::TensorSlot;
use crate::{ElementType, LabelType};

/// One of logits, class probabilities, gradient and distribution, as a kernel uses it.
pub(super) struct ClassTensor {
    /// The slot of its binding; for a gradient in place, the logits'.
    pub slot: TensorSlot,
    /// Its name in the functions that read and write it.
    name: &'static str,
    /// The variable that is bound.
    pub buffer: &'static str,
    element_type: ElementType,
    pub read: bool,
    pub written: bool,
}

impl Spec {
    /// Returns the type of the labels, if there are any.
    pub(crate) fn label_type(&self) -> Option<LabelType> {
        match self.target {
            Target::Labels(label_type) => Some(label_type),
            _ => None,
        }
    }

    /// Returns the tensors that are read and written in loads. The first one of a slot declares it.
    pub(super) fn tensors(&self) -> impl Iterator<Item = ClassTensor> {
        match self.pointwise {
            Some(_) => self.element_tensors(),
            None => self.class_tensors(),
        }
        .into_iter()
    }

    fn class_tensors(&self) -> Vec<ClassTensor> {
        let logits = ClassTensor::read(TensorSlot::Logits, self.input);
        let logits = match self.maps_logits() {
            // A second reader precedes theirs: see `logits.wgsl`.
            true => ClassTensor { name: "raw_logits", ..logits },
            false => logits,
        };
        let operand =
            |slot, element_type| ClassTensor::read(slot, element_type).bound_as("probabilities");
        let probabilities = match self.target {
            Target::Probabilities(element_type) => Some(operand(TensorSlot::Target, element_type)),
            Target::Upstream(element_type) => Some(operand(TensorSlot::Upstream, element_type)),
            Target::None | Target::Labels(_) => None,
        };
        [
            self.reads_logits().then_some(logits),
            probabilities,
            (self.is_softmax() && self.grad).then(|| self.grad_tensor()),
            self.distribution.map(|_| ClassTensor::written(TensorSlot::Distribution, self.output)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Returns the gradient: in the logits' buffer, if it overwrites them.
    pub(super) fn grad_tensor(&self) -> ClassTensor {
        let slot = if self.in_place { TensorSlot::Logits } else { TensorSlot::Grad };
        ClassTensor { name: TensorSlot::Grad.variable(), ..ClassTensor::written(slot, self.output) }
    }

    /// Returns true if a slot's tensor is read or written in loads.
    pub(crate) fn in_loads(&self, slot: TensorSlot) -> bool {
        self.tensors().any(|tensor| tensor.slot == slot)
    }

    /// Returns true if logits are mapped before anything else.
    pub(super) fn maps_logits(&self) -> bool {
        self.row_features.scaled && self.reads_logits()
    }

    /// Returns the types in use of which two elements share a word.
    pub(super) fn half_types(&self) -> Vec<ElementType> {
        let gradient = (self.kernel == Kernel::NllBackward).then_some(self.output);
        let tensors = self.tensors().map(|tensor| tensor.element_type);
        let operands = self.operands().map(|operand| operand.spec.element_type);
        let used: Vec<_> = tensors.chain(self.weight).chain(gradient).chain(operands).collect();
        let halves = ElementType::ALL.into_iter().filter(|&element_type| is_half(element_type));
        halves.filter(|element_type| used.contains(element_type)).collect()
    }

    /// Returns true if a slot is written in loads.
    fn is_written(&self, slot: TensorSlot) -> bool {
        self.tensors().any(|tensor| tensor.slot == slot && tensor.written)
    }
}

impl ClassTensor {
    /// Returns a tensor that is read, bound as its slot's variable.
    pub fn read(slot: TensorSlot, element_type: ElementType) -> Self {
        let name = slot.variable();
        Self { slot, name, buffer: name, element_type, read: true, written: false }
    }

    /// Returns a tensor that is written.
    pub fn written(slot: TensorSlot, element_type: ElementType) -> Self {
        Self { read: false, written: true, ..Self::read(slot, element_type) }
    }

    /// Returns the tensor under another name.
    pub fn bound_as(self, name: &'static str) -> Self {
        Self { name, buffer: name, ..self }
    }

    /// Returns true if lanes write parts of one load; then the tensor is an array of words.
    fn is_in_scalars(&self, spec: &Spec) -> bool {
        spec.layout.row_loads == RowLoads::Ragged
            && spec.layout.is_wide()
            && spec.is_written(self.slot)
    }

    /// Returns true if its loads are made of 64-bit numbers.
    fn u64_loads(&self, spec: &Spec) -> bool {
        spec.layout.u64_loads && !self.is_in_scalars(spec)
    }

    /// Returns true if lanes may write both halves of a word at the same time.
    fn is_atomic(&self, spec: &Spec) -> bool {
        let single = !spec.layout.is_wide() || spec.layout.row_loads == RowLoads::Loose;
        is_half(self.element_type) && single && spec.is_written(self.slot)
    }

    /// Returns the WGSL type of one load.
    pub fn element(&self, spec: &Spec) -> &'static str {
        match (is_half(self.element_type), spec.layout.load) {
            _ if self.is_atomic(spec) => "atomic<u32>",
            _ if spec.layout.row_loads == RowLoads::Loose => "u32",
            (_, VectorWidth::One) => "u32",
            (false, VectorWidth::Eight) if self.is_in_scalars(spec) => "array<u32, 8>",
            (false, VectorWidth::Four) | (true, VectorWidth::Eight) if self.is_in_scalars(spec) => {
                "array<u32, 4>"
            }
            (false, VectorWidth::Four) => "vec4<u32>",
            (true, VectorWidth::Four) => "vec2<u32>",
            (false, VectorWidth::Eight) if self.u64_loads(spec) => "vec4<u64>",
            (false, VectorWidth::Eight) => "Eight",
            (true, VectorWidth::Eight) if self.u64_loads(spec) => "vec2<u64>",
            (true, VectorWidth::Eight) => "vec4<u32>",
        }
    }

    /// Returns the array that a lane's loads are read from and written to: the binding, or a stage.
    fn source(&self, spec: &Spec) -> &'static str {
        if spec.layout.staged { Stage::of(self.element(spec)).name } else { self.buffer }
    }

    /// Returns word `at` of the binding, for any type of its loads.
    fn word(&self, spec: &Spec) -> &'static str {
        match self.element(spec) {
            "u32" => "{buffer}[at]",
            "atomic<u32>" => "atomicLoad(&{buffer}[at])",
            "vec2<u32>" => "{buffer}[at / 2u][at % 2u]",
            "vec4<u32>" | "array<u32, 4>" => "{buffer}[at / 4u][at % 4u]",
            "array<u32, 8>" => "{buffer}[at / 8u][at % 8u]",
            "Eight" => {
                "select({buffer}[at / 8u].a[at % 4u], {buffer}[at / 8u].b[at % 4u], at / 4u % 2u == 1u)"
            }
            _ => "u32({buffer}[at / 4u][at / 2u % 2u] >> (32u * (at % 2u)))",
        }
    }

    /// Returns the names of the tensor for the files of `shaders/`.
    pub fn record(&self, spec: &Spec) -> Value {
        // What makes the highest exponent, infinity's and NaN's, carry into the sign; and the signs in a word.
        let (carry, signs) = match self.element_type {
            ElementType::F32 => ("0x00800000u", "0x80000000u"),
            ElementType::F16 => ("0x04000400u", "0x80008000u"),
            ElementType::BF16 => ("0x00800080u", "0x80008000u"),
        };
        Value::Record(vec![
            ("name", Value::text(self.name)),
            ("buffer", Value::text(self.buffer)),
            ("source", Value::text(self.source(spec))),
            ("element", Value::text(self.element(spec))),
            ("type", Value::text(self.element_type.name())),
            ("word", Value::text(self.word(spec).replace("{buffer}", self.buffer))),
            ("f32", Value::Flag(self.element_type == ElementType::F32)),
            ("scalars", Value::Flag(self.is_in_scalars(spec))),
            ("u64_loads", Value::Flag(self.u64_loads(spec))),
            ("atomic", Value::Flag(self.is_atomic(spec))),
            ("logits", Value::Flag(self.name == TensorSlot::Logits.variable())),
            ("carry", Value::text(carry)),
            ("signs", Value::text(signs)),
        ])
    }
}
