//! The distribution itself.
//!
//! With the row's state `(max, sum_exp_m1)`, the distances `d_c = x(max) - x_c`, and an upstream gradient `u` that is
//! `u_max` at the first class at the maximum; `j` numbers the other classes:
//!
//! ```text
//! log_softmax: y_c = -(d_c + log(1 + sum_exp_m1))
//! softmax:     y_c = exp(-d_c) / (1 + sum_exp_m1)
//!
//! log_softmax: dx_c = u_c - p_c (u_max + sum_j u_j)
//!              at the maximum  (u_max sum_exp_m1 - sum_j u_j) / (1 + sum_exp_m1)
//! softmax:     dx_c = p_c ((u_c - u_max) + sum_j p_j (u_max - u_j))
//! ```
//!
//! A row that is nearly certain has a gradient as small as the remaining probability; computed from the maximum, no
//! large terms cancel in it.

use super::logits::Logits;
use super::rows::{Row, RowLogits, asks_for_rows};
use super::state::State;
use super::sums::{Live, Seen, Sums};
use super::walk::{fill_elements, fill_rows, repeated, sum_rows};
use crate::{Error, Floats, Inputs, Output, Problem};

/// Computes softmax or log-softmax, as requested, and its gradient.
pub(super) fn run(problem: &Problem, inputs: &Inputs<'_>) -> Result<Output<f64>, Error> {
    let (view, outputs) = (&problem.view, problem.outputs);
    let logits = RowLogits::new(problem, inputs);
    let keeps = view.classes > 0 || asks_for_rows(problem);
    let mut states = repeated("state", State::IDENTITY, if keeps { view.rows() } else { 0 })?;
    // Without classes, the time must not depend on the number of rows in the shape.
    let sums = if view.classes == 0 {
        Sums::empty_rows(view.rows())
    } else {
        let folded = Some((logits.data, &Logits::IDENTITY));
        sum_rows(view, folded, &mut [], &mut states, |_, state| {
            (Seen::Live(Live { weight: 1.0, nan: state.is_nan(), ..Live::default() }), state)
        })
    };

    let log_probs = outputs.log_probs.then(|| {
        fill_elements("log_probs", view, |element, row, _| {
            states[row].log_prob(logits.below(&states[row], element))
        })
    });
    let probs = outputs.probs.then(|| {
        fill_elements("probs", view, |element, row, _| {
            states[row].prob(logits.below(&states[row], element))
        })
    });
    let grad = match inputs.upstream {
        Some(upstream) if outputs.grad => {
            let product = Product { logits, upstream: upstream.data, log: outputs.log_probs };
            Some(product.run(&states)?)
        }
        _ => None,
    };
    Ok(Output {
        grad,
        log_probs: log_probs.transpose()?,
        probs: probs.transpose()?,
        rows: logits.outputs(outputs, |row| Row { state: states[row], ..Row::NONE })?,
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}

/// The product of an upstream gradient and the Jacobian.
struct Product<'a> {
    logits: RowLogits<'a>,
    upstream: Floats<'a>,
    /// True for the log-softmax.
    log: bool,
}

/// The sums over the upstream gradients of a row.
#[derive(Clone, Copy, Default)]
struct Pull {
    /// The first class at the maximum.
    argmax: usize,
    /// Its upstream gradient.
    upstream: f64,
    /// The sum over the other classes: of `u_j`, or of `p_j (u_max - u_j)`.
    rest: f64,
}

impl Product<'_> {
    fn run(&self, states: &[State]) -> Result<Vec<f64>, Error> {
        let view = &self.logits.view;
        let rows = if view.classes == 0 { 0 } else { view.rows() };
        let pulls = fill_rows("gradient", rows, |row| self.pull(row, &states[row]))?;
        fill_elements("gradient", view, |element, row, class| {
            let (state, pull) = (&states[row], &pulls[row]);
            let p = state.prob(self.logits.below(state, element));
            let own = self.at(element);
            match (self.log, class == pull.argmax) {
                (false, true) => p * pull.rest,
                (false, false) => p * ((own - pull.upstream) + pull.rest),
                (true, true) => (own * state.sum_exp_m1 - pull.rest) / (1.0 + state.sum_exp_m1),
                (true, false) => own - p * (pull.upstream + pull.rest),
            }
        })
    }

    fn at(&self, element: usize) -> f64 {
        self.upstream.get(element).into()
    }

    fn pull(&self, row: usize, state: &State) -> Pull {
        if state.is_nan() {
            return Pull { argmax: 0, upstream: f64::NAN, rest: f64::NAN };
        }
        let argmax = self.logits.argmax(row, state) as usize;
        let view = &self.logits.view;
        let upstream = self.at(view.row_start(row) + argmax * view.inner);
        let others = self.logits.elements(row).enumerate().filter(|&(class, _)| class != argmax);
        let rest = others.map(|(_, element)| match self.log {
            true => self.at(element),
            false => {
                let p = state.prob(self.logits.below(state, element));
                p * (upstream - self.at(element))
            }
        });
        Pull { argmax, upstream, rest: rest.sum() }
    }
}
