//! The tensors of one loss, of which any range can be had.

use std::ops::Range;

use wgpu_loss::loss::Upstream;
use wgpu_loss::{Error, Floats, Inputs, Labels, Problem, Tensor};

use crate::error::Failure;
use crate::files::{Kind, Part, Source};

/// Why work over data stops.
pub enum Stop {
    /// The library refused it; the tensors' names are still to be said.
    Library(Error),
    /// Anything else, said already.
    Failure(Failure),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Library(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failure(failure)
    }
}

/// A tensor, wherever its elements are.
pub enum Operand<'a> {
    /// In a file.
    File(&'a Source),
    /// Floats in memory.
    Floats(Floats<'a>),
    /// Labels in memory.
    Labels(Labels<'a>),
}

impl Operand<'_> {
    /// A range of its elements, in C order.
    pub fn part(&self, range: Range<usize>) -> Result<Part<'_>, Failure> {
        match self {
            Operand::File(source) => source.part(range),
            Operand::Floats(floats) => Ok(Part::Floats(floats.slice(range))),
            Operand::Labels(labels) => Ok(Part::Labels(labels.slice(range))),
        }
    }
}

/// The tensors of one loss. A target of integers is labels.
pub struct Data<'a> {
    /// Logits or log-probabilities.
    pub input: Operand<'a>,
    /// Labels or class probabilities.
    pub target: Option<Operand<'a>>,
    /// Class weights.
    pub weight: Option<Operand<'a>>,
    /// The upstream gradient.
    pub upstream: Option<Operand<'a>>,
}

/// A range of the tensors' outer steps.
pub struct Steps<'a> {
    input: Part<'a>,
    input_shape: Vec<usize>,
    target: Option<Part<'a>>,
    row_shape: Vec<usize>,
    weight: Option<Part<'a>>,
    upstream: Option<Part<'a>>,
    upstream_shape: Vec<usize>,
}

impl Data<'_> {
    /// A range of outer steps: what lies before the class axis is one axis, cut, and what lies behind it
    /// is another.
    pub fn steps(&self, problem: &Problem, outer: Range<usize>) -> Result<Steps<'_>, Failure> {
        let (view, steps) = (&problem.view, outer.len());
        self.shaped(problem, outer, vec![steps, view.classes, view.inner], vec![steps, view.inner])
    }

    /// Everything, in its own shape.
    pub fn whole(&self, problem: &Problem) -> Result<Steps<'_>, Failure> {
        let (input, rows) = (problem.input_shape.clone(), problem.row_shape.clone());
        self.shaped(problem, 0..problem.view.outer, input, rows)
    }

    fn shaped(
        &self,
        problem: &Problem,
        outer: Range<usize>,
        input_shape: Vec<usize>,
        row_shape: Vec<usize>,
    ) -> Result<Steps<'_>, Failure> {
        let view = &problem.view;
        let scaled = |by: usize| outer.start * by..outer.end * by;
        let (elements, rows) = (scaled(view.classes * view.inner), scaled(view.inner));
        let of_target = if problem.label_type().is_some() { &rows } else { &elements };
        let (of_upstream, upstream_shape) = match problem.upstream {
            Upstream::PerRow => (&rows, row_shape.clone()),
            _ => (&(0..1), Vec::new()),
        };
        Ok(Steps {
            target: part(&self.target, of_target)?,
            weight: part(&self.weight, &(0..view.classes))?,
            upstream: part(&self.upstream, of_upstream)?,
            input: self.input.part(elements)?,
            input_shape,
            row_shape,
            upstream_shape,
        })
    }
}

/// A range of a tensor that may not be there.
fn part<'a>(
    operand: &'a Option<Operand<'_>>,
    range: &Range<usize>,
) -> Result<Option<Part<'a>>, Failure> {
    operand.as_ref().map(|operand| operand.part(range.clone())).transpose()
}

impl Steps<'_> {
    /// As the library takes them.
    pub fn inputs(&self) -> Inputs<'_> {
        let shape = &self.input_shape[..];
        let mut inputs = Inputs::new(Tensor { data: self.input.floats(), shape });
        match &self.target {
            None => {}
            Some(target @ (Part::Labels(_) | Part::Copied(Kind::Labels(_), _))) => {
                inputs = inputs.labels(target.labels(), &self.row_shape);
            }
            Some(target) => {
                inputs = inputs.probabilities(Tensor { data: target.floats(), shape });
            }
        }
        if let Some(weight) = &self.weight {
            inputs = inputs.weight(weight.floats());
        }
        if let Some(upstream) = &self.upstream {
            let shape = &self.upstream_shape[..];
            inputs = inputs.upstream(Tensor { data: upstream.floats(), shape });
        }
        inputs
    }
}
