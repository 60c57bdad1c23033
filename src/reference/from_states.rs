//! Cross-entropy, entropy and softmax from the states of whole rows, with the logits of some of their classes for what has an
//! element of each.
//!
//! With a row's weight `r`, its label's weight `w_t` and logit `z_t`, smoothing e, and `l = log(1 + sum_exp_m1)`:
//!
//! ```text
//! loss      = r (w (max - z_t + l) + weighted_gap + weight_sum l),   w = (1 - e) w_t, or 0 for class probabilities
//! gradient  as in `cross_entropy.rs`,   V = r (w + weight_sum)
//! ```
//!
//! The formulas of the others are in their files.

use super::rows::{NO_CLASS, RowLogits};
use super::scale::Scale;
use super::shares::Shares;
use super::state::State;
use super::sums::{Live, Seen};
use super::walk::{fill_elements, fill_rows, repeated, sum_rows};
use super::weights::{Label, counted, label_of, row_weight_of, weighed, weight_of};
use crate::loss::{Function, StateField};
use crate::row_states::RowState;
use crate::words::{HAS_NEG_INF, HAS_POS_INF};
use crate::{Error, Inputs, Output, Problem, Reduction, RowOutputs};

/// Computes the loss, its gradient, the distribution, and the requested outputs of rows.
pub(super) fn run(
    problem: &Problem,
    inputs: &Inputs<'_>,
    scale: &Scale<'_>,
) -> Result<Output<f64>, Error> {
    let rows = Rows::new(problem, inputs);
    let (view, outputs) = (&problem.view, problem.outputs);
    let unreduced = problem.reduction == Reduction::None;
    let mut losses = repeated("loss", 0.0, if unreduced { view.rows() } else { 0 })?;
    let mut kept = repeated("state", Kept::NONE, view.rows())?;
    let sums = sum_rows(view, None, &mut losses, &mut kept, |row, _| rows.visit(row));
    let z_losses = (unreduced && problem.z_loss != 0.0)
        .then(|| fill_rows("z-loss", view.rows(), |row| kept[row].z_loss));
    let grad = outputs.grad.then(|| {
        fill_elements("gradient", view, |element, row, class| {
            rows.gradient(&kept[row], element, class, scale.of(row))
        })
    });
    let log_probs = outputs.log_probs.then(|| {
        fill_elements("log_probs", view, |element, row, _| {
            let state = &kept[row].state;
            state.log_prob(rows.below(state, element))
        })
    });
    let probs = outputs.probs.then(|| {
        fill_elements("probs", view, |element, row, _| {
            let state = &kept[row].state;
            state.prob(rows.below(state, element))
        })
    });
    if problem.function == Function::Softmax {
        let output = Output::nothing(problem.loss_shape(), sums.summary);
        let (log_probs, probs) = (log_probs.transpose()?, probs.transpose()?);
        return Ok(Output { log_probs, probs, rows: rows.outputs(&kept)?, ..output });
    }
    Ok(Output {
        loss: sums.reduce(problem, losses),
        z_loss: sums.reduce_z(problem, z_losses.transpose()?.unwrap_or_default()),
        grad: grad.transpose()?,
        log_probs: log_probs.transpose()?,
        rows: rows.outputs(&kept)?,
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}

/// The target of one row.
#[derive(Clone, Copy)]
enum Truth {
    Nothing,
    /// A label that is no class.
    Bad,
    /// The label, if the target is labels.
    Live(Option<usize>),
}

/// The data of a row for its gradient, its distribution and its requested outputs.
#[derive(Clone, Copy)]
struct Kept {
    /// NaN if the row has no distribution.
    state: State,
    argmax: u32,
    squares: f64,
    truth: Truth,
    /// The row's own weight.
    factor: f64,
    /// Its part of the mean's divisor.
    weight: f64,
    /// `V`, the sum of the row's shares.
    whole: f64,
    z_loss: f64,
    /// The slope of the z-loss along the log-sum-exp.
    pull: f64,
}

/// The rows and everything that their losses depend on.
struct Rows<'a> {
    problem: &'a Problem,
    inputs: &'a Inputs<'a>,
    /// The fields of a state.
    fields: Vec<StateField>,
    logits: RowLogits<'a>,
    shares: Shares<'a>,
}

impl<'a> Rows<'a> {
    fn new(problem: &'a Problem, inputs: &'a Inputs<'a>) -> Self {
        let (logits, shares) = (RowLogits::new(problem, inputs), Shares::new(problem, inputs));
        Self { problem, inputs, fields: problem.state_fields(), logits, shares }
    }

    /// Returns the state of a row over all classes.
    fn state(&self, row: usize) -> RowState {
        let (words, _) = self.inputs.states.unwrap_or_default();
        let size = self.fields.len();
        RowState::of(&self.fields, &words[row * size..][..size])
    }

    /// Returns a row's loss, and the data that its other outputs need.
    fn visit(&self, row: usize) -> (Seen, Kept) {
        let of_row = self.state(row);
        let has_distribution =
            !of_row.has_nan() && (of_row.sum_exp_m1 >= 0.0 || self.has_no_classes());
        let RowState { max, sum_exp_m1, exp_gap_sum, argmax, squares, .. } = of_row;
        let kept = match has_distribution {
            true => Kept {
                state: State { max, sum_exp_m1, exp_gap_sum },
                argmax,
                squares,
                ..Kept::NONE
            },
            false => Kept::NONE,
        };
        let factor = row_weight_of(self.inputs, row);
        let label =
            self.inputs.labels.map(|(labels, _)| label_of(self.problem, self.inputs, &labels, row));
        match label {
            None if factor == 0.0 => (Seen::Ignored, kept),
            None => self.live(&of_row, kept, factor, None),
            Some(Label::Ignored) => (Seen::Ignored, kept),
            Some(Label::Bad(label)) => {
                (Seen::Bad(label), Kept { truth: Truth::Bad, z_loss: f64::NAN, ..kept })
            }
            Some(Label::Class(class)) => self.live(&of_row, kept, factor, Some(class)),
        }
    }

    /// Returns the loss of a row that counts.
    fn live(
        &self,
        of_row: &RowState,
        kept: Kept,
        factor: f64,
        label: Option<usize>,
    ) -> (Seen, Kept) {
        let of_label = label.map_or(1.0, |class| weight_of(self.inputs.weight, class));
        let weight = factor * of_label;
        let own = if label.is_some() { (1.0 - self.shares.smoothing) * of_label } else { 0.0 };
        let whole = factor * (own + of_row.weight_sum);
        let kept = match weight.is_finite() && whole.is_finite() {
            true => kept,
            false => Kept::NONE,
        };
        let state = kept.state;
        let distance = self.label_distance(&state, of_row.label_logit);
        let loss = weighed(factor * own, state.surprise(distance))
            + factor * (of_row.weighted_gap + weighed(of_row.weight_sum, state.log_sum_exp()))
            + factor * infinity_of(of_row.flags);
        let loss = match self.problem.function {
            _ if state.is_nan() => f64::NAN,
            Function::Entropy => factor * self.entropy(&state),
            _ => loss,
        };
        let weight = counted(weight);
        let (z_loss, pull) = self.z_loss(&state, weight);
        let correct = self.problem.outputs.accuracy
            && label.is_some_and(|label| label as u64 == u64::from(kept.argmax));
        let live = Live { loss, z_loss, weight, nan: state.is_nan(), correct, top_k: false };
        let truth = Truth::Live(label);
        (Seen::Live(live), Kept { truth, factor, weight, whole, z_loss, pull, ..kept })
    }

    /// Returns the distance of the label's logit below the maximum.
    fn label_distance(&self, state: &State, word: u32) -> f64 {
        let z = f64::from(self.logits.map.z_of_stored(f32::from_bits(word)));
        if z == f64::NEG_INFINITY { f64::INFINITY } else { (state.max - z).max(0.0) }
    }

    /// Returns the distance of an element below its row's maximum, which is rounded to f32.
    fn below(&self, state: &State, element: usize) -> f64 {
        match f64::from(self.logits.map.stored_z(self.logits.get(element))) {
            _ if state.is_nan() => f64::NAN,
            f64::NEG_INFINITY => f64::INFINITY,
            z => (state.max - z).max(0.0),
        }
    }

    fn has_no_classes(&self) -> bool {
        self.problem.all_classes() == 0
    }

    fn lse(&self, state: &State) -> f64 {
        if self.has_no_classes() { f64::NEG_INFINITY } else { state.max + state.log_sum_exp() }
    }

    fn entropy(&self, state: &State) -> f64 {
        if self.has_no_classes() { 0.0 } else { state.entropy() }
    }

    /// Returns the z-loss, and its slope along the log-sum-exp. Rows of no classes have none.
    fn z_loss(&self, state: &State, weight: f64) -> (f64, f64) {
        if self.problem.z_loss == 0.0 || self.has_no_classes() {
            return (0.0, 0.0);
        }
        let (factor, lse) = (f64::from(self.problem.z_loss) * weight, self.lse(state));
        (factor * lse * lse, 2.0 * factor * lse)
    }

    /// Returns the gradient of loss and z-loss with respect to one logit, times `scale`.
    fn gradient(&self, kept: &Kept, element: usize, class: usize, scale: f64) -> f64 {
        let label = match kept.truth {
            Truth::Nothing => return 0.0,
            Truth::Bad => return f64::NAN,
            Truth::Live(label) => label,
        };
        let below = self.below(&kept.state, element);
        if self.problem.function == Function::Entropy {
            let p = kept.state.prob(below);
            let gap = if p == 0.0 { 0.0 } else { p * (below - kept.state.mean_gap()) };
            return scale * kept.factor * gap;
        }
        let share = kept.factor * self.shares.of(label, element, class);
        let mut slope = kept.state.gradient(below, share, kept.whole);
        if kept.pull != 0.0 {
            slope += kept.pull * kept.state.prob(below);
        }
        scale * self.logits.map.slope(self.logits.get(element)) * slope
    }

    /// Returns the requested outputs of each row.
    fn outputs(&self, kept: &[Kept]) -> Result<RowOutputs<f64>, Error> {
        let asked = self.problem.outputs;
        let floats = |asked: bool, what, value: &(dyn Fn(&Kept) -> f64 + Sync)| {
            asked.then(|| fill_rows(what, kept.len(), |row| value(&kept[row]))).transpose()
        };
        let argmax = || kept.iter().map(|kept| kept.argmax).collect();
        let variance = |kept: &Kept| match kept.state.is_nan() {
            true => f64::NAN,
            false => kept.squares / (1.0 + kept.state.sum_exp_m1.max(0.0)),
        };
        Ok(RowOutputs {
            lse: floats(asked.lse, "log-sum-exp", &|kept| self.lse(&kept.state))?,
            argmax: asked.argmax.then(argmax),
            entropy: floats(asked.entropy, "entropy", &|kept| self.entropy(&kept.state))?,
            variance: floats(asked.variance, "variance", &variance)?,
            weights: floats(asked.row_weights, "row weights", &|kept| counted(kept.weight))?,
            ..RowOutputs::default()
        })
    }
}

impl Kept {
    /// The data of a row without a distribution, that does not count.
    const NONE: Self = Self {
        state: State::NAN,
        argmax: NO_CLASS,
        squares: 0.0,
        truth: Truth::Nothing,
        factor: 0.0,
        weight: 0.0,
        whole: 0.0,
        z_loss: 0.0,
        pull: 0.0,
    };
}

/// Returns the infinity that classes at `-inf` with a share add to a loss; 0 if there are none.
fn infinity_of(flags: u32) -> f64 {
    match (flags & HAS_POS_INF != 0, flags & HAS_NEG_INF != 0) {
        (false, false) => 0.0,
        (true, false) => f64::INFINITY,
        (false, true) => f64::NEG_INFINITY,
        (true, true) => f64::NAN,
    }
}
