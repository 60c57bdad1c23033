//! The shapes and element types of a loss's tensors, before any check.

use super::Taken;
use crate::Error;
use crate::tensor::{ElementType, TargetType};

/// The shapes and types of a loss's inputs, without their data.
///
/// ```
/// use wgpu_loss::loss::Shapes;
/// use wgpu_loss::{BceWithLogits, CrossEntropy, ElementType, LabelType, Outputs, Plan, Profile, TargetType};
///
/// let (device, outputs) = (Profile::portable(), Outputs::loss());
/// let images = Shapes::new(&[4, 21, 512, 512])
///     .input_type(ElementType::F16)
///     .target(TargetType::Labels(LabelType::U8), &[4, 512, 512])
///     .weight(21);
/// Plan::new(&CrossEntropy::new(), &images, outputs, &device)?;
/// let columns = Shapes::new(&[100, 7])
///     .target(TargetType::Values(ElementType::F32), &[100, 7])
///     .pos_weight(ElementType::F32, &[7]);
/// Plan::new(&BceWithLogits::new(), &columns, outputs, &device)?;
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Shapes<'a> {
    /// Shape of the input: logits, or log-probabilities.
    pub input: &'a [usize],
    /// The input's element type.
    pub input_type: ElementType,
    /// Type and shape of the target, for losses that have one.
    pub target: Option<(TargetType, &'a [usize])>,
    /// Length of the class weights, if there are any.
    pub weight: Option<usize>,
    /// The class weights' type.
    pub weight_type: ElementType,
    /// Shape of the row weights, if there are any.
    pub row_weights: Option<&'a [usize]>,
    /// Type and shape of the elements' weights, if there are any.
    pub element_weight: Option<(ElementType, &'a [usize])>,
    /// Type and shape of the weights of positive elements, if there are any.
    pub pos_weight: Option<(ElementType, &'a [usize])>,
    /// Type and shape of the variance, if there is one.
    pub var: Option<(ElementType, &'a [usize])>,
    /// Shape of the upstream gradient (the gradient with respect to the loss), if there is one.
    pub upstream: Option<&'a [usize]>,
    /// The upstream gradient's type.
    pub upstream_type: ElementType,
    /// The number of shards whose states are given, if any are.
    pub states: Option<usize>,
}

impl<'a> Shapes<'a> {
    /// Returns the shapes of an f32 input alone.
    pub fn new(input: &'a [usize]) -> Self {
        Self {
            input,
            input_type: ElementType::F32,
            target: None,
            weight: None,
            weight_type: ElementType::F32,
            element_weight: None,
            pos_weight: None,
            var: None,
            row_weights: None,
            upstream: None,
            upstream_type: ElementType::F32,
            states: None,
        }
    }

    /// Sets a weight for each element, in a shape that broadcasts to the input's.
    pub fn element_weight(mut self, element_type: ElementType, shape: &'a [usize]) -> Self {
        self.element_weight = Some((element_type, shape));
        self
    }

    /// Sets a weight for the positive part of each element's loss, in a shape that broadcasts to the input's.
    pub fn pos_weight(mut self, element_type: ElementType, shape: &'a [usize]) -> Self {
        self.pos_weight = Some((element_type, shape));
        self
    }

    /// Sets a variance.
    pub fn var(mut self, element_type: ElementType, shape: &'a [usize]) -> Self {
        self.var = Some((element_type, shape));
        self
    }

    /// Returns an error for operands that a loss over a class axis does not take. The target has a check of its own.
    pub(super) fn check_class_axis(&self, loss: &'static str, taken: Taken) -> Result<(), Error> {
        let superfluous = [
            ("class weight", self.weight.is_some() && !taken.class_weights),
            ("row weight", self.row_weights.is_some() && !taken.row_weights),
            // Only losses of single elements take these.
            ("element weight", self.element_weight.is_some()),
            ("pos_weight", self.pos_weight.is_some()),
            ("var", self.var.is_some()),
            ("states", self.states.is_some() && !taken.states),
        ];
        match superfluous.into_iter().find(|&(_, given)| given) {
            Some((operand, _)) => Err(Error::Operand { loss, operand, wanted: false }),
            None => Ok(()),
        }
    }

    /// Sets the input's element type.
    pub fn input_type(mut self, input_type: ElementType) -> Self {
        self.input_type = input_type;
        self
    }

    /// Sets a target.
    pub fn target(mut self, target: TargetType, shape: &'a [usize]) -> Self {
        self.target = Some((target, shape));
        self
    }

    /// Sets `classes` class weights, f32 unless [`weight_type`](Self::weight_type) sets another type.
    pub fn weight(mut self, classes: usize) -> Self {
        self.weight = Some(classes);
        self
    }

    /// Sets the element type of the class weights, if there are any.
    pub fn weight_type(mut self, weight_type: ElementType) -> Self {
        self.weight_type = weight_type;
        self
    }

    /// Returns the class weights' type, if there are any.
    pub(super) fn given_weight_type(&self) -> Option<ElementType> {
        self.weight.map(|_| self.weight_type)
    }

    /// Sets a weight for each row, f32.
    pub fn row_weights(mut self, shape: &'a [usize]) -> Self {
        self.row_weights = Some(shape);
        self
    }

    /// Sets an upstream gradient, f32 unless [`upstream_type`](Self::upstream_type) sets another type.
    pub fn upstream(mut self, shape: &'a [usize]) -> Self {
        self.upstream = Some(shape);
        self
    }

    /// Sets the element type of the upstream gradient, for the losses that take one in the input's shape.
    pub fn upstream_type(mut self, upstream_type: ElementType) -> Self {
        self.upstream_type = upstream_type;
        self
    }

    /// Sets the number of shards whose [states](crate::RowStates) are given.
    pub fn states(mut self, shards: usize) -> Self {
        self.states = Some(shards);
        self
    }
}
