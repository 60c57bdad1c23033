//! Every row's loss beside the reduced one.
//!
//! A call gives either. Where rows are looked at, the loss is computed without its reduction, in the one
//! pass there is, and reduced here in f64 from the rows' losses, which are f32 and kept where results
//! are kept that nobody saves. The gradient of the reduced loss is that of the rows with the same
//! upstream gradient for each: what was given, divided by what the reduction divides by.

use std::ops::Range;

use wgpu_loss::loss::{Divisor, Shapes};
use wgpu_loss::{ElementType, Floats, LargeOutput, Outputs, Problem, Reduction};

use crate::computed::Computed;
use crate::data::{Data, Given, Operand, Role, Stop};
use crate::error::Failure;
use crate::files::{Bytes, Part, Scratch, floats};
use crate::formula::Formula;
use crate::question::{self, Question};
use crate::results::Complete;

/// So many rows are looked at in one go.
const STEP: usize = 1 << 20;

/// A loss without its reduction.
pub struct Unreduced {
    formula: Formula,
    outputs: Outputs,
    problem: Problem,
    /// For a gradient, what each row's is multiplied by.
    upstream: Option<Bytes>,
}

impl Unreduced {
    /// The same loss over the same data.
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

    /// What goes in.
    pub fn data<'a>(&'a self, data: &Data<'a>) -> Data<'a> {
        let given = self.upstream.as_ref().map(|all| Given {
            role: Role::Upstream,
            operand: Operand::Floats(floats(ElementType::F32, all)),
            shape: &self.problem.row_shape,
        });
        data.with(Role::Upstream, given)
    }

    /// What is computed.
    pub fn question<'a>(&'a self, data: &'a Data<'a>) -> Question<'a> {
        Question { formula: &self.formula, outputs: self.outputs, data, problem: &self.problem }
    }
}

/// The loss of a problem and its z-loss, from those of its rows.
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
    let reduced = |what| question::reduced(problem, &computed.summary, sum(what)) as f32;
    computed.loss = Some(reduced(LargeOutput::RowLoss));
    computed.z_loss = (problem.z_loss != 0.0).then(|| reduced(LargeOutput::ZLoss));
}

/// A range in steps that are looked at in one go.
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
    // A mean over nothing moves nothing.
    Ok(if divisor == 0.0 { 0.0 } else { (given / divisor) as f32 })
}

/// A number for each row, in memory or, where they are many, in a temporary file.
fn same_for_all(number: f32, rows: usize) -> Result<Bytes, Failure> {
    let mut scratch = Scratch::new(4 * rows as u64).map_err(Failure::Failed)?;
    let some = vec![number; rows.min(STEP)];
    for start in (0..rows).step_by(STEP) {
        let some = &some[..(rows - start).min(STEP)];
        scratch.write(4 * start as u64, bytemuck::cast_slice(some)).map_err(Failure::Failed)?;
    }
    scratch.done().map_err(Failure::Failed)
}

/// The losses of all rows, and which of the rows do not count.
pub struct Rows<'a> {
    /// One for each row.
    pub losses: Floats<'a>,
    /// Where they are kept.
    pub kept: &'a Complete,
    /// What they are losses of.
    pub data: &'a Data<'a>,
    /// The loss.
    pub problem: &'a Problem,
}

/// A run of rows.
pub struct Run<'a> {
    losses: Floats<'a>,
    labels: Option<Part<'a>>,
    weights: Option<Part<'a>>,
    ignore_index: i64,
}

impl Rows<'_> {
    /// Some of them.
    pub fn run(&self, range: Range<usize>) -> Result<Run<'_>, Failure> {
        Ok(Run {
            losses: self.losses.slice(range.clone()),
            labels: self.data.labels(self.problem, range.clone())?,
            weights: self.data.part(Role::RowWeights, range)?,
            ignore_index: self.problem.ignore_index,
        })
    }

    /// Says that some of them have been looked at.
    pub fn seen(&self, range: Range<usize>) {
        self.kept.release(LargeOutput::RowLoss, range);
    }

    /// The label of a row, where there are labels.
    pub fn label(&self, row: usize) -> Result<Option<i128>, Failure> {
        Ok(self.run(row..row + 1)?.label(0))
    }
}

impl Run<'_> {
    /// Each row's loss, or `None` where it does not count.
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
