//! Merges the results of the pieces on the host.

use crate::bound::Decoded;
use crate::reference::Sums;
use crate::stream::RowRange;
use crate::{Problem, Summary};

/// Returns the sums of one piece. `rows_before` are rows of earlier batches.
///
/// The device sums the rows of a piece in f32, by trees that keep every sum short; from then on sums are f64. Rows of
/// equal weight are counted, not summed.
pub(super) fn of_piece(
    problem: &Problem,
    decoded: &Decoded,
    piece: &RowRange,
    rows_before: u64,
) -> Sums {
    let summary = piece.placed(problem, decoded.summary, rows_before);
    let weight = if problem.weighs_rows() { summary.weight } else { summary.live as f64 };
    let summary = Summary { weight, ..summary };
    let [loss, z_loss] = decoded.wide;
    Sums::new(loss, z_loss, summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Divisor, Shapes};
    use crate::{CrossEntropy, EmptyMean, LabelType, Loss, Outputs, Reduction, TargetType};

    fn problem(loss: CrossEntropy) -> Problem {
        let shapes = Shapes::new(&[4, 3]).target(TargetType::Labels(LabelType::I8), &[4]);
        loss.problem(&shapes, Outputs::loss()).unwrap()
    }

    fn of(problem: &Problem, loss: f64, summary: Summary, first_row: u64) -> Sums {
        let decoded = Decoded { loss: loss as f32, z_loss: 0.0, summary, wide: [loss, 0.0] };
        of_piece(problem, &decoded, &RowRange { outer: 0..1, inner: 0..1 }, first_row)
    }

    /// A piece of 2^31 rows, all of them live and of loss 2^-10.
    fn piece() -> (f64, Summary) {
        let rows = 1u64 << 31;
        let summary = Summary { rows, live: rows, weight: 1.0, ..Summary::default() };
        ((1u64 << 21) as f64, summary)
    }

    #[test]
    fn more_rows_than_a_u32_counts() {
        let mut all = Sums::default();
        for number in 0..5u64 {
            let (loss, mut summary) = piece();
            if number == 3 {
                summary.live -= 3;
                (summary.bad, summary.first_bad) = (2, Some((7, -5)));
                (summary.nonfinite, summary.first_nonfinite) = (1, Some(11));
            }
            let problem = problem(CrossEntropy::new());
            all = all.merge(of(&problem, loss, summary, number << 31));
        }
        let wanted = Summary {
            rows: 5 << 31,
            live: (5 << 31) - 3,
            weight: ((5u64 << 31) - 3) as f64,
            bad: 2,
            first_bad: Some(((3 << 31) + 7, -5)),
            first_bad_value: None,
            nonfinite: 1,
            first_nonfinite: Some((3 << 31) + 11),
            ..Summary::default()
        };
        assert_eq!(all, Sums::new((5u64 << 21) as f64, 0.0, wanted));
    }

    /// An f32 that counts by ones stops at 2^24; this sum does not.
    #[test]
    fn many_pieces_keep_their_digits() {
        let problem = problem(CrossEntropy::new());
        let summary = Summary { rows: 1, live: 1, ..Summary::default() };
        let pieces = (0..20_000_000).map(|row| of(&problem, 1.0, summary, row));
        let all = pieces.fold(Sums::default(), Sums::merge);
        assert_eq!((all.loss.value(), all.summary.weight), (2e7, 2e7));
        assert_eq!(all.reduce(&problem, vec![]), [1.0]);
    }

    #[test]
    fn what_is_no_number_shows_in_the_whole() {
        let summary = Summary { rows: 1, live: 1, ..Summary::default() };
        let reduced = |losses: &[f64], problem: &Problem| {
            let pieces = losses.iter().map(|&loss| of(problem, loss, summary, 0));
            pieces.fold(Sums::default(), Sums::merge).reduce(problem, vec![])[0]
        };
        let inf = f64::INFINITY;
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::BatchMean] {
            let problem = problem(CrossEntropy::new().reduction(reduction));
            assert_eq!(reduced(&[1.0, inf, 2.0], &problem), f64::INFINITY);
            assert_eq!(reduced(&[1.0, -inf], &problem), f64::NEG_INFINITY);
            assert!(reduced(&[inf, -inf], &problem).is_nan());
            assert!(reduced(&[1.0, f64::NAN, inf], &problem).is_nan());
        }
    }

    #[test]
    fn a_mean_over_nothing() {
        for (empty, wanted) in [(EmptyMean::Nan, f64::NAN), (EmptyMean::Zero, 0.0)] {
            let mut problem = problem(CrossEntropy::new().empty_mean(empty));
            let same = |got: Vec<f64>| got[0].to_bits() == wanted.to_bits();
            let ignored = Summary { rows: 9, ..Summary::default() };
            assert!(same(of(&problem, 0.0, ignored, 0).reduce(&problem, vec![])));
            problem.divisor = Divisor::Known(0.0);
            assert!(same(Sums::default().reduce(&problem, vec![])));
        }
    }
}
