//! The sums over rows that depend on labels and weights alone.

use super::sums::{Live, Seen, Sums};
use super::walk::sum_rows;
use crate::{Floats, Inputs, Labels, Problem};

/// Returns the sums over the rows without reading the logits: the number of rows of each kind, and their weights. The
/// losses are zero.
pub(crate) fn weight_sums(problem: &Problem, inputs: &Inputs<'_>) -> Sums {
    sum_rows(&problem.view, None, &mut [], &mut [], |row, _| {
        let row_weight = row_weight_of(inputs, row);
        let label = inputs.labels.map(|(labels, _)| labels.get(row));
        let label = label.map(|label| kind_of(problem, label, row_weight));
        let weight = weight_of_kind(&label, inputs.weight, row_weight);
        let seen = match label {
            None if row_weight == 0.0 => Seen::Ignored,
            Some(Label::Ignored) => Seen::Ignored,
            Some(Label::Bad(label)) => Seen::Bad(label),
            _ => Seen::Live(Live { weight, ..Live::default() }),
        };
        (seen, ())
    })
}

/// Returns the weight of a row in the divisor of a weighted mean: the product of its label's class weight and its own
/// `row_weight`, each 1 if the call has none.
///
/// It is 0 if the label is ignored or bad, or if the product is no finite number. A [`Stream`](super::Stream) that
/// computes the gradient of a mean needs the sum over all rows, before it gets the first batch.
///
/// ```
/// use wgpu_loss::loss::{Loss, Shapes};
/// use wgpu_loss::reference::weight_in_divisor;
/// use wgpu_loss::{CrossEntropy, Floats, LabelType, Outputs, TargetType};
///
/// let labels = [2i64, -100, 0];
/// let shapes = Shapes::new(&[3, 4]).target(TargetType::Labels(LabelType::I64), &[3]).weight(4);
/// let problem = CrossEntropy::new().problem(&shapes, Outputs::loss().with_grad())?;
/// let weights = Some(Floats::F32(&[0.5, 1.0, 2.0, 1.0]));
/// let of_row = |label: i64| weight_in_divisor(&problem, Some(label.into()), weights, 1.0);
/// assert_eq!(labels.map(of_row).iter().sum::<f64>(), 2.5);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
pub fn weight_in_divisor(
    problem: &Problem,
    label: Option<i128>,
    class_weights: Option<Floats<'_>>,
    row_weight: f64,
) -> f64 {
    let label = label.map(|label| kind_of(problem, label, row_weight));
    weight_of_kind(&label, class_weights, row_weight)
}

fn weight_of_kind(label: &Option<Label>, weights: Option<Floats<'_>>, row_weight: f64) -> f64 {
    match label {
        None => counted(row_weight),
        Some(Label::Class(class)) => counted(row_weight * weight_of(weights, *class)),
        Some(Label::Ignored | Label::Bad(_)) => 0.0,
    }
}

/// Returns the weight of a row: 1 without row weights.
pub(super) fn row_weight_of(inputs: &Inputs<'_>, row: usize) -> f64 {
    inputs.row_weights.map_or(1.0, |weights| f64::from(weights.data.get(row)))
}

/// The meaning of a row's label.
pub(super) enum Label {
    /// `ignore_index`: the row is left out.
    Ignored,
    /// Neither a class nor `ignore_index`.
    Bad(i128),
    /// A class.
    Class(usize),
}

/// Returns the meaning of a row's label: ignored, without a check of the label, if the row's weight is 0.
pub(super) fn label_of(
    problem: &Problem,
    inputs: &Inputs<'_>,
    labels: &Labels<'_>,
    row: usize,
) -> Label {
    kind_of(problem, labels.get(row), row_weight_of(inputs, row))
}

fn kind_of(problem: &Problem, label: i128, row_weight: f64) -> Label {
    if label == i128::from(problem.ignore_index) || row_weight == 0.0 {
        return Label::Ignored;
    }
    match usize::try_from(label) {
        Ok(class) if (class as u64) < problem.all_classes() => Label::Class(class),
        _ => Label::Bad(label),
    }
}

/// Returns the weight of a class: 1 without weights.
pub(super) fn weight_of(weight: Option<Floats<'_>>, class: usize) -> f64 {
    weight.map_or(1.0, |weight| f64::from(weight.get(class)))
}

/// Returns the part of the divisor of a row of this weight: 0 if the weight is NaN or infinite, whose row has a loss of
/// NaN and does not change the mean's divisor.
pub(super) fn counted(weight: f64) -> f64 {
    if weight.is_finite() { weight } else { 0.0 }
}

/// Returns `weight * value`, which is 0 for a weight of 0 and an infinity (but NaN for a NaN).
pub(super) fn weighed(weight: f64, value: f64) -> f64 {
    if weight == 0.0 && value.is_infinite() { 0.0 } else { weight * value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_weight_leaves_no_infinity_but_a_nan() {
        assert_eq!(weighed(0.0, f64::INFINITY), 0.0);
        assert_eq!(weighed(0.0, f64::NEG_INFINITY), 0.0);
        assert_eq!(weighed(0.5, f64::INFINITY), f64::INFINITY);
        assert_eq!(weighed(-0.5, f64::INFINITY), f64::NEG_INFINITY);
        assert_eq!(weighed(0.5, 3.0), 1.5);
        assert!(weighed(0.0, f64::NAN).is_nan());
    }
}
