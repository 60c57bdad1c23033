//! What is known of each row beside its loss, and what is asked for of it.
//!
//! ```text
//! lse     = z(top) + log(1 + excess)
//! argmax  = the first class at the top
//! rank    = how many classes come before the label's: larger, or equal and of smaller index
//! entropy = log(1 + excess) + moment / (1 + excess)
//! variance = sum_c p_c (d_c - sum_k p_k d_k)^2, d_c = z(top) - z(x_c)
//! ```
//!
//! Classes are compared by the logits as they are given: what is done to them keeps their order.

use super::logits::Logits;
use super::state::State;
use super::walk::{fill_rows, repeated};
use super::weights::{Label, counted, label_of};
use crate::{ClassLosses, ClassView, Error, Floats, Inputs, Labels, Outputs, Problem, RowOutputs};

/// Stands for no class, and for no rank.
pub(super) const NO_CLASS: u32 = u32::MAX;

/// What is kept of a row for what is asked of it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub state: State,
    /// What it adds to the mean's divisor, where that is a number; 0 where it does not count.
    pub weight: f64,
    /// The rank of its label.
    pub rank: u32,
}

impl Row {
    /// A row of no classes.
    pub const NONE: Row = Row { state: State::IDENTITY, weight: 0.0, rank: NO_CLASS };
}

/// The logits of a tensor's rows.
#[derive(Clone, Copy)]
pub(super) struct RowLogits<'a> {
    pub view: ClassView,
    pub data: Floats<'a>,
    pub map: Logits,
}

impl<'a> RowLogits<'a> {
    pub fn new(problem: &Problem, inputs: &Inputs<'a>) -> Self {
        let map = Logits::new(problem.logits);
        Self { view: problem.view, data: inputs.input.data, map }
    }

    /// The clean logit of an element.
    pub fn get(&self, element: usize) -> f64 {
        self.map.clean(self.data.get(element).into())
    }

    /// How far an element of a row is below the row's top.
    pub fn below(&self, state: &State, element: usize) -> f64 {
        self.map.below(state.top, self.get(element))
    }

    /// The elements of a row, class by class.
    pub fn elements(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let (start, inner) = (self.view.row_start(row), self.view.inner);
        (0..self.view.classes).map(move |class| start + class * inner)
    }

    /// `log(sum_c exp z_c)`.
    pub fn lse(&self, state: &State) -> f64 {
        self.map.map(state.top) + state.log_excess()
    }

    /// The class at the top of a row, the first among equals.
    pub fn argmax(&self, row: usize, state: &State) -> u32 {
        let top = self.elements(row).position(|element| self.get(element) == state.top);
        top.map_or(NO_CLASS, |class| class as u32)
    }

    /// How many classes of a row come before `label`.
    pub fn rank(&self, row: usize, label: usize, state: &State) -> u32 {
        if state.is_nan() {
            return NO_CLASS;
        }
        let own = self.get(self.view.row_start(row) + label * self.view.inner);
        let before = |(class, element)| {
            let x = self.get(element);
            x > own || (x == own && class < label)
        };
        self.elements(row).enumerate().filter(|&place| before(place)).count() as u32
    }

    /// The variance of the log-probabilities: that of the distances from the top.
    pub fn variance(&self, row: usize, state: &State) -> f64 {
        let mean = state.depth();
        let square = |element| {
            let below = self.below(state, element);
            let p = state.prob(below);
            if p == 0.0 { 0.0 } else { p * (below - mean).powi(2) }
        };
        // `Iterator::sum` of no terms is -0.
        self.elements(row).map(square).fold(0.0, |sum, square| sum + square)
    }

    /// What is asked for of each row.
    pub fn outputs(
        &self,
        asked: Outputs,
        kept: impl Fn(usize) -> Row + Sync,
    ) -> Result<RowOutputs<f64>, Error> {
        let rows = self.view.rows();
        let floats = |asked: bool, what, value: &(dyn Fn(Row) -> f64 + Sync)| {
            asked.then(|| fill_rows(what, rows, |row| value(kept(row)))).transpose()
        };
        let argmax = |row| self.argmax(row, &kept(row).state);
        let variance = |row| self.variance(row, &kept(row).state);
        Ok(RowOutputs {
            lse: floats(asked.lse, "log-sum-exp", &|row| self.lse(&row.state))?,
            argmax: asked.argmax.then(|| fill_rows("argmax", rows, argmax)).transpose()?,
            rank: asked.rank.then(|| fill_rows("rank", rows, |row| kept(row).rank)).transpose()?,
            entropy: floats(asked.entropy, "entropy", &|row| row.state.entropy())?,
            variance: asked.variance.then(|| fill_rows("variance", rows, variance)).transpose()?,
            weights: floats(asked.row_weights, "row weights", &|row| counted(row.weight))?,
        })
    }
}

/// Whether anything of each row is asked for beside its loss.
pub(super) fn asks_for_rows(problem: &Problem) -> bool {
    !problem.record().is_empty()
}

/// The losses and rows of each class, of all rows' losses. `correct` tells the rows predicted right.
pub(super) fn class_losses(
    problem: &Problem,
    inputs: &Inputs<'_>,
    labels: &Labels<'_>,
    losses: &[f64],
    correct: impl Fn(usize) -> bool,
) -> Result<ClassLosses, Error> {
    let classes = problem.view.classes;
    let (loss, rows) =
        (repeated("class losses", 0.0, classes)?, repeated("class rows", 0, classes)?);
    let mut all = ClassLosses { loss, correct: rows.clone(), rows };
    for (row, loss) in losses.iter().enumerate() {
        if let Label::Class(class) = label_of(problem, inputs, labels, row) {
            all.loss[class] += loss;
            all.rows[class] += 1;
            all.correct[class] += u64::from(correct(row));
        }
    }
    Ok(all)
}
