//! Specialisations of the kernels of single elements: the formula, and the reading of its operands.

use crate::ElementType;
use crate::loss::Formula;
use crate::tensor::Axes;

/// The way in which a load of the input finds its elements of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// The operand has the input's shape, and the same loads.
    Whole,
    /// The operand is a single number.
    Once,
    /// The elements of a load share one element of it.
    Shared(Axes),
    /// Loads lie along the operand.
    Along(Axes),
    /// The elements are read one by one.
    Each(Axes),
}

/// An operand as a kernel reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct OperandSpec {
    pub element_type: ElementType,
    pub reading: Reading,
}

/// The properties that the texts of the kernels of single elements depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PointwiseSpec {
    /// The formula.
    pub formula: Formula,
    /// The target.
    pub target: OperandSpec,
    /// The elements' weight, if there is one.
    pub weight: Option<OperandSpec>,
    /// The weight of the positive part, if there is one.
    pub pos_weight: Option<OperandSpec>,
    /// The variance, if there is one.
    pub variance: Option<OperandSpec>,
    /// The type of the target's gradient, if it is written.
    pub target_grad: Option<ElementType>,
    /// The type of the variance's gradient, if it is written.
    pub variance_grad: Option<ElementType>,
    /// The kernel computes the elements that fill no load.
    pub tail: bool,
}
