//! Cross-entropy.
//!
//! With the row's state `(top, excess)`, the shares `v_c = w_c q'_c` and their sum `V`:
//!
//! ```text
//! label, no smoothing   loss = w_t ((top - x_t) + log(1 + excess))
//! otherwise             loss = sum_c v_c (top - x_c) + V log(1 + excess)
//! gradient              V p_c - v_c
//! ```
//!
//! A class with `v_c = 0` contributes 0 even at `-inf`; one with `v_c > 0` there makes the loss
//! `+inf` and leaves the gradient finite.

use super::state::State;
use super::walk::{fill_elements, repeated, sum_rows};
use super::{Label, Scale, Seen, Sums, weighed, weight_of};
use crate::{Error, Floats, Inputs, Labels, Output, Problem, Reduction, TargetType};

/// Cross-entropy, its gradient, and the log-probabilities.
pub(super) fn run(problem: &Problem, inputs: &Inputs<'_>) -> Result<Output<f64>, Error> {
    let rows = Rows::new(problem, inputs)?;
    let (view, outputs, logits) = (&problem.view, problem.outputs, rows.logits);

    let unreduced = problem.reduction == Reduction::None;
    let by_element = (outputs.grad || outputs.log_probs || outputs.probs) && view.elements() > 0;
    let mut losses = repeated("loss", 0.0, if unreduced { view.rows() } else { 0 })?;
    let mut kept = repeated("state", Kept::NONE, if by_element { view.rows() } else { 0 })?;
    let sums = match rows.target {
        Target::Probabilities(_) if view.classes == 0 => Sums::empty_rows(view.rows()),
        _ => sum_rows(view, Some(logits), &mut losses, &mut kept, |row, state| {
            rows.visit(row, state)
        }),
    };
    sums.summary.check_labels(view.classes, problem.ignore_index)?;

    let x = |element: usize| f64::from(logits.get(element));
    let scale = Scale::new(problem, inputs, &sums);
    let grad = outputs.grad.then(|| {
        fill_elements("gradient", view, |element, row, class| {
            rows.gradient(&kept[row], x(element), element, class, scale.of(row))
        })
    });
    let log_probs = outputs.log_probs.then(|| {
        fill_elements("log_probs", view, |element, row, _| kept[row].state.log_prob(x(element)))
    });
    let probs = outputs
        .probs
        .then(|| fill_elements("probs", view, |element, row, _| kept[row].state.prob(x(element))));
    Ok(Output {
        loss: sums.reduce(problem, losses),
        grad: grad.transpose()?,
        log_probs: log_probs.transpose()?,
        probs: probs.transpose()?,
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}

/// What the rows are compared with.
#[derive(Clone, Copy)]
enum Target<'a> {
    Labels(Labels<'a>),
    Probabilities(Floats<'a>),
}

/// What one row is compared with.
#[derive(Clone, Copy)]
enum Truth {
    Nothing,
    Label(usize),
    Probabilities,
}

/// What is kept of a row for its gradient and its distribution.
#[derive(Clone, Copy)]
struct Kept {
    state: State,
    truth: Truth,
    /// `V`, the sum of the row's shares.
    whole: f64,
}

impl Kept {
    const NONE: Kept = Kept { state: State::IDENTITY, truth: Truth::Nothing, whole: 0.0 };
}

/// The rows and all that their losses are made of.
struct Rows<'a> {
    problem: &'a Problem,
    logits: Floats<'a>,
    target: Target<'a>,
    weight: Option<Floats<'a>>,
    smoothing: f64,
}

impl<'a> Rows<'a> {
    fn new(problem: &'a Problem, inputs: &Inputs<'a>) -> Result<Self, Error> {
        let target = match (inputs.labels, inputs.probabilities) {
            (Some((labels, _)), _) => Target::Labels(labels),
            (None, Some(probabilities)) => Target::Probabilities(probabilities.data),
            (None, None) => {
                return Err(Error::Target {
                    loss: "cross_entropy",
                    given: TargetType::described(None),
                    wanted: "labels or class probabilities",
                });
            }
        };
        Ok(Self {
            problem,
            logits: inputs.input.data,
            target,
            weight: inputs.weight,
            smoothing: f64::from(problem.label_smoothing),
        })
    }

    /// A row's loss, and what its gradient needs.
    fn visit(&self, row: usize, state: State) -> (Seen, Kept) {
        let (truth, weight) = match self.target {
            Target::Probabilities(_) => (Truth::Probabilities, 1.0),
            Target::Labels(labels) => match Label::of(self.problem, &labels, row) {
                Label::Ignored => return (Seen::Ignored, Kept { state, ..Kept::NONE }),
                Label::Bad(label) => return (Seen::Bad(label), Kept { state, ..Kept::NONE }),
                Label::Class(class) => (Truth::Label(class), weight_of(self.weight, class)),
            },
        };
        let (loss, whole) = match truth {
            Truth::Label(class) if self.smoothing == 0.0 => {
                let view = &self.problem.view;
                let x = self.logits.get(view.row_start(row) + class * view.inner);
                (weighed(weight, state.surprise(f64::from(x))), weight)
            }
            _ => self.spread_loss(row, state, truth),
        };
        (Seen::Live { loss, weight, nan: state.is_nan() }, Kept { state, truth, whole })
    }

    /// The loss of a row whose target is spread over the classes, and `V`.
    fn spread_loss(&self, row: usize, state: State, truth: Truth) -> (f64, f64) {
        let view = &self.problem.view;
        let start = view.row_start(row);
        let (mut below_top, mut whole) = (0.0, 0.0);
        for class in 0..view.classes {
            let element = start + class * view.inner;
            let share = self.share(truth, element, class);
            below_top += weighed(share, state.top - f64::from(self.logits.get(element)));
            whole += share;
        }
        (below_top + whole * state.log_excess(), whole)
    }

    /// `v_c = w_c q'_c` with `q'_c = (1 - e) q_c + e / C`.
    fn share(&self, truth: Truth, element: usize, class: usize) -> f64 {
        let q = match (truth, self.target) {
            (Truth::Label(label), _) if label == class => 1.0,
            (Truth::Probabilities, Target::Probabilities(q)) => f64::from(q.get(element)),
            _ => 0.0,
        };
        let e = self.smoothing;
        let smoothed =
            if e == 0.0 { q } else { (1.0 - e) * q + e / self.problem.view.classes as f64 };
        if smoothed == 0.0 { 0.0 } else { smoothed * weight_of(self.weight, class) }
    }

    /// The gradient with respect to one logit, times `scale`.
    fn gradient(&self, kept: &Kept, x: f64, element: usize, class: usize, scale: f64) -> f64 {
        if matches!(kept.truth, Truth::Nothing) {
            return 0.0;
        }
        scale * kept.state.gradient(x, self.share(kept.truth, element, class), kept.whole)
    }
}
