//! Compares predicted classes and ranks: the same, or as good.

use wgpu_loss::Problem;

use super::Compared;
use crate::data::Role;
use crate::error::Failure;
use crate::position::position;
use crate::question::Question;

/// Logits whose difference is no more than this, relative to their size, may be equal after rounding.
const NEAR: f64 = 1e-6;
/// Returns true if logits are transformed, and thereby rounded, before they are compared.
pub fn mapped(problem: &Problem) -> bool {
    problem.logits.scale != 1.0 || problem.logits.softcap.is_some()
}

/// A comparison of one output of whole numbers, piece by piece.
pub struct Words<'a> {
    given: &'a [u32],
    seen: usize,
    problem: &'a Problem,
    compared: Compared,
}

impl<'a> Words<'a> {
    /// Compares an output of one number for each row.
    pub fn new(what: &'static str, given: &'a [u32], problem: &'a Problem) -> Self {
        let compared = Compared::exact(what, given.len() as u64);
        Self { given, seen: 0, problem, compared }
    }

    /// Compares the next rows.
    pub fn add(
        &mut self,
        question: &Question<'_>,
        first: usize,
        wanted: &[u32],
    ) -> Result<(), Failure> {
        self.seen += wanted.len();
        let given = self.given.get(first..first + wanted.len()).unwrap_or(&[]);
        for (row, (&given, &wanted)) in (first..).zip(given.iter().zip(wanted)) {
            if given != wanted && !self.as_good(question, row, given, wanted)? {
                let at = position(row as u64, &self.problem.row_shape);
                self.compared.largest = f64::INFINITY;
                self.compared.worst.get_or_insert((at, given.to_string(), wanted.to_string()));
            }
        }
        Ok(())
    }

    /// Returns true if rounding explains the difference: of two classes whose logits are nearly equal, either may come
    /// first.
    fn as_good(
        &self,
        question: &Question<'_>,
        row: usize,
        given: u32,
        wanted: u32,
    ) -> Result<bool, Failure> {
        let none = u32::MAX;
        if !mapped(self.problem) || given == none || wanted == none {
            return Ok(false);
        }
        if self.compared.what == "argmax" {
            let logits = logits(question, row)?;
            let at = |class: u32| logits.get(class as usize).copied().unwrap_or(f64::NAN);
            return Ok(near(at(given), at(wanted)));
        }
        Ok((given.abs_diff(wanted) as usize) < ties(question, row)?)
    }

    /// Returns the result. All rows should have been compared.
    pub fn done(mut self) -> Compared {
        if self.seen != self.given.len() {
            self.compared.largest = f64::INFINITY;
        }
        self.compared
    }
}

/// Returns true if rounding may have changed the ranks of `count` labels.
pub fn doubtful(question: &Question<'_>, count: u64) -> Result<bool, Failure> {
    let rows = if mapped(question.problem) { question.problem.view.rows() } else { 0 };
    let mut found = 0;
    for row in 0..rows {
        found += u64::from(ties(question, row)? > 1);
        if found >= count {
            return Ok(true);
        }
    }
    Ok(false)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= NEAR * a.abs().max(b.abs())
}

/// Counts the logits of a row that are nearly its label's, itself included.
fn ties(question: &Question<'_>, row: usize) -> Result<usize, Failure> {
    let label = question.data.labels(question.problem, row..row + 1)?;
    let label = label.and_then(|part| usize::try_from(part.labels().get(0)).ok());
    let logits = logits(question, row)?;
    let label = label.and_then(|label| logits.get(label));
    Ok(label.map_or(0, |&label| logits.iter().filter(|&&z| near(z, label)).count()))
}

/// Returns the logits of a row as they are compared.
fn logits(question: &Question<'_>, row: usize) -> Result<Vec<f64>, Failure> {
    let (problem, view) = (question.problem, &question.problem.view);
    let first = row / view.inner * view.classes * view.inner + row % view.inner;
    let Some(input) = question.data.get(Role::Input) else { return Ok(Vec::new()) };
    let of = |class: usize| {
        let element = first + class * view.inner;
        let x = input.operand.part(element..element + 1)?.floats().get(0);
        Ok(logit(problem, x.into()))
    };
    (0..view.classes).map(of).collect()
}

/// Returns a logit as it enters the softmax.
pub fn logit(problem: &Problem, x: f64) -> f64 {
    let scale = f64::from(problem.logits.scale);
    match problem.logits.softcap.map(f64::from) {
        Some(cap) => scale * cap * (x / cap).tanh(),
        None => scale * x,
    }
}
