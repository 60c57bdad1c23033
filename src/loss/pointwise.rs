//! The common part of the losses of single elements: operands that are broadcast to the input's shape, checks, and the
//! problem they state.

use super::{
    Divisor, EmptyMean, Function, LogitMap, Outputs, Problem, Reduction, Shapes, Upstream,
};
use crate::tensor::{Axes, ElementType, TargetType, broadcast, element_count};
use crate::{ClassView, Error};

/// The formula of one element's loss, with the options that change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Formula {
    Bce,
    BceWithLogits,
    KlDiv { log_target: bool },
    GaussianNll { full: bool },
    PoissonNll { log_input: bool, full: bool },
}

/// A tensor that is broadcast to the input's shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Operand {
    pub element_type: ElementType,
    pub axes: Axes,
    /// The number of its elements.
    pub elements: usize,
}

/// The formula and the operands, apart from the input, of a loss of single elements; a part of the [`Problem`].
///
/// ```
/// use wgpu_loss::loss::{Loss, Shapes};
/// use wgpu_loss::{Bce, ElementType, Outputs, TargetType};
///
/// // A problem that has it is one of single elements: every element is a row.
/// let shapes = Shapes::new(&[8, 3]).target(TargetType::Values(ElementType::F32), &[8, 3]);
/// let problem = Bce::new().problem(&shapes, Outputs::loss())?;
/// assert!(problem.pointwise.is_some());
/// assert_eq!(problem.row_shape, [8, 3]);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pointwise {
    pub(crate) formula: Formula,
    pub(crate) target: Operand,
    pub(crate) weight: Option<Operand>,
    pub(crate) pos_weight: Option<Operand>,
    pub(crate) var: Option<Operand>,
    /// The bound that keeps the variance away from zero, or the term that keeps the rate away from it.
    pub(crate) eps: f32,
    /// The element types of the gradients with respect to target and variance.
    pub(crate) target_grad: ElementType,
    pub(crate) var_grad: ElementType,
}

impl Pointwise {
    /// Returns true if the gradient with respect to the variance is a sum over the elements that share one.
    pub(crate) fn sums_var(&self) -> bool {
        self.var.is_some_and(|var| var.axes != Axes::Elements)
    }
}

/// Returns the view of the sums of a variance's gradient: the input as `(outer, summed, inner)`, where each pair of an
/// outer and an inner position shares one variance.
pub(crate) fn sum_view(axes: Axes, view: ClassView) -> ClassView {
    let ClassView { outer: o, classes: c, inner: i } = view;
    let (outer, classes, inner) = match axes {
        Axes::Outer => (o, c * i, 1),
        Axes::OuterClasses => (o * c, i, 1),
        Axes::Inner => (1, o * c, i),
        Axes::ClassesInner => (1, o, c * i),
        Axes::Rows => (o, c, i),
        // No variance lies along the classes alone: at most one of the input's axes is missing.
        Axes::Elements | Axes::Classes | Axes::One => (1, o * c * i, 1),
    };
    ClassView { outer, classes, inner }
}

/// A loss of single elements before its shapes are known.
pub(super) struct Statement {
    pub name: &'static str,
    pub function: Function,
    pub formula: Formula,
    pub eps: f32,
    pub reduction: Reduction,
    pub empty_mean: EmptyMean,
}

