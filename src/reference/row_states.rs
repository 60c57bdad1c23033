//! The states of rows, of some of their classes: computed in f64, and rounded to the words that a device exchanges.
//!
//! With `m` the largest mapped logit, distances `d_c = m - z_c` and the shares `v_c` of a dense target, without the
//! label's own:
//!
//! ```text
//! sum_exp_m1   = sum_c exp(-d_c), without one class at the maximum
//! exp_gap_sum  = sum_c exp(-d_c) d_c                     g = exp_gap_sum / (1 + sum_exp_m1)
//! squares      = sum_c exp(-d_c) (d_c - g)^2
//! weighted_gap = sum_c v_c d_c,    weight_sum = sum_c v_c
//! ```

use super::rows::RowLogits;
use super::shares::Shares;
use super::walk::{fill_rows, repeated};
use super::weights::{Label, label_of, row_weight_of};
use crate::loss::StateField;
use crate::row_states::RowState;
use crate::words::{HAS_NAN, HAS_NEG_INF, HAS_POS_INF};
use crate::{Error, Inputs, Output, Problem, RowStates, Summary};

/// Computes the states, or passes on those that are given.
pub(super) fn run(problem: &Problem, inputs: &Inputs<'_>) -> Result<Output<f64>, Error> {
    let fields = problem.state_fields();
    let words = match inputs.states {
        // Those of several shards are merged already.
        Some((words, _)) => words.to_vec(),
        None => folded(problem, inputs, &fields)?,
    };
    let states = Some(RowStates::new(fields, words)?);
    let summary = Summary { rows: problem.losses() as u64, ..Summary::default() };
    Ok(Output { states, ..Output::nothing(&[], summary) })
}

/// Returns the words of all rows' states.
fn folded(
    problem: &Problem,
    inputs: &Inputs<'_>,
    fields: &[StateField],
) -> Result<Vec<u32>, Error> {
    let rows = Rows {
        problem,
        inputs,
        logits: RowLogits::new(problem, inputs),
        shares: Shares::new(problem, inputs),
    };
    let states = fill_rows("states", problem.view.rows(), |row| rows.state(row))?;
    let mut words = repeated("states", 0, states.len() * fields.len())?;
    for (record, state) in words.chunks_exact_mut(fields.len()).zip(states) {
        state.write(fields, record);
    }
    Ok(words)
}

/// The rows, and everything that their states depend on.
struct Rows<'a> {
    problem: &'a Problem,
    inputs: &'a Inputs<'a>,
    logits: RowLogits<'a>,
    shares: Shares<'a>,
}

impl Rows<'_> {
    /// Returns a row's state. A row that does not count has that of no classes, unless an output needs its
    /// distribution.
    fn state(&self, row: usize) -> RowState {
        let label =
            self.inputs.labels.map(|(labels, _)| label_of(self.problem, self.inputs, &labels, row));
        let live = match label {
            None => row_weight_of(self.inputs, row) != 0.0,
            Some(Label::Class(_)) => true,
            Some(Label::Ignored | Label::Bad(_)) => false,
        };
        if !live && !self.problem.outputs.of_every_row() {
            return RowState::NONE;
        }
        let state = self.of_classes(row);
        match label {
            Some(Label::Class(class)) => {
                RowState { label_logit: self.label_logit(row, class), ..state }
            }
            _ => state,
        }
    }

    /// Returns the word of the label's logit, or 0 if its class is not one of the shard's.
    fn label_logit(&self, row: usize, class: usize) -> u32 {
        let view = &self.problem.view;
        let of_shard = class.checked_sub(self.problem.first_class() as usize);
        let Some(class) = of_shard.filter(|&class| class < view.classes) else { return 0 };
        let x = self.logits.get(view.row_start(row) + class * view.inner);
        self.logits.map.stored_logit(x).to_bits()
    }

    /// Returns the state of a row's classes.
    fn of_classes(&self, row: usize) -> RowState {
        let mut state = RowState::NONE;
        let mut x_max = f64::NEG_INFINITY;
        let mut at_max = None;
        for (class, element) in self.logits.elements(row).enumerate() {
            let x = self.logits.get(element);
            if x.is_nan() || self.logits.map.stored_z(x) == f32::INFINITY {
                state.flags |= HAS_NAN;
            }
            if x > x_max {
                (x_max, at_max) = (x, Some(class));
            }
        }
        if let Some(class) = at_max {
            state.max = self.logits.map.stored_z(x_max).into();
            state.argmax = (self.problem.first_class() + class as u64) as u32;
        }
        self.add_shares(row, x_max, &mut state);
        match at_max.filter(|_| !state.has_nan()) {
            Some(at_max) => self.with_sums(row, x_max, at_max, state),
            None => state,
        }
    }

    /// Adds the sums of the classes' shares.
    fn add_shares(&self, row: usize, x_max: f64, state: &mut RowState) {
        if !self.problem.has_dense_target() {
            return;
        }
        for (class, element) in self.logits.elements(row).enumerate() {
            // The label's own share is not one of a dense target's: no class has this number.
            let label = self.inputs.labels.map(|_| usize::MAX);
            let share = self.shares.of(label, element, class);
            let x = self.logits.get(element);
            state.weight_sum += share;
            state.flags |= match share {
                share if !share.is_finite() => HAS_NAN,
                share if x == f64::NEG_INFINITY && share > 0.0 => HAS_POS_INF,
                share if x == f64::NEG_INFINITY && share < 0.0 => HAS_NEG_INF,
                _ => 0,
            };
            if share != 0.0 && x > f64::NEG_INFINITY {
                state.weighted_gap += share * self.logits.map.below(x_max, x);
            }
        }
    }

    /// Returns a state with the sums relative to the maximum.
    fn with_sums(&self, row: usize, x_max: f64, at_max: usize, state: RowState) -> RowState {
        let distances = || {
            self.logits.elements(row).enumerate().filter_map(|(class, element)| {
                let x = self.logits.get(element);
                (x > f64::NEG_INFINITY).then(|| (class, self.logits.map.below(x_max, x)))
            })
        };
        let (mut sum_exp_m1, mut exp_gap_sum) = (0.0, 0.0);
        for (class, d) in distances() {
            sum_exp_m1 += if class == at_max { 0.0 } else { (-d).exp() };
            exp_gap_sum += (-d).exp() * d.min(f64::MAX);
        }
        let mean = exp_gap_sum / (1.0 + sum_exp_m1);
        let mut squares = 0.0;
        if self.problem.outputs.variance {
            for (_, d) in distances() {
                let e = (-d).exp();
                squares += if e == 0.0 { 0.0 } else { e * (d - mean).powi(2) };
            }
        }
        RowState { sum_exp_m1, exp_gap_sum, squares, ..state }
    }
}
