//! Cross-entropy.
//!
//! With the row's state `(max, sum_exp_m1)`, the distances `d_c = z(max) - z_c`, the shares
//! `v_c = r w_c q'_c` of a row of weight `r` and their sum `V`:
//!
//! ```text
//! label, no smoothing   loss = r w_t (d_t + log(1 + sum_exp_m1))
//! otherwise             loss = sum_c v_c d_c + V log(1 + sum_exp_m1)
//! z-loss                k lse^2,   lse = z(max) + log(1 + sum_exp_m1),   k = coefficient * r w_t
//! gradient              z'(x_c) (V p_c - v_c + 2 k lse p_c)
//! ```
//!
//! A class with `v_c = 0` contributes 0 even at `-inf`; one with `v_c > 0` there makes the loss
//! `+inf` and leaves the gradient finite.

use super::rows::{NO_CLASS, Row, RowLogits, asks_for_rows, class_losses};
use super::scale::Scale;
use super::shares::Shares;
use super::state::State;
use super::sums::{Live, Seen, Sums};
use super::walk::{fill_elements, fill_rows, repeated, sum_rows};
use super::weights::{Label, counted, label_of, row_weight_of, weighed, weight_of};
use crate::{Error, Inputs, Output, Problem, Reduction, TargetType};

/// Computes cross-entropy, its gradient, the log-probabilities, and the requested outputs of rows and classes.
pub(super) fn run(
    problem: &Problem,
    inputs: &Inputs<'_>,
    scale: &Scale<'_>,
) -> Result<Output<f64>, Error> {
    let rows = Rows::new(problem, inputs)?;
    let (view, outputs, logits) = (&problem.view, problem.outputs, &rows.logits);

    let unreduced = problem.reduction == Reduction::None;
    let by_element = (outputs.grad || outputs.log_probs) && view.elements() > 0;
    let by_row = asks_for_rows(problem) || (outputs.class_losses && outputs.accuracy);
    let keeps = |wanted: bool| if wanted { view.rows() } else { 0 };
    let mut losses = repeated("loss", 0.0, keeps(unreduced || outputs.class_losses))?;
    let mut kept = repeated("state", Kept::NONE, keeps(by_element || by_row))?;
    let by_rows = inputs.labels.is_some() || problem.row_weights;
    // Without classes and without outputs of rows, the time must not depend on the number of rows in the shape.
    let sums = if view.classes == 0 && kept.is_empty() && losses.is_empty() && !by_rows {
        Sums::empty_rows(view.rows())
    } else {
        sum_rows(view, Some((logits.data, &logits.map)), &mut losses, &mut kept, |row, state| {
            rows.visit(row, state)
        })
    };
    let grad = outputs.grad.then(|| {
        fill_elements("gradient", view, |element, row, class| {
            rows.gradient(&kept[row], element, class, scale.of(row))
        })
    });
    let log_probs = outputs.log_probs.then(|| {
        fill_elements("log_probs", view, |element, row, _| {
            let state = &kept[row].row.state;
            state.log_prob(logits.below(state, element))
        })
    });
    let z_losses = (unreduced && problem.z_loss != 0.0)
        .then(|| fill_rows("z-loss", view.rows(), |row| kept[row].z_loss));
    let classes = match inputs.labels {
        Some((labels, _)) if outputs.class_losses => {
            let correct = |row: usize| outputs.accuracy && kept[row].row.rank == 0;
            Some(class_losses(problem, inputs, &labels, &losses, correct)?)
        }
        _ => None,
    };
    Ok(Output {
        z_loss: sums.reduce_z(problem, z_losses.transpose()?.unwrap_or_default()),
        loss: sums.reduce(problem, losses),
        grad: grad.transpose()?,
        target_grad: None,
        var_grad: None,
        log_probs: log_probs.transpose()?,
        rows: logits.outputs(outputs, |row| kept[row].row)?,
        classes,
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}

/// The target of one row.
#[derive(Clone, Copy)]
enum Truth {
    Nothing,
    /// A label that is no class.
    Bad,
    Label(usize),
    Probabilities,
}

impl Truth {
    fn label(self) -> Option<usize> {
        match self {
            Truth::Label(label) => Some(label),
            Truth::Nothing | Truth::Bad | Truth::Probabilities => None,
        }
    }
}

/// The data of a row for its gradient, its distribution and its requested outputs.
#[derive(Clone, Copy)]
struct Kept {
    row: Row,
    truth: Truth,
    /// `r`, the row's own weight.
    factor: f64,
    /// `V`, the sum of the row's shares.
    whole: f64,
    z_loss: f64,
    /// `2 k lse`, the slope of the z-loss along the log-sum-exp.
    pull: f64,
}

impl Kept {
    const NONE: Kept = Kept {
        row: Row::NONE,
        truth: Truth::Nothing,
        factor: 0.0,
        whole: 0.0,
        z_loss: 0.0,
        pull: 0.0,
    };

    /// Returns the data of a row that does not count.
    fn left_out(state: State) -> Kept {
        Kept { row: Row { state, ..Row::NONE }, ..Kept::NONE }
    }
}

/// The rows and everything that their losses depend on.
struct Rows<'a> {
    problem: &'a Problem,
    inputs: &'a Inputs<'a>,
    logits: RowLogits<'a>,
    shares: Shares<'a>,
}

impl<'a> Rows<'a> {
    fn new(problem: &'a Problem, inputs: &'a Inputs<'a>) -> Result<Self, Error> {
        if inputs.labels.is_none() && inputs.probabilities.is_none() {
            return Err(Error::Target {
                loss: "cross_entropy",
                given: TargetType::described(None),
                wanted: "labels or class probabilities",
            });
        }
        Ok(Self {
            problem,
            inputs,
            logits: RowLogits::new(problem, inputs),
            shares: Shares::new(problem, inputs),
        })
    }

    /// Returns a row's loss, and the data that its gradient needs.
    fn visit(&self, row: usize, state: State) -> (Seen, Kept) {
        let factor = row_weight_of(self.inputs, row);
        let (truth, weight) = match self.inputs.labels {
            None if factor == 0.0 => return (Seen::Ignored, Kept::left_out(state)),
            None => (Truth::Probabilities, factor),
            Some((labels, _)) => match label_of(self.problem, self.inputs, &labels, row) {
                Label::Ignored => return (Seen::Ignored, Kept::left_out(state)),
                Label::Bad(label) => {
                    let left_out = Kept::left_out(state);
                    let kept = Kept { truth: Truth::Bad, z_loss: f64::NAN, ..left_out };
                    return (Seen::Bad(label), kept);
                }
                Label::Class(class) => {
                    (Truth::Label(class), factor * weight_of(self.inputs.weight, class))
                }
            },
        };
        let (loss, whole) = match truth {
            Truth::Label(class) if self.shares.smoothing == 0.0 => {
                let view = &self.problem.view;
                let element = view.row_start(row) + class * view.inner;
                (weighed(weight, state.surprise(self.logits.below(&state, element))), weight)
            }
            _ => self.spread_loss(row, state, truth, factor),
        };
        // A row with a weight that is NaN or infinite has no loss and no distribution either.
        let (state, loss) = match weight.is_finite() && whole.is_finite() {
            true => (state, loss),
            false => (State::NAN, f64::NAN),
        };
        let weight = counted(weight);
        let (z_loss, pull) = self.z_loss(&state, weight);
        let (rank, correct, top_k) = self.rank(row, &state, truth);
        let row = Row { state, weight, rank };
        let live = Live { loss, z_loss, weight, nan: state.is_nan(), correct, top_k };
        (Seen::Live(live), Kept { row, truth, factor, whole, z_loss, pull })
    }

    /// Returns the loss of a row whose target is spread over the classes, and `V`.
    fn spread_loss(&self, row: usize, state: State, truth: Truth, factor: f64) -> (f64, f64) {
        let (mut below_top, mut whole) = (0.0, 0.0);
        for (class, element) in self.logits.elements(row).enumerate() {
            let share = factor * self.shares.of(truth.label(), element, class);
            below_top += weighed(share, self.logits.below(&state, element));
            whole += share;
        }
        (below_top + weighed(whole, state.log_sum_exp()), whole)
    }

    /// Returns the z-loss, and its slope along the log-sum-exp. Rows of no classes have none.
    fn z_loss(&self, state: &State, weight: f64) -> (f64, f64) {
        if self.problem.z_loss == 0.0 || self.problem.view.classes == 0 {
            return (0.0, 0.0);
        }
        let factor = f64::from(self.problem.z_loss) * weight;
        let lse = self.logits.lse(state);
        (factor * lse * lse, 2.0 * factor * lse)
    }

    /// Returns the label's rank, if it is requested: the rank itself, true if it is 0, and true if it is below k.
    fn rank(&self, row: usize, state: &State, truth: Truth) -> (u32, bool, bool) {
        let asked = self.problem.outputs;
        match truth {
            Truth::Label(label) if asked.rank || asked.accuracy || asked.top_k > 0 => {
                let rank = self.logits.rank(row, label, state);
                (rank, asked.accuracy && rank == 0, rank < asked.top_k)
            }
            _ => (NO_CLASS, false, false),
        }
    }

    /// Returns the gradient of loss and z-loss with respect to one logit, times `scale`.
    fn gradient(&self, kept: &Kept, element: usize, class: usize, scale: f64) -> f64 {
        match kept.truth {
            Truth::Nothing => return 0.0,
            Truth::Bad => return f64::NAN,
            Truth::Label(_) | Truth::Probabilities => {}
        }
        let (x, state) = (self.logits.get(element), &kept.row.state);
        let below = self.logits.map.below(state.max, x);
        let share = kept.factor * self.shares.of(kept.truth.label(), element, class);
        let mut slope = state.gradient(below, share, kept.whole);
        if kept.pull != 0.0 {
            slope += kept.pull * state.prob(below);
        }
        scale * self.logits.map.slope(x) * slope
    }
}