impl Statement {
    /// Checks shapes and outputs and states the problem.
    pub fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        self.check_operands(shapes)?;
        self.check_outputs(shapes, outputs)?;
        let (target_type, target) = self.target(shapes)?;
        let var = match shapes.var {
            Some((element_type, shape)) => Some((element_type, var_shape(shape, shapes.input)?)),
            None => None,
        };
        let mut given = vec![("target", target)];
        given.extend(shapes.element_weight.map(|(_, shape)| ("weight", shape)));
        given.extend(shapes.pos_weight.map(|(_, shape)| ("pos_weight", shape)));
        given.extend(var.as_ref().map(|(_, shape)| ("var", shape.as_slice())));
        let (view, axes) = broadcast(shapes.input, &given)?;
        let mut found = given.iter().zip(axes);
        let mut operand = |element_type| {
            let Some((&(what, shape), axes)) = found.next() else { return Ok(None) };
            let elements = element_count(what, shape)?;
            Ok(Some(Operand { element_type, axes, elements }))
        };
        let mut given =
            |element_type: Option<ElementType>| element_type.map_or(Ok(None), &mut operand);
        let target = given(Some(target_type))?.expect("a target was given");
        let weight = given(shapes.element_weight.map(|(element_type, _)| element_type))?;
        let pos_weight = given(shapes.pos_weight.map(|(element_type, _)| element_type))?;
        let var = given(var.as_ref().map(|(element_type, _)| *element_type))?;
        let pointwise = Pointwise {
            formula: self.formula,
            target,
            weight,
            pos_weight,
            var,
            eps: self.eps,
            target_grad: outputs.element_type(target_type),
            var_grad: outputs.element_type(var.map_or(ElementType::F32, |var| var.element_type)),
        };
        Ok(Problem {
            function: self.function,
            divisor: self.divisor(shapes.input, view),
            upstream: self.upstream(shapes)?,
            view,
            input_shape: shapes.input.to_vec(),
            class_axis: 0,
            input_type: shapes.input_type,
            output_type: outputs.element_type(shapes.input_type),
            row_shape: shapes.input.to_vec(),
            target: Some(TargetType::Values(target_type)),
            weight_type: None,
            ignore_index: -100,
            label_smoothing: 0.0,
            row_weights: false,
            logits: LogitMap::IDENTITY,
            z_loss: 0.0,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
            outputs,
            pointwise: Some(pointwise),
            class_shard: None,
            states: None,
        })
    }

    /// Returns an error for operands that the loss does not take, and for missing ones.
    fn check_operands(&self, shapes: &Shapes<'_>) -> Result<(), Error> {
        let weighted = matches!(self.formula, Formula::Bce | Formula::BceWithLogits);
        let gaussian = matches!(self.formula, Formula::GaussianNll { .. });
        let logits = self.formula == Formula::BceWithLogits;
        for (operand, given, wanted) in [
            ("class weight", shapes.weight.is_some(), false),
            ("row weight", shapes.row_weights.is_some(), false),
            ("states", shapes.states.is_some(), false),
            ("element weight", shapes.element_weight.is_some() && !weighted, false),
            ("pos_weight", shapes.pos_weight.is_some() && !logits, false),
            ("var", shapes.var.is_some(), gaussian),
        ] {
            if given != wanted {
                return Err(Error::Operand { loss: self.name, operand, wanted });
            }
        }
        Ok(())
    }

    /// Returns an error for outputs that the loss does not have.
    fn check_outputs(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<(), Error> {
        let Outputs { grad, target_grad, var_grad, in_f32, .. } = outputs;
        let known = Outputs { grad, target_grad, var_grad, in_f32, ..Outputs::default() };
        let refuse = |given: &str, wanted| {
            Err(Error::Option { option: "outputs", given: given.into(), wanted })
        };
        if known != outputs {
            return refuse("of a class axis", "a loss of single elements has gradients alone");
        }
        let gaussian = matches!(self.formula, Formula::GaussianNll { .. });
        let divergence = matches!(self.formula, Formula::KlDiv { .. });
        if target_grad && !(gaussian || divergence) {
            return refuse("target_grad", "kl_div and gaussian_nll alone give it");
        }
        if var_grad && !gaussian {
            return refuse("var_grad", "gaussian_nll alone gives it");
        }
        match shapes.target {
            Some((_, shape)) if target_grad && shape != shapes.input => {
                refuse("target_grad", "it is there for targets of the input's shape")
            }
            _ => Ok(()),
        }
    }

    /// Returns the target's type and shape.
    fn target<'a>(&self, shapes: &Shapes<'a>) -> Result<(ElementType, &'a [usize]), Error> {
        match shapes.target {
            Some((TargetType::Values(element_type), shape)) => {
                let same = matches!(self.formula, Formula::Bce | Formula::BceWithLogits);
                if same {
                    // PyTorch broadcasts no target of these two losses: a wrong shape is a mistake.
                    super::check_shape("target", shape, shapes.input)?;
                }
                Ok((element_type, shape))
            }
            other => Err(Error::Target {
                loss: self.name,
                given: TargetType::described(other.map(|(target, _)| target)),
                wanted: "values for the elements (Inputs::target)",
            }),
        }
    }

    fn divisor(&self, input: &[usize], view: ClassView) -> Divisor {
        Divisor::Known(match self.reduction {
            Reduction::None | Reduction::Sum => 1.0,
            Reduction::Mean => view.elements() as f64,
            Reduction::BatchMean => input.first().copied().unwrap_or(1) as f64,
        })
    }

    fn upstream(&self, shapes: &Shapes<'_>) -> Result<Upstream, Error> {
        let Some(given) = shapes.upstream else { return Ok(Upstream::Ones) };
        super::check_f32("upstream gradient", shapes.upstream_type)?;
        let (wanted, upstream) = match self.reduction {
            Reduction::None => (shapes.input, Upstream::PerRow),
            _ => (&[][..], Upstream::Scalar),
        };
        let scalar = upstream == Upstream::Scalar && given.iter().all(|&extent| extent == 1);
        if !scalar {
            super::check_shape("upstream gradient", given, wanted)?;
        }
        Ok(upstream)
    }
}

/// Returns the shape by which a variance is broadcast, by PyTorch's rules: the input's; the input's without the last
/// axis; the input's with 1 for one of its axes; or a single number.
fn var_shape(shape: &[usize], input: &[usize]) -> Result<Vec<usize>, Error> {
    let one_axis_less = input.split_last().is_some_and(|(_, rest)| rest == shape);
    let single = shape.iter().all(|&extent| extent == 1) && shape.len() <= input.len();
    let missing: Vec<_> =
        shape.iter().zip(input).filter(|(given, wanted)| given != wanted).collect();
    if shape == input {
        Ok(shape.to_vec())
    } else if one_axis_less {
        Ok([shape, &[1]].concat())
    } else if single || (shape.len() == input.len() && matches!(missing[..], [(1, _)])) {
        Ok(shape.to_vec())
    } else {
        Err(Error::Shape { what: "var", given: shape.to_vec(), wanted: input.to_vec() })
    }
}

impl Problem {
    /// Returns the number of losses before they are reduced: one for each element, or for each row of classes.
    pub fn losses(&self) -> usize {
        match self.pointwise {
            Some(_) => self.view.elements(),
            None => self.view.rows(),
        }
    }

    /// Returns the index in the variance of the value that an element of the input uses: errors name a bad value by its
    /// index in its own tensor.
    pub(crate) fn var_position(&self, element: u64) -> u64 {
        let var = self.pointwise.and_then(|pointwise| pointwise.var);
        var.map_or(element, |var| var.axes.index(&self.view, element as usize) as u64)
    }
}
