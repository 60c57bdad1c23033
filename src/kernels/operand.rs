//! The operands of the kernels of single elements, and the WGSL that reads them.

use super::pointwise::{OperandSpec, Reading};
use super::spec::{Kernel, Load, Part, Spec};
use super::template::{Condition, template};
use super::tensor::ClassTensor;
use crate::ElementType;
use crate::loss::{Formula, Upstream};
use crate::tensor::{Axes, Slot};

/// An operand with its place in the texts.
pub(super) struct NamedOperand {
    pub slot: Slot,
    pub name: &'static str,
    origin: &'static str,
    pub spec: OperandSpec,
}

impl NamedOperand {
    /// Whether it is bound in loads.
    pub fn in_loads(&self) -> bool {
        matches!(self.spec.reading, Reading::Whole | Reading::Along(_))
    }

    /// The functions that read it.
    pub fn wgsl(&self, load: Load, conditions: &mut Vec<Condition>) -> String {
        let (how, axes) = match self.spec.reading {
            Reading::Whole => ("WHOLE", None),
            Reading::Once => ("ONCE", None),
            Reading::Shared(axes) => ("SHARED", Some(axes)),
            Reading::Along(axes) => ("ALONG", Some(axes)),
            Reading::Each(axes) => ("EACH", Some(axes)),
        };
        let along = match axes {
            Some(Axes::Outer) => "OUTER",
            Some(Axes::OuterClasses) => "OUTER_CLASSES",
            Some(Axes::Classes) => "CLASSES",
            Some(Axes::ClassesInner) => "CLASSES_INNER",
            Some(Axes::Inner) => "INNER",
            Some(Axes::Rows) => "ROWS",
            Some(Axes::Elements | Axes::One) | None => "",
        };
        let symbols: Vec<&str> = [
            (true, how),
            (axes.is_some(), "INDEXED"),
            (axes.is_some(), along),
            (self.in_loads(), "LOADS"),
            (load > Load::One, "WIDE"),
            (self.spec.element_type == ElementType::F32, "F32"),
        ]
        .into_iter()
        .filter_map(|(on, symbol)| on.then_some(symbol))
        .collect();
        let text = template!("prelude/operand").select(&symbols, conditions);
        let text = text.replace("{name}", self.name).replace("{buffer}", self.name);
        let text = text.replace("{origin}", self.origin);
        format!("\n{}", text.replace("{type}", self.spec.element_type.name()))
    }
}

impl Spec {
    /// Whether it evaluates a formula for each element.
    pub(super) fn evaluates(&self) -> bool {
        self.kernel == Kernel::Pointwise
            || self.kernel == Kernel::SumVariance && self.part != Part::Merge
    }

    /// Whether it is one of the kernels of single elements.
    pub(crate) fn is_pointwise(&self) -> bool {
        matches!(self.kernel, Kernel::Pointwise | Kernel::SumVariance)
    }

    /// The operands that a kernel of single elements reads.
    pub(super) fn operands(&self) -> impl Iterator<Item = NamedOperand> + use<> {
        let operand = |slot, name, origin| move |spec| NamedOperand { slot, name, origin, spec };
        let pointwise = self.pointwise.filter(|_| self.evaluates());
        pointwise.into_iter().flat_map(move |pointwise| {
            [
                Some(pointwise.target).map(operand(Slot::Target, "target_values", "target_origin")),
                pointwise.weight.map(operand(
                    Slot::ElementWeight,
                    "element_weight",
                    "element_weight_origin",
                )),
                pointwise.pos_weight.map(operand(
                    Slot::PosWeight,
                    "pos_weight",
                    "pos_weight_origin",
                )),
                pointwise.variance.map(operand(Slot::Variance, "variance", "variance_origin")),
            ]
            .into_iter()
            .flatten()
        })
    }

