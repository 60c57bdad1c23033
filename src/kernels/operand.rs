//! The operands of the kernels of single elements, and the WGSL that reads them.

use super::pointwise::{OperandSpec, PointwiseSpec, Reading};
use super::spec::{Kernel, Phase, Spec};
use super::template::Value;
use super::tensor::ClassTensor;
use crate::ElementType;
use crate::loss::{Formula, Upstream};
use crate::tensor::{Axes, TensorSlot};

/// An operand with its name in the texts.
pub(super) struct NamedOperand {
    pub slot: TensorSlot,
    pub name: &'static str,
    pub spec: OperandSpec,
}

impl NamedOperand {
    /// Returns true if it is bound in loads.
    pub fn in_loads(&self) -> bool {
        matches!(self.spec.reading, Reading::Whole | Reading::Along(_))
    }

    /// Returns the names of the operand for the files of `shaders/`.
    pub fn record(&self) -> Value {
        let axes = match self.spec.reading {
            Reading::Whole | Reading::Once => None,
            Reading::Shared(axes) | Reading::Along(axes) | Reading::Each(axes) => Some(axes),
        };
        let reading = self.spec.reading;
        let flags = [
            (reading == Reading::Whole, "whole"),
            (reading == Reading::Once, "once"),
            (matches!(reading, Reading::Shared(_)), "shared"),
            (matches!(reading, Reading::Along(_)), "along"),
            (matches!(reading, Reading::Each(_)), "each"),
            (axes.is_some(), "indexed"),
            (axes == Some(Axes::Outer), "outer"),
            (axes == Some(Axes::OuterClasses), "outer_classes"),
            (axes == Some(Axes::Classes), "classes"),
            (axes == Some(Axes::ClassesInner), "classes_inner"),
            (axes == Some(Axes::Inner), "inner"),
            (axes == Some(Axes::Rows), "rows"),
            (self.in_loads(), "loads"),
            (self.spec.element_type == ElementType::F32, "f32"),
        ];
        let texts = [
            ("name", Value::text(self.name)),
            ("type", Value::text(self.spec.element_type.name())),
        ];
        let flags = flags.map(|(on, name)| (name, Value::Flag(on)));
        Value::Record(texts.into_iter().chain(flags).collect())
    }
}

impl Spec {
    /// Returns true if the kernel evaluates a formula for each element.
    pub(super) fn evaluates(&self) -> bool {
        self.kernel == Kernel::Pointwise
            || self.kernel == Kernel::VarianceGrad && self.phase != Phase::Merge
    }

    /// Returns true if it is one of the kernels of single elements.
    pub(crate) fn is_pointwise(&self) -> bool {
        matches!(self.kernel, Kernel::Pointwise | Kernel::VarianceGrad)
    }

    /// Returns the operands that a kernel of single elements reads.
    pub(super) fn operands(&self) -> impl Iterator<Item = NamedOperand> + use<> {
        let operand = |slot: TensorSlot| {
            // `target` is a reserved word of WGSL.
            let name = if slot == TensorSlot::Target { "target_values" } else { slot.variable() };
            move |spec| NamedOperand { slot, name, spec }
        };
        let pointwise = self.pointwise.filter(|_| self.evaluates());
        pointwise.into_iter().flat_map(move |pointwise| {
            [
                Some(pointwise.target).map(operand(TensorSlot::Target)),
                pointwise.weight.map(operand(TensorSlot::ElementWeight)),
                pointwise.pos_weight.map(operand(TensorSlot::PosWeight)),
                pointwise.variance.map(operand(TensorSlot::Variance)),
            ]
            .into_iter()
            .flatten()
        })
    }

