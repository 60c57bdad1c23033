//! The sums over rows that depend on labels and weights alone.

use super::sums::{Live, Seen, Sums};
use super::walk::sum_rows;
use crate::{Floats, Inputs, Labels, Problem};

/// Returns the sums over the rows without reading the logits: the number of rows of each kind, and their weights. The
/// losses are zero.
pub(crate) fn weight_sums(problem: &Problem, inputs: &Inputs<'_>) -> Sums {
    sum_rows(&problem.view, None, &mut [], &mut [], |row, _| {
        let row_weight = row_weight_of(inputs, row);
        let label = inputs.labels.map(|(labels, _)| label_of(problem, inputs, &labels, row));
        let live = |weight| Seen::Live(Live { weight: counted(weight), ..Live::default() });
        let seen = match label {
            None if row_weight == 0.0 => Seen::Ignored,
            None => live(row_weight),
            Some(Label::Ignored) => Seen::Ignored,
            Some(Label::Bad(label)) => Seen::Bad(label),
            Some(Label::Class(class)) => live(row_weight * weight_of(inputs.weight, class)),
        };
        (seen, ())
    })
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
    let label = labels.get(row);
    if label == i128::from(problem.ignore_index) || row_weight_of(inputs, row) == 0.0 {
        return Label::Ignored;
    }
    match usize::try_from(label) {
        Ok(class) if class < problem.view.classes => Label::Class(class),
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
