//! What numbers are measured against that are differences of larger ones.
//!
//! ```text
//! cross-entropy   V p - w q' + 2 coefficient lse p    against V p + |2 coefficient lse| p
//! entropy         p (-log p - H)                      against p (-log p + H)
//! softmax         p (u - sum p u)                     against p (|u| + max |u|)
//! log-softmax     u - p sum u                         against |u| + p sum |u|
//! ```
//!
//! Where two rounded numbers are nearly equal, their difference has few digits in any arithmetic. A plain
//! label's gradient is a product, and is measured against itself.
//!
//! Logits that are scaled or capped are rounded once more, to a share of their size, and what is made of
//! their differences is as far off as that.

use wgpu_loss::loss::{Function, Upstream};
use wgpu_loss::{Outputs, Problem, TargetType};

use super::comparison::largest;
use super::words::mapped;
use crate::data::{BATCH, Cut, Given, Role};
use crate::error::Failure;
use crate::twin::{Piece, Question};

/// What a logit that is computed may be off by, relative to its size.
const LOGIT: f64 = 1.0 / (1 << 22) as f64;

/// How the numbers of a loss come about.
pub struct Terms {
    /// The gradient is a difference.
    cancels: bool,
    /// The largest class weight.
    heaviest: f64,
    /// What any number made of logits may be off by, beyond what all numbers may be.
    pub rounding: f64,
}

impl Terms {
    /// Those of a loss.
    pub fn of(question: &Question<'_>) -> Result<Self, Failure> {
        let weights = question.data.get(Role::Weight).map(Given::all).transpose()?;
        let heaviest = weights.map_or(1.0, |weights| largest(weights.floats().iter()));
        let cancels = question.outputs.grad && cancels(question.problem);
        Ok(Self { cancels, heaviest, rounding: LOGIT * largest_logit(question)? })
    }

    /// What the reference is asked for: what is compared, and what that is measured against.
    pub fn outputs(&self, problem: &Problem, outputs: Outputs) -> Outputs {
        match problem.function {
            Function::CrossEntropy if self.cancels => outputs.with_log_probs().with_lse(),
            Function::Entropy if self.cancels => outputs.with_log_probs().with_entropy(),
            _ => outputs,
        }
    }

    /// What the elements of a piece's gradient are measured against at least; nothing where they are
    /// measured against themselves.
    pub fn of_gradient(
        &self,
        question: &Question<'_>,
        piece: &Piece<'_>,
    ) -> Result<Option<Vec<f64>>, Failure> {
        let Some(grad) = piece.output.grad.as_ref().filter(|_| self.cancels) else {
            return Ok(None);
        };
        let problem = question.problem;
        let per_row = |first: usize, i: usize| problem.view.row_and_class(first + i).0 - piece.row;
        let (first, output) = (piece.element, piece.output);
        let logs = output.log_probs.as_deref();
        let prob = |i: usize| match (&output.probs, logs) {
            (Some(probs), _) => probs[i],
            (None, Some(logs)) => logs[i].exp(),
            (None, None) => 0.0,
        };
        let all = 0..grad.len();
        if problem.function == Function::Softmax {
            return self.of_jacobian(question, piece, prob).map(Some);
        }
        let scales = scales(question, piece)?;
        let rows = &output.rows;
        let floors = all.map(|i| {
            let row = per_row(first, i);
            let terms = match problem.function {
                Function::Entropy => {
                    let entropy = rows.entropy.as_ref().map_or(0.0, |all| all[row]);
                    logs.map_or(0.0, |logs| entropy - logs[i])
                }
                _ => {
                    let lse = rows.lse.as_ref().map_or(0.0, |all| all[row]);
                    let z_loss = 2.0 * f64::from(problem.z_loss) * lse.abs().max(1.0);
                    f64::from(problem.logits.scale) * (self.heaviest + z_loss.abs())
                }
            };
            let floor = scales[row] * terms * prob(i);
            if floor.is_nan() { 0.0 } else { floor }
        });
        Ok(Some(floors.collect()))
    }

    /// Those of the softmaxes.
    fn of_jacobian(
        &self,
        question: &Question<'_>,
        piece: &Piece<'_>,
        prob: impl Fn(usize) -> f64,
    ) -> Result<Vec<f64>, Failure> {
        let (problem, cut) = (question.problem, Cut::of(question.problem));
        let Some(upstream) = question.data.get(Role::Upstream) else { return Ok(Vec::new()) };
        let count = piece.output.grad.as_ref().map_or(0, Vec::len);
        let part = upstream.operand.part(piece.element..piece.element + count)?;
        let pull = |i: usize| f64::from(part.floats().get(i).abs());
        let row = |i: usize| problem.view.row_and_class(piece.element + i).0 - piece.row;
        let (mut sums, mut most) =
            (vec![0.0; count.div_ceil(problem.view.classes.max(1))], Vec::new());
        most.clone_from(&sums);
        debug_assert!(sums.len() >= cut.rows.min(count));
        for i in 0..count {
            sums[row(i)] += pull(i);
            most[row(i)] = pull(i).max(most[row(i)]);
        }
        let floors = (0..count).map(|i| match problem.outputs.log_probs {
            true => pull(i) + prob(i) * sums[row(i)],
            false => prob(i) * (pull(i) + most[row(i)]),
        });
        Ok(floors.map(|floor| if floor.is_nan() { 0.0 } else { floor }).collect())
    }
}

fn cancels(problem: &Problem) -> bool {
    match problem.function {
        Function::CrossEntropy => {
            matches!(problem.target, Some(TargetType::Probabilities(_)))
                || problem.label_smoothing > 0.0
                || problem.z_loss != 0.0
        }
        Function::Entropy | Function::Softmax => true,
        _ => false,
    }
}

/// What the gradients of a piece's rows are multiplied by: upstream gradient, row weight, divisor.
pub fn scales(question: &Question<'_>, piece: &Piece<'_>) -> Result<Vec<f64>, Failure> {
    let rows = piece.output.summary.rows as usize;
    let range = piece.row..piece.row + rows;
    let upstream = match question.data.get(Role::Upstream) {
        Some(given) if question.problem.upstream == Upstream::PerRow => {
            Some(given.operand.part(range.clone())?)
        }
        Some(given) => Some(given.all()?),
        None => None,
    };
    let weights = question.data.get(Role::RowWeights);
    let weights = weights.map(|given| given.operand.part(range)).transpose()?;
    let divisor = piece.divisor;
    let factor = if divisor == 0.0 { 0.0 } else { 1.0 / divisor };
    let of = |row: usize| {
        let upstream = upstream.as_ref().map_or(1.0, |part| {
            let all = part.floats();
            f64::from(all.get(if all.len() == 1 { 0 } else { row }))
        });
        let weight = weights.as_ref().map_or(1.0, |part| f64::from(part.floats().get(row)));
        (factor * upstream * weight).abs()
    };
    Ok((0..rows).map(of).collect())
}

/// The size of the largest logit that is computed; 0 where they are taken as they are.
fn largest_logit(question: &Question<'_>) -> Result<f64, Failure> {
    let problem = question.problem;
    let Some(input) = question.data.get(Role::Input).filter(|_| mapped(problem)) else {
        return Ok(0.0);
    };
    let (elements, mut most) = (problem.view.elements(), 0f64);
    for start in (0..elements).step_by(BATCH) {
        let part = input.operand.part(start..elements.min(start + BATCH))?;
        most = most.max(largest(part.floats().iter()));
    }
    let cap = problem.logits.softcap.map_or(f64::INFINITY, f64::from);
    Ok(f64::from(problem.logits.scale) * most.min(cap))
}
