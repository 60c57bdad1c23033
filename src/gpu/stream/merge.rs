//! Merges the results of the pieces on the host.

use crate::bound::Decoded;
use crate::partial::Found;
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

/// Adds the sums of a piece, and its rows' losses if they came one by one. The buffer of the losses may be longer: it has
/// held larger pieces.
pub(super) fn add(found: &mut Found, sums: &Sums, row_losses: Option<&[u8]>) {
    match row_losses {
        None => found.add(sums),
        Some(bytes) => {
            let losses = bytes.chunks_exact(4).take(sums.summary.rows as usize);
            let losses = losses.map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]).into());
            found.add_rows(sums, losses);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Shapes;
    use crate::{
        CrossEntropy, EmptyMean, LabelType, Loss, Outputs, Partial, Reduction, TargetType,
    };

    fn problem(loss: CrossEntropy) -> Problem {
        let shapes = Shapes::new(&[4, 3]).target(TargetType::Labels(LabelType::I8), &[4]);
        loss.problem(&shapes, Outputs::loss()).unwrap()
    }

    fn of(problem: &Problem, loss: f64, summary: Summary, first_row: u64) -> Sums {
        let decoded = Decoded { loss: loss as f32, z_loss: 0.0, summary, wide: [loss, 0.0] };
        of_piece(problem, &decoded, &RowRange { outer: 0..1, inner: 0..1 }, first_row)
    }

    fn all(pieces: impl IntoIterator<Item = Sums>) -> Found {
        let mut all = Found::default();
        pieces.into_iter().for_each(|piece| all.add(&piece));
        all
    }

    fn reduced(problem: &Problem, found: Found) -> f64 {
        Partial::new(problem, None, found).output_of(problem).unwrap().loss[0]
    }

    /// A piece of 2^31 rows, all of them live and of loss 2^-10.
    fn piece() -> (f64, Summary) {
        let rows = 1u64 << 31;
        let summary = Summary { rows, live: rows, weight: 1.0, ..Summary::default() };
        ((1u64 << 21) as f64, summary)
    }

    #[test]
    fn more_rows_than_a_u32_counts() {
        let pieces = (0..5u64).map(|number| {
            let (loss, mut summary) = piece();
            if number == 3 {
                summary.live -= 3;
                (summary.bad, summary.first_bad) = (2, Some((7, -5)));
                (summary.nonfinite, summary.first_nonfinite) = (1, Some(11));
            }
            of(&problem(CrossEntropy::new()), loss, summary, number << 31)
        });
        let all = all(pieces);
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
        assert_eq!((all.loss.value(), all.summary()), ((5u64 << 21) as f64, wanted));
    }

    /// An f32 that counts by ones stops at 2^24; this sum does not.
    #[test]
    fn many_pieces_keep_their_digits() {
        let problem = problem(CrossEntropy::new());
        let summary = Summary { rows: 1, live: 1, ..Summary::default() };
        let pieces = (0..20_000_000).map(|row| of(&problem, 1.0, summary, row));
        let all = all(pieces);
        assert_eq!((all.loss.value(), all.summary().weight), (2e7, 2e7));
        assert_eq!(reduced(&problem, all), 1.0);
    }

    #[test]
    fn what_is_no_number_shows_in_the_whole() {
        let summary = Summary { rows: 1, live: 1, ..Summary::default() };
        let reduced = |losses: &[f64], problem: &Problem| {
            reduced(problem, all(losses.iter().map(|&loss| of(problem, loss, summary, 0))))
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
            let problem = problem(CrossEntropy::new().empty_mean(empty));
            let same = |got: f64| got.to_bits() == wanted.to_bits();
            let ignored = Summary { rows: 9, ..Summary::default() };
            assert!(same(reduced(&problem, all([of(&problem, 0.0, ignored, 0)]))));
            assert!(same(reduced(&problem, Found::default())));
        }
    }
}
