//! The outputs of rows other than the loss.
//!
//! ```text
//! lse     = z(max) + log(1 + sum_exp_m1)
//! argmax  = the first class at the maximum
//! rank    = how many classes come before the label's: larger, or equal and of smaller index
//! entropy = log(1 + sum_exp_m1) + exp_gap_sum / (1 + sum_exp_m1)
//! variance = sum_c p_c (d_c - sum_k p_k d_k)^2, d_c = z(max) - z(x_c)
//! ```
//!
//! Classes are compared by the given logits: the maps before the softmax keep their order.

use super::logits::Logits;
use super::state::State;
use super::walk::{fill_rows, repeated};
use super::weights::{Label, counted, label_of};
use crate::{ClassLosses, ClassView, Error, Floats, Inputs, Labels, Outputs, Problem, RowOutputs};

/// The number for no class, and for no rank.
pub(super) const NO_CLASS: u32 = u32::MAX;

/// The data of a row for its requested outputs.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub state: State,
    /// Its part of the mean's divisor, if its weight is finite; 0 if it does not count.
    pub weight: f64,
    /// The rank of its label.
    pub rank: u32,
}

impl Row {
    /// The data of a row of no classes.
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

    /// Returns the clean logit of an element.
    pub fn get(&self, element: usize) -> f64 {
        self.map.clean(self.data.get(element).into())
    }

    /// Returns the distance of a row's element below the row's maximum.
    pub fn below(&self, state: &State, element: usize) -> f64 {
        self.map.below(state.max, self.get(element))
    }

    /// Returns the elements of a row, class by class.
    pub fn elements(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let (start, inner) = (self.view.row_start(row), self.view.inner);
        (0..self.view.classes).map(move |class| start + class * inner)
    }

    /// Returns `log(sum_c exp z_c)`.
    pub fn lse(&self, state: &State) -> f64 {
        self.map.map(state.max) + state.log_sum_exp()
    }

    /// Returns the class at the maximum of a row, the first among equals.
    pub fn argmax(&self, row: usize, state: &State) -> u32 {
        let argmax = self.elements(row).position(|element| self.get(element) == state.max);
        argmax.map_or(NO_CLASS, |class| class as u32)
    }

    /// Returns the number of classes of a row that come before `label`.
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

    /// Returns the variance of the log-probabilities: that of the distances from the maximum.
    pub fn variance(&self, row: usize, state: &State) -> f64 {
        let mean = state.mean_gap();
        let square = |element| {
            let below = self.below(state, element);
            let p = state.prob(below);
            if p == 0.0 { 0.0 } else { p * (below - mean).powi(2) }
        };
        // `Iterator::sum` of no terms is -0.
        self.elements(row).map(square).fold(0.0, |sum, square| sum + square)
    }

    /// Returns the requested outputs of each row.
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

/// Returns true if any output of rows other than the loss is requested.
pub(super) fn asks_for_rows(problem: &Problem) -> bool {
    !problem.record().is_empty()
}

/// Returns the losses and rows of each class, from all rows' losses. `correct` is true for the rows predicted right.
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
