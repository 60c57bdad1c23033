//! What labels and weights say of rows.

use super::sums::{Live, Seen, Sums};
use super::walk::sum_rows;
use crate::{Floats, Inputs, Labels, Problem};

/// What labels and weights say of the rows without a look at the logits: how many there are of each kind,
/// and their weights. The losses are zero.
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

/// The weight of a row: 1 without row weights.
pub(super) fn row_weight_of(inputs: &Inputs<'_>, row: usize) -> f64 {
    inputs.row_weights.map_or(1.0, |weights| f64::from(weights.data.get(row)))
}

/// What a row's label says.
pub(super) enum Label {
    /// Leave the row out.
    Ignored,
    /// Neither a class nor `ignore_index`.
    Bad(i128),
    /// A class.
    Class(usize),
}

/// A row's label, which nobody looks at where the row has no weight.
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

/// The weight of a class: 1 without weights.
pub(super) fn weight_of(weight: Option<Floats<'_>>, class: usize) -> f64 {
    weight.map_or(1.0, |weight| f64::from(weight.get(class)))
}

/// What a row of this weight adds to the divisor. One whose weight is no number has a loss of NaN, and leaves the divisor
/// to the others.
pub(super) fn counted(weight: f64) -> f64 {
    if weight.is_finite() { weight } else { 0.0 }
}

/// `weight * value`, where a weight of 0 leaves nothing of an infinity (but does not hide a NaN).
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
