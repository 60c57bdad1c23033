//! Every row's loss, in addition to the reduced one.
//!
//! A call of the library gives either. If the rows' losses are shown, the loss is computed without its reduction, in a
//! single pass, and reduced here in f64 from the rows' losses, which are f32 and are kept with the other results that
//! are not saved. The gradient of the reduced loss is that of the rows with the same upstream gradient for each: the
//! given one, divided by the divisor of the reduction.

use std::ops::Range;

use wgpu_loss::loss::{Divisor, Shapes};
use wgpu_loss::{ElementType, Floats, LargeOutput, Outputs, Problem, Reduction};

use crate::computed::Computed;
use crate::data::{Data, Given, Operand, Role, Stop};
use crate::error::Failure;
use crate::files::{Bytes, Part, Scratch, floats};
use crate::formula::Formula;
use crate::question::Question;
use crate::sinks::Complete;

/// Rows are visited in steps of this many.
const STEP: usize = 1 << 20;

/// A loss without its reduction.
pub struct Unreduced {
    formula: Formula,
    outputs: Outputs,
    problem: Problem,
    /// The upstream gradient of each row, if a gradient is requested.
    upstream: Option<Bytes>,
}

impl Unreduced {
    /// Makes the same loss over the same data, without its reduction.
    pub fn of(question: &Question<'_>, shapes: &Shapes<'_>) -> Result<Self, Stop> {
        let Question { formula, data, problem, outputs } = question;
        let formula = formula.reduced(Reduction::None);
        let mut shapes = *shapes;
        (shapes.upstream, shapes.upstream_type) = (None, ElementType::F32);
        let mut upstream = None;
        if outputs.grad || outputs.target_grad || outputs.var_grad {
            shapes = shapes.upstream(&problem.row_shape);
            upstream = Some(same_for_all(gradient_scale(problem, data)?, problem.losses())?);
        }
        let problem = formula.problem(&shapes, *outputs)?;
        Ok(Self { formula, outputs: *outputs, problem, upstream })
    }

    /// Returns the tensors that it takes.
    pub fn data<'a>(&'a self, data: &Data<'a>) -> Data<'a> {
        let given = self.upstream.as_ref().map(|all| Given {
            role: Role::Upstream,
            operand: Operand::Floats(floats(ElementType::F32, all)),
            shape: &self.problem.row_shape,
        });
        data.with(Role::Upstream, given)
    }

    /// Returns its question.
    pub fn question<'a>(&'a self, data: &'a Data<'a>) -> Question<'a> {
        Question { formula: &self.formula, outputs: self.outputs, data, problem: &self.problem }
    }
}

/// Computes the loss of a problem and its z-loss from those of its rows.
pub fn reduced(problem: &Problem, complete: &Complete, computed: &mut Computed) {
    let sum = |what| {
        let rows = complete.floats(what).unwrap_or(Floats::F32(&[]));
        let sums = steps(0..rows.len()).map(|range| {
            let sum: f64 = rows.slice(range.clone()).iter().map(f64::from).sum();
            complete.release(what, range);
            sum
        });
        sums.sum()
    };
    let reduced = |what| problem.reduced(sum(what), computed.summary.weight) as f32;
    computed.loss = Some(reduced(LargeOutput::RowLoss));
    computed.z_loss = (problem.z_loss != 0.0).then(|| reduced(LargeOutput::ZLoss));
}

/// Divides a range into the steps in which rows are visited.
pub fn steps(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(STEP).map(move |start| start..end.min(start + STEP))
}

fn gradient_scale(problem: &Problem, data: &Data<'_>) -> Result<f32, Failure> {
    let given = match data.get(Role::Upstream) {
        Some(upstream) => f64::from(upstream.all()?.floats().get(0)),
        None => 1.0,
    };
    let divisor = match problem.divisor {
        Divisor::Known(divisor) => divisor,
        Divisor::RowWeights => data.row_weight_sum(problem)?,
    };
    // The gradient of a mean over nothing is 0.
    Ok(if divisor == 0.0 { 0.0 } else { (given / divisor) as f32 })
}

/// Returns one number for each row, in memory or, if they are many, in a temporary file.
fn same_for_all(number: f32, rows: usize) -> Result<Bytes, Failure> {
    let mut scratch = Scratch::new(4 * rows as u64).map_err(Failure::Failed)?;
    let some = vec![number; rows.min(STEP)];
    for start in (0..rows).step_by(STEP) {
        let some = &some[..(rows - start).min(STEP)];
        scratch.write(4 * start as u64, bytemuck::cast_slice(some)).map_err(Failure::Failed)?;
    }
    scratch.done().map_err(Failure::Failed)
}

/// The losses of all rows, and the means to tell which rows do not count.
pub struct Rows<'a> {
    /// One for each row.
    pub losses: Floats<'a>,
    /// The results that they are part of.
    pub kept: &'a Complete,
    /// The tensors that they are computed from.
    pub data: &'a Data<'a>,
    /// The problem.
    pub problem: &'a Problem,
}

/// A range of rows.
pub struct Run<'a> {
    losses: Floats<'a>,
    labels: Option<Part<'a>>,
    weights: Option<Part<'a>>,
    ignore_index: i64,
}

impl Rows<'_> {
    /// Returns a range of the rows.
    pub fn run(&self, range: Range<usize>) -> Result<Run<'_>, Failure> {
        Ok(Run {
            losses: self.losses.slice(range.clone()),
            labels: self.data.labels(self.problem, range.clone())?,
            weights: self.data.part(Role::RowWeights, range)?,
            ignore_index: self.problem.ignore_index,
        })
    }

    /// Releases the memory of rows that have been visited.
    pub fn seen(&self, range: Range<usize>) {
        self.kept.release(LargeOutput::RowLoss, range);
    }

    /// Returns the label of a row, if there are labels.
    pub fn label(&self, row: usize) -> Result<Option<i128>, Failure> {
        Ok(self.run(row..row + 1)?.label(0))
    }
}

impl Run<'_> {
    /// Returns each row's loss, or `None` if it does not count.
    pub fn losses(&self) -> impl Iterator<Item = Option<f32>> {
        let weight = |row| self.weights.as_ref().map(|weights| weights.floats().get(row));
        let ignored = Some(self.ignore_index.into());
        let counts = move |row| self.label(row) != ignored && weight(row) != Some(0.0);
        self.losses.iter().enumerate().map(move |(row, loss)| counts(row).then_some(loss))
    }

    fn label(&self, row: usize) -> Option<i128> {
        self.labels.as_ref().map(|labels| labels.labels().get(row))
    }
}
