//! Negative log-likelihood of given log-probabilities.
//!
//! ```text
//! loss = -w_t x_t
//! gradient: -w_t at t, 0 at every other class
//! ```
//!
//! Only `x_t` is read. Where it is NaN the row's loss is NaN; an infinity takes part as it is, unless
//! its weight is 0. The gradient does not depend on the input.

use super::walk::{repeated, sum_rows};
use super::{Label, Scale, Seen, weighed, weight_of};
use crate::{Error, Inputs, Labels, Output, Problem, Reduction, TargetType};

/// The gather, and its gradient.
pub(super) fn run(problem: &Problem, inputs: &Inputs<'_>) -> Result<Output<f64>, Error> {
    let Some((labels, _)) = inputs.labels else {
        return Err(Error::Target {
            loss: "nll",
            given: TargetType::described(None),
            wanted: "labels",
        });
    };
    let view = &problem.view;
    let unreduced = problem.reduction == Reduction::None;
    let mut losses = repeated("loss", 0.0, if unreduced { view.rows() } else { 0 })?;
    let sums = sum_rows(view, None, &mut losses, &mut [], |row, _| {
        let seen = match Label::of(problem, &labels, row) {
            Label::Ignored => Seen::Ignored,
            Label::Bad(label) => Seen::Bad(label),
            Label::Class(class) => {
                let x = f64::from(inputs.input.data.get(view.row_start(row) + class * view.inner));
                let weight = weight_of(inputs.weight, class);
                Seen::Live { loss: weighed(weight, -x), weight, nan: x.is_nan() }
            }
        };
        (seen, ())
    });
    sums.summary.check_labels(view.classes, problem.ignore_index)?;

    let scale = Scale::new(problem, inputs, &sums);
    let grad = problem.outputs.grad.then(|| gradient(problem, inputs, &labels, &scale));
    Ok(Output {
        loss: sums.reduce(problem, losses),
        grad: grad.transpose()?,
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}

/// Zeros, but for one element in each row that counts.
fn gradient(
    problem: &Problem,
    inputs: &Inputs<'_>,
    labels: &Labels<'_>,
    scale: &Scale<'_>,
) -> Result<Vec<f64>, Error> {
    let view = &problem.view;
    let mut grad = repeated("gradient", 0.0, view.elements())?;
    for row in 0..view.rows() {
        let Label::Class(class) = Label::of(problem, labels, row) else { continue };
        let start = view.row_start(row);
        grad[start + class * view.inner] = -scale.of(row) * weight_of(inputs.weight, class);
    }
    Ok(grad)
}
