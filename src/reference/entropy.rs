//! The entropy of the distribution.
//!
//! With the row's state `(max, sum_exp_m1, exp_gap_sum)`, the distances `d_c = x(max) - x_c` and their mean
//! `mean_gap = sum_c p_c d_c = exp_gap_sum / (1 + sum_exp_m1)`:
//!
//! ```text
//! loss     = r (log(1 + sum_exp_m1) + mean_gap)
//! gradient = r p_c (d_c - mean_gap)
//! ```
//!
//! No term of the loss is negative, and `-log p_c - H` is computed without the logarithm that both terms contain.

use super::rows::{Row, RowLogits, asks_for_rows};
use super::scale::Scale;
use super::state::State;
use super::sums::{Live, Seen, Sums};
use super::walk::{fill_elements, repeated, sum_rows};
use super::weights::{counted, row_weight_of};
use crate::{Error, Inputs, Output, Problem, Reduction};

/// Computes the entropy, its gradient, and the requested outputs of the rows.
pub(super) fn run(
    problem: &Problem,
    inputs: &Inputs<'_>,
    scale: &Scale<'_>,
) -> Result<Output<f64>, Error> {
    let logits = RowLogits::new(problem, inputs);
    let (view, outputs) = (&problem.view, problem.outputs);
    let keeps = |wanted: bool| if wanted { view.rows() } else { 0 };
    let by_element = (outputs.grad || outputs.log_probs) && view.elements() > 0;
    let mut losses = repeated("loss", 0.0, keeps(problem.reduction == Reduction::None))?;
    let mut kept = repeated("state", Row::NONE, keeps(by_element || asks_for_rows(problem)))?;
    // Without classes and without outputs of rows, the time must not depend on the number of rows in the shape.
    let sums = if view.classes == 0 && kept.is_empty() && losses.is_empty() && !problem.row_weights
    {
        Sums::empty_rows(view.rows())
    } else {
        sum_rows(view, Some((logits.data, &logits.map)), &mut losses, &mut kept, |row, state| {
            let weight = row_weight_of(inputs, row);
            if weight == 0.0 {
                return (Seen::Ignored, Row { state, weight, ..Row::NONE });
            }
            // A row whose weight is NaN or infinite has no distribution either.
            let state = if weight.is_finite() { state } else { State::NAN };
            let (loss, nan) = (weight * state.entropy(), state.is_nan());
            let live = Live { loss, weight: counted(weight), nan, ..Live::default() };
            (Seen::Live(live), Row { state, weight, ..Row::NONE })
        })
    };

    let grad = outputs.grad.then(|| {
        fill_elements("gradient", view, |element, row, _| {
            let Row { state, weight, .. } = kept[row];
            if weight == 0.0 {
                return 0.0;
            }
            let below = logits.below(&state, element);
            let p = state.prob(below);
            if p == 0.0 { 0.0 } else { scale.of(row) * weight * p * (below - state.mean_gap()) }
        })
    });
    let log_probs = outputs.log_probs.then(|| {
        fill_elements("log_probs", view, |element, row, _| {
            let state = &kept[row].state;
            state.log_prob(logits.below(state, element))
        })
    });
    Ok(Output {
        loss: sums.reduce(problem, losses),
        grad: grad.transpose()?,
        log_probs: log_probs.transpose()?,
        rows: logits.outputs(outputs, |row| kept[row])?,
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}
