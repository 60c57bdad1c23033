//! The tensors of one loss, of which any range can be read.

mod parts;

use std::ops::Range;

use wgpu_loss::loss::Upstream;
use wgpu_loss::reference::weight_in_divisor;
use wgpu_loss::{Error, Floats, Labels, Problem};

use crate::error::Failure;
use crate::files::{Part, Source};

/// Elements that have to be converted are converted in batches of about this many bytes.
pub const BATCH: usize = 16 << 20;

/// Memory of mapped files is released after about so many bytes.
const RELEASE: usize = 32 << 20;

/// The reason why work over data stops.
pub enum Stop {
    /// The library's error, which does not yet have the tensors' names.
    Library(Error),
    /// Any other failure, with its message complete.
    Failure(Failure),
}

impl Stop {
    /// Returns true if elements were refused.
    pub fn is_of_data(&self) -> bool {
        matches!(self, Stop::Library(Error::BadTargets { .. } | Error::BadValues { .. }))
    }
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

/// The role of a tensor in a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Logits or log-probabilities.
    Input,
    /// Labels or class probabilities. A target of integers is labels.
    Target,
    /// Values for the elements, the target of losses of single elements.
    Values,
    /// Class weights.
    Weight,
    /// A weight for each row.
    RowWeights,
    /// A weight for each element.
    ElementWeight,
    /// A weight for the positive part of each element's loss.
    PosWeight,
    /// The variance.
    Var,
    /// The upstream gradient.
    Upstream,
}

impl Role {
    /// Returns its name in errors, ours and the library's.
    pub fn name(self) -> &'static str {
        match self {
            Role::Input => "input",
            Role::Target | Role::Values => "target",
            Role::Weight | Role::ElementWeight => "weight",
            Role::RowWeights => "row weights",
            Role::PosWeight => "pos_weight",
            Role::Var => "var",
            Role::Upstream => "upstream gradient",
        }
    }
}

/// The storage of a tensor's elements.
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
    /// Returns a range of its elements, in C order.
    pub fn part(&self, range: Range<usize>) -> Result<Part<'_>, Failure> {
        match self {
            Operand::File(source) => source.part(range),
            Operand::Floats(floats) => Ok(Part::Floats(floats.slice(range))),
            Operand::Labels(labels) => Ok(Part::Labels(labels.slice(range))),
        }
    }

    fn in_place(&self) -> bool {
        match self {
            Operand::File(source) => source.in_place(),
            Operand::Floats(_) | Operand::Labels(_) => true,
        }
    }
}

/// A tensor of a loss.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Its role.
    pub role: Role,
    /// The storage of its elements.
    pub operand: Operand<'a>,
    /// Its shape.
    pub shape: &'a [usize],
}

impl Given<'_> {
    /// Returns true if it has elements for each row, or each element, and is cut along the first axis with them.
    fn is_of_rows(&self, problem: &Problem) -> bool {
        if problem.pointwise.is_some() {
            let (axes, of) = (self.shape.len(), problem.input_shape.len());
            // A variance may lack the last axis.
            let same = axes == of || (self.role == Role::Var && axes + 1 == of);
            return same && self.shape.first() == problem.input_shape.first();
        }
        match self.role {
            Role::Input | Role::Target | Role::RowWeights => true,
            Role::Upstream => {
                matches!(problem.upstream, Upstream::PerElement(_) | Upstream::PerRow)
            }
            _ => false,
        }
    }

    /// Returns all elements.
    pub fn all(&self) -> Result<Part<'_>, Failure> {
        self.operand.part(0..self.shape.iter().product())
    }
}

/// The tensors of one loss.
#[derive(Clone)]
pub struct Data<'a>(Vec<Given<'a>>);

impl<'a> Data<'a> {
    /// Collects tensors.
    pub fn new(given: impl IntoIterator<Item = Given<'a>>) -> Self {
        Self(given.into_iter().collect())
    }

    /// Returns the same tensors with another one in a role, or without one.
    pub fn with(&self, role: Role, given: Option<Given<'a>>) -> Self {
        let others = self.0.iter().filter(|given| given.role != role).copied();
        Self(others.chain(given).collect())
    }

    /// Returns the tensor in a role.
    pub fn get(&self, role: Role) -> Option<&Given<'a>> {
        self.0.iter().find(|given| given.role == role)
    }

    /// Returns a range of the elements of the tensor in a role, if there is one.
    pub fn part(&self, role: Role, range: Range<usize>) -> Result<Option<Part<'_>>, Failure> {
        self.get(role).map(|given| given.operand.part(range)).transpose()
    }

    /// Returns the labels of a range of rows, if the target is labels.
    pub fn labels(
        &self,
        problem: &Problem,
        rows: Range<usize>,
    ) -> Result<Option<Part<'_>>, Failure> {
        match problem.label_type() {
            Some(_) => self.part(Role::Target, rows),
            None => Ok(None),
        }
    }

    /// Returns true if all tensors can be used in place.
    pub fn in_place(&self) -> bool {
        self.0.iter().all(|given| given.operand.in_place())
    }

    /// Releases the mapped memory of the first `rows` rows, which have been read; that of the rows
    /// before `from` is released already. Returns the `from` of the next call.
    pub fn release(&self, problem: &Problem, from: u64, rows: u64) -> u64 {
        // Counted in steps of the axes before the classes: a step that is read in part is released by a later call.
        let (step_rows, classes) = match problem.pointwise {
            Some(_) => (1, 1),
            None => (problem.view.inner.max(1), problem.view.classes),
        };
        let step = |rows: u64| rows as usize / step_rows;
        // Releasing row by row would be one system call for each.
        let some = (RELEASE / (4 * classes).max(1)) as u64;
        if rows < from + some && rows < problem.losses() as u64 {
            return from;
        }
        for given in &self.0 {
            let by = match given.shape == problem.input_shape {
                true => step_rows * classes,
                false if problem.pointwise.is_none() && given.is_of_rows(problem) => step_rows,
                false => continue,
            };
            if let Operand::File(source) = given.operand {
                source.release(step(from) * by..step(rows) * by);
            }
        }
        (step(rows) * step_rows) as u64
    }

    /// Returns the divisor of a weighted mean. A bad label adds nothing to it: the computation reports it.
    pub fn row_weight_sum(&self, problem: &Problem) -> Result<f64, Failure> {
        let rows = problem.view.rows();
        let weights = self.get(Role::Weight).map(Given::all).transpose()?;
        let weights = weights.as_ref().map(Part::floats);
        let mut sum = 0.0;
        for start in (0..rows).step_by(BATCH) {
            let range = start..rows.min(start + BATCH);
            let labels = self.labels(problem, range.clone())?;
            let own = self.part(Role::RowWeights, range.clone())?;
            for row in 0..range.len() {
                let own = own.as_ref().map_or(1.0, |own| f64::from(own.floats().get(row)));
                let label = labels.as_ref().map(|labels| labels.labels().get(row));
                sum += weight_in_divisor(problem, label, weights, own);
            }
        }
        Ok(sum)
    }
}