    /// Returns the tensors of single elements that are read and written in loads.
    pub(super) fn element_tensors(&self) -> Vec<ClassTensor> {
        let (read, written) = (ClassTensor::read, ClassTensor::written);
        let Some(pointwise) = self.pointwise else { return Vec::new() };
        let upstream = self.upstream == Upstream::PerRow && self.evaluates();
        let counts = self.kernel == Kernel::Pointwise;
        let variance_grad = pointwise.variance_grad.filter(|_| self.writes_variance_grad());
        let mut tensors = Vec::new();
        tensors.extend(self.evaluates().then(|| read(TensorSlot::Logits, self.input)));
        let operands = self.operands().filter(NamedOperand::in_loads);
        tensors.extend(operands.map(|o| read(o.slot, o.spec.element_type).bound_as(o.name)));
        tensors.extend(upstream.then(|| read(TensorSlot::Upstream, ElementType::F32)));
        tensors.extend(
            (counts && self.row_loss).then(|| written(TensorSlot::RowLoss, ElementType::F32)),
        );
        tensors.extend((counts && self.grad).then(|| self.grad_tensor()));
        let target_grad = pointwise.target_grad.filter(|_| counts);
        tensors.extend(target_grad.map(|t| written(TensorSlot::TargetGrad, t)));
        tensors.extend(variance_grad.map(|t| written(TensorSlot::VarianceGrad, t)));
        tensors
    }

    /// Returns true if the variance's gradient is written, and not only summed.
    pub(super) fn writes_variance_grad(&self) -> bool {
        self.pointwise.is_some_and(|pointwise| pointwise.variance_grad.is_some())
            && (matches!(self.kernel, Kernel::Pointwise | Kernel::ZeroFill)
                || self.phase == Phase::Merge)
    }

    /// Returns true if any gradient is computed from single elements.
    fn has_slopes(&self) -> bool {
        self.kernel == Kernel::VarianceGrad
            || self.grad
            || self.pointwise.is_some_and(|p| p.target_grad.is_some() || p.variance_grad.is_some())
    }

    /// Returns the flags that only the files of these kernels ask for.
    pub(super) fn pointwise_flags(&self) -> Vec<(bool, &'static str)> {
        let pointwise = self.pointwise;
        let formula = pointwise.map(|pointwise| pointwise.formula);
        let is_one_of = |test: fn(Formula) -> bool| formula.is_some_and(test);
        let has = |test: fn(PointwiseSpec) -> bool| pointwise.is_some_and(test);
        let counts = self.kernel == Kernel::Pointwise;
        vec![
            (is_one_of(|f| matches!(f, Formula::Bce)), "BCE"),
            (is_one_of(|f| matches!(f, Formula::BceWithLogits)), "BCE_WITH_LOGITS"),
            (is_one_of(|f| matches!(f, Formula::KlDiv { .. })), "KL_DIV"),
            (is_one_of(|f| matches!(f, Formula::GaussianNll { .. })), "GAUSSIAN_NLL"),
            (is_one_of(|f| matches!(f, Formula::PoissonNll { .. })), "POISSON_NLL"),
            (
                is_one_of(|f| {
                    matches!(
                        f,
                        Formula::GaussianNll { full: true }
                            | Formula::PoissonNll { full: true, .. }
                    )
                }),
                "FULL",
            ),
            (
                is_one_of(|f| {
                    !matches!(f, Formula::BceWithLogits | Formula::KlDiv { log_target: true })
                }),
                "LOGARITHM",
            ),
            (is_one_of(|f| f == Formula::KlDiv { log_target: true }), "LOG_TARGET"),
            (is_one_of(|f| matches!(f, Formula::PoissonNll { log_input: true, .. })), "LOG_INPUT"),
            (is_one_of(|f| matches!(f, Formula::Bce | Formula::GaussianNll { .. })), "REFUSES"),
            (has(|p| p.weight.is_some()), "ELEMENT_WEIGHT"),
            (has(|p| p.weight.is_some() || p.pos_weight.is_some()), "WEIGHTS"),
            (has(|p| p.pos_weight.is_some()), "POS_WEIGHT"),
            (has(|p| p.variance.is_some()), "VARIANCE"),
            (pointwise.is_some() && self.has_slopes(), "ANY_GRAD"),
            (counts && has(|p| p.target_grad.is_some()), "TARGET_GRAD"),
            (counts && has(|p| p.variance_grad.is_some()), "VARIANCE_GRAD"),
        ]
    }
}