    /// The tensors of single elements that are read and written in loads.
    pub(super) fn element_tensors(&self) -> Vec<ClassTensor> {
        let read = |slot, name, element_type| ClassTensor::new(slot, name, element_type, false);
        let written = |slot, name, element_type| ClassTensor::new(slot, name, element_type, true);
        let Some(pointwise) = self.pointwise else { return Vec::new() };
        let upstream = self.upstream == Upstream::PerRow && self.evaluates();
        let counts = self.kernel == Kernel::Pointwise;
        let variance_grad = pointwise.variance_grad.filter(|_| self.writes_variance_grad());
        let mut tensors = Vec::new();
        tensors.extend(self.evaluates().then(|| read(Slot::Logits, "logits", self.input)));
        let operands = self.operands().filter(NamedOperand::in_loads);
        tensors.extend(operands.map(|o| read(o.slot, o.name, o.spec.element_type)));
        tensors.extend(upstream.then(|| read(Slot::Upstream, "upstream", ElementType::F32)));
        tensors.extend(
            (counts && self.row_loss).then(|| written(Slot::RowLoss, "row_loss", ElementType::F32)),
        );
        tensors.extend((counts && self.grad).then(|| match self.in_place {
            true => written(Slot::Logits, "grad", self.output).bound_as("logits"),
            false => written(Slot::Grad, "grad", self.output),
        }));
        let target_grad = pointwise.target_grad.filter(|_| counts);
        tensors.extend(target_grad.map(|t| written(Slot::TargetGrad, "target_grad", t)));
        tensors.extend(variance_grad.map(|t| written(Slot::VarianceGrad, "variance_grad", t)));
        tensors
    }

    /// Whether a kernel of single elements reads a slot one element at a time.
    pub(crate) fn reads_singly(&self, slot: Slot) -> bool {
        (slot == Slot::Upstream && self.upstream == Upstream::Scalar)
            || self.operands().any(|operand| operand.slot == slot && !operand.in_loads())
    }

    /// Whether the variance's gradient is written, and not only summed up.
    pub(super) fn writes_variance_grad(&self) -> bool {
        self.pointwise.is_some_and(|pointwise| pointwise.variance_grad.is_some())
            && (matches!(self.kernel, Kernel::Pointwise | Kernel::Clear)
                || self.part == Part::Merge)
    }

    /// Whether any gradient is computed from single elements.
    fn has_slopes(&self) -> bool {
        self.kernel == Kernel::SumVariance
            || self.grad
            || self.pointwise.is_some_and(|p| p.target_grad.is_some() || p.variance_grad.is_some())
    }

    /// The symbols that only the kernels of single elements have.
    pub(super) fn pointwise_symbols(&self) -> Vec<&'static str> {
        let Some(pointwise) = self.pointwise else { return Vec::new() };
        let formula = pointwise.formula;
        let full = matches!(
            formula,
            Formula::GaussianNll { full: true } | Formula::PoissonNll { full: true, .. }
        );
        let formula_name = match formula {
            Formula::Bce => "BCE",
            Formula::BceWithLogits => "BCE_WITH_LOGITS",
            Formula::KlDiv { .. } => "KL_DIV",
            Formula::GaussianNll { .. } => "GAUSSIAN_NLL",
            Formula::PoissonNll { .. } => "POISSON_NLL",
        };
        let counts = self.kernel == Kernel::Pointwise;
        let needs_log =
            !matches!(formula, Formula::BceWithLogits | Formula::KlDiv { log_target: true });
        [
            (true, formula_name),
            (full, "FULL"),
            (needs_log, "LOGARITHM"),
            (formula == Formula::KlDiv { log_target: true }, "LOG_TARGET"),
            (matches!(formula, Formula::PoissonNll { log_input: true, .. }), "LOG_INPUT"),
            (matches!(formula, Formula::Bce | Formula::GaussianNll { .. }), "REFUSES"),
            (pointwise.weight.is_some(), "ELEMENT_WEIGHT"),
            (pointwise.weight.is_some() || pointwise.pos_weight.is_some(), "WEIGHTS"),
            (pointwise.pos_weight.is_some(), "POS_WEIGHT"),
            (pointwise.variance.is_some(), "VARIANCE"),
            (self.has_slopes(), "ANY_GRAD"),
            (counts && pointwise.target_grad.is_some(), "TARGET_GRAD"),
            (counts && pointwise.variance_grad.is_some(), "VARIANCE_GRAD"),
        ]
        .into_iter()
        .filter_map(|(on, symbol)| on.then_some(symbol))
        .collect()
    }
}
