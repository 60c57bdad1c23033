//! Specialisations of the kernels of single elements: the formula, and how its operands are read.

use crate::ElementType;
use crate::loss::Formula;
use crate::tensor::Axes;

/// How a load of the input finds what goes with it in an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// The operand has the input's shape, and the same loads.
    Whole,
    /// It is a single number.
    Once,
    /// The elements of a load share one.
    Shared(Axes),
    /// Loads lie along it.
    Along(Axes),
    /// One by one.
    Each(Axes),
}

/// An operand as a kernel reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct OperandSpec {
    pub element_type: ElementType,
    pub reading: Reading,
}

/// What the kernels of single elements depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PointwiseSpec {
    /// The formula.
    pub formula: Formula,
    /// The target.
    pub target: OperandSpec,
    /// The elements' weight, if there is one.
    pub weight: Option<OperandSpec>,
    /// The weight of what is positive, if there is one.
    pub pos_weight: Option<OperandSpec>,
    /// The variance, if there is one.
    pub variance: Option<OperandSpec>,
    /// The type of the target's gradient, where it is written.
    pub target_grad: Option<ElementType>,
    /// The type of the variance's gradient, where it is written.
    pub variance_grad: Option<ElementType>,
    /// It takes the elements that fill no load.
    pub tail: bool,
}
