//! The distribution itself.
//!
//! With the row's state `(top, excess)`:
//!
//! ```text
//! log_softmax: y_c = (x_c - top) - log(1 + excess)
//! softmax:     y_c = exp(x_c - top) / (1 + excess)
//! ```

use super::state::State;
use super::walk::{fill_elements, repeated, sum_rows};
use super::{Seen, Sums};
use crate::{Error, Inputs, Output, Problem};

/// Softmax or log-softmax, whichever is asked for.
pub(super) fn run(problem: &Problem, inputs: &Inputs<'_>) -> Result<Output<f64>, Error> {
    let (view, logits) = (&problem.view, inputs.input.data);
    // Without a class there is nothing to normalise, however many rows the shape speaks of.
    let (states, sums) = if view.classes == 0 {
        (Vec::new(), Sums::empty_rows(view.rows()))
    } else {
        let mut states = repeated("state", State::IDENTITY, view.rows())?;
        let sums = sum_rows(view, Some(logits), &mut [], &mut states, |_, state| {
            (Seen::Live { loss: 0.0, weight: 1.0, nan: state.is_nan() }, state)
        });
        (states, sums)
    };

    let x = |element: usize| f64::from(logits.get(element));
    let log_probs = problem.outputs.log_probs.then(|| {
        fill_elements("log_probs", view, |element, row, _| states[row].log_prob(x(element)))
    });
    let probs = problem
        .outputs
        .probs
        .then(|| fill_elements("probs", view, |element, row, _| states[row].prob(x(element))));
    Ok(Output {
        log_probs: log_probs.transpose()?,
        probs: probs.transpose()?,
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}
