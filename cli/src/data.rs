//! The tensors of one loss, of which any range can be had.

use std::ops::Range;

use wgpu_loss::loss::Upstream;
use wgpu_loss::{Error, Floats, Inputs, Labels, Problem, Tensor};

use crate::error::Failure;
use crate::files::{Kind, Part, Source};

/// What has to be converted is converted in batches of about this many bytes.
pub const BATCH: usize = 16 << 20;

/// Memory of files is given back after about so many bytes.
const RELEASE: usize = 32 << 20;

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
#[derive(Clone, Copy)]
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

impl Operand<'_> {
    fn in_place(&self) -> bool {
        match self {
            Operand::File(source) => source.in_place(),
            Operand::Floats(_) | Operand::Labels(_) => true,
        }
    }
}

/// The tensors of one loss. A target of integers is labels.
#[derive(Clone, Copy)]
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

    /// Whether all tensors can be used where they lie.
    pub fn in_place(&self) -> bool {
        let others = [&self.target, &self.weight, &self.upstream];
        self.input.in_place() && others.into_iter().flatten().all(Operand::in_place)
    }

    /// Says that the first so many rows have been read, of which those before `from` have been said
    /// before. What is mapped need not stay in memory for them. Gives what to say next time.
    pub fn release(&self, problem: &Problem, from: u64, rows: u64) -> u64 {
        let view = &problem.view;
        let outer = |rows: u64| rows as usize / view.inner.max(1);
        // Row by row it would be one call to the kernel after the other.
        if rows < from + (RELEASE / (view.classes * 4).max(1)) as u64 && rows < view.rows() as u64 {
            return from;
        }
        let range = |by: usize| outer(from) * by..outer(rows) * by;
        let release = |operand: &Operand<'_>, range: Range<usize>| match operand {
            Operand::File(source) => source.release(range),
            Operand::Floats(_) | Operand::Labels(_) => {}
        };
        release(&self.input, range(view.classes * view.inner));
        if let Some(target) = &self.target {
            let labels = problem.label_type().is_some();
            let classes = if labels { 1 } else { view.classes };
            release(target, range(classes * view.inner));
        }
        (outer(rows) * view.inner) as u64
    }

    /// How many steps of the first axis make a batch. The classes must not be on it.
    pub fn batch_steps(&self, problem: &Problem) -> usize {
        let step: usize = problem.input_shape.iter().skip(1).product();
        (BATCH / (step * problem.input_type.bytes() as usize).max(1)).max(1)
    }

    /// A range of the first axis, on which the classes must not be, in its own shape.
    pub fn batch(&self, problem: &Problem, steps: Range<usize>) -> Result<Steps<'_>, Failure> {
        let (mut input, mut rows) = (problem.input_shape.clone(), problem.row_shape.clone());
        let by = problem.view.outer / input[0];
        (input[0], rows[0]) = (steps.len(), steps.len());
        self.shaped(problem, steps.start * by..steps.end * by, input, rows)
    }

    /// The sum of the labels' weights. Bad labels count nothing: whoever computes will tell of them.
    pub fn label_weights(&self, problem: &Problem) -> Result<f64, Failure> {
        let Some(labels) = &self.target else { return Ok(0.0) };
        let (rows, classes) = (problem.view.rows(), problem.view.classes);
        let weights = self.weight.as_ref().map(|weights| weights.part(0..classes)).transpose()?;
        let weights = weights.as_ref().map(Part::floats);
        let weight = |label: i128| match usize::try_from(label) {
            _ if label == i128::from(problem.ignore_index) => 0.0,
            Ok(class) if class < classes => weights.map_or(1.0, |all| f64::from(all.get(class))),
            _ => 0.0,
        };
        let mut sum = 0.0;
        for start in (0..rows).step_by(BATCH) {
            let part = labels.part(start..rows.min(start + BATCH))?;
            let labels = part.labels();
            sum += (0..labels.len()).map(|row| weight(labels.get(row))).sum::<f64>();
        }
        Ok(sum)
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
