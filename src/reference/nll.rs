//! Negative log-likelihood of given log-probabilities.
//!
//! ```text
//! loss = -r w_t x_t
//! gradient: -r w_t at t, 0 at every other class
//! ```
//!
//! Only `x_t` is read. If it is NaN, the row's loss is NaN; an infinity is used as it is, unless its weight is 0. The
//! gradient does not depend on the input.

use super::rows::class_losses;
use super::scale::Scale;
use super::sums::{Live, Seen};
use super::walk::{fill_rows, repeated, sum_rows};
use super::weights::{Label, counted, label_of, row_weight_of, weighed, weight_of};
use crate::{Error, Inputs, Labels, Output, Problem, Reduction, RowOutputs, TargetType};

/// Computes the gather, and its gradient.
pub(super) fn run(
    problem: &Problem,
    inputs: &Inputs<'_>,
    scale: &Scale<'_>,
) -> Result<Output<f64>, Error> {
    let Some((labels, _)) = inputs.labels else {
        return Err(Error::Target {
            loss: "nll",
            given: TargetType::described(None),
            wanted: "labels",
        });
    };
    let (view, outputs) = (&problem.view, problem.outputs);
    let keeps = problem.reduction == Reduction::None || outputs.class_losses;
    let mut losses = repeated("loss", 0.0, if keeps { view.rows() } else { 0 })?;
    let sums = sum_rows(view, None, &mut losses, &mut [], |row, _| {
        let seen = match label_of(problem, inputs, &labels, row) {
            Label::Ignored => Seen::Ignored,
            Label::Bad(label) => Seen::Bad(label),
            Label::Class(class) => {
                let x = f64::from(inputs.input.data.get(view.row_start(row) + class * view.inner));
                let weight = row_weight_of(inputs, row) * weight_of(inputs.weight, class);
                // A row whose weight is NaN or infinite has no loss.
                let loss = if weight.is_finite() { weighed(weight, -x) } else { f64::NAN };
                let (nan, weight) = (x.is_nan() || !weight.is_finite(), counted(weight));
                Seen::Live(Live { loss, weight, nan, ..Live::default() })
            }
        };
        (seen, ())
    });
    let grad = outputs.grad.then(|| gradient(problem, inputs, &labels, scale));
    let weight = |row| match label_of(problem, inputs, &labels, row) {
        Label::Class(class) => {
            counted(row_weight_of(inputs, row) * weight_of(inputs.weight, class))
        }
        _ => 0.0,
    };
    let weights = outputs.row_weights.then(|| fill_rows("row weights", view.rows(), weight));
    let classes = outputs
        .class_losses
        .then(|| class_losses(problem, inputs, &labels, &losses, |_| false))
        .transpose()?;
    Ok(Output {
        loss: sums.reduce(problem, losses),
        grad: grad.transpose()?,
        rows: RowOutputs { weights: weights.transpose()?, ..RowOutputs::default() },
        classes,
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}

/// Returns zeros, except for one element in each row that counts, and for rows with a bad label, which are NaN.
fn gradient(
    problem: &Problem,
    inputs: &Inputs<'_>,
    labels: &Labels<'_>,
    scale: &Scale<'_>,
) -> Result<Vec<f64>, Error> {
    let view = &problem.view;
    let mut grad = repeated("gradient", 0.0, view.elements())?;
    for row in 0..view.rows() {
        let class = match label_of(problem, inputs, labels, row) {
            Label::Ignored => continue,
            Label::Class(class) => class,
            Label::Bad(_) => {
                let start = view.row_start(row);
                (0..view.classes).for_each(|class| grad[start + class * view.inner] = f64::NAN);
                continue;
            }
        };
        let weight = row_weight_of(inputs, row) * weight_of(inputs.weight, class);
        let slope = if weight.is_finite() { -scale.of(row) * weight } else { f64::NAN };
        grad[view.row_start(row) + class * view.inner] = slope;
    }
    Ok(grad)
}
