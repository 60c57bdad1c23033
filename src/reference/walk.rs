//! Parallel walks through a tensor: over rows, adding; over elements, writing.

use std::ops::Range;

use rayon::prelude::*;

use super::logits::Logits;
use super::state::{State, states};
use super::sums::{Seen, Sums};
use crate::tensor::with_floats;
use crate::{ClassView, Error, Floats};

/// Threads get rows and elements in chunks of about this many elements. The chunks depend on the shape alone, so sums
/// do not depend on the threads.
const CHUNK_ELEMENTS: usize = 1 << 16;

/// No chunk has more rows than this.
const CHUNK_ROWS: usize = 4096;

/// Visits every row once, in parallel, and adds the rows' contributions in their order.
///
/// `folded` is the input and the map of its logits, if `visit` needs the row's [`State`] (otherwise it receives the
/// identity). `losses` and `kept` have one element per row, or none if they are not requested.
pub(super) fn sum_rows<K: Send>(
    view: &ClassView,
    folded: Option<(Floats<'_>, &Logits)>,
    losses: &mut [f64],
    kept: &mut [K],
    visit: impl Fn(usize, State) -> (Seen, K) + Sync,
) -> Sums {
    let size = chunk_rows(view, folded.is_some());
    let chunks: Vec<Range<usize>> = (0..view.rows())
        .step_by(size)
        .map(|first| first..view.rows().min(first.saturating_add(size)))
        .collect();
    let losses = cut(losses, size, chunks.len());
    let kept = cut(kept, size, chunks.len());
    let sums: Vec<Sums> = (chunks, losses, kept)
        .into_par_iter()
        .map(|(rows, losses, kept)| {
            let states = folded.map(|(logits, map)| {
                with_floats!(logits, logits => states(view, map, logits, rows.clone()))
            });
            let mut sums = Sums::default();
            for (k, row) in rows.enumerate() {
                let state = states.as_ref().map_or(State::IDENTITY, |states| states[k]);
                let (seen, keep) = visit(row, state);
                sums.add(row, &seen);
                if let Some(place) = losses.get_mut(k) {
                    *place = seen.loss();
                }
                if let Some(place) = kept.get_mut(k) {
                    *place = keep;
                }
            }
            sums
        })
        .collect();
    sums.into_iter().fold(Sums::default(), Sums::merge)
}

/// Returns the number of rows of a chunk. Rows that interleave in memory stay together in runs of 64, so that all of a
/// cache line is used.
fn chunk_rows(view: &ClassView, whole_rows: bool) -> usize {
    let elements = if whole_rows { view.classes.max(1) } else { 1 };
    let least = if view.inner == 1 { 1 } else { 64 };
    (CHUNK_ELEMENTS / elements).clamp(least, CHUNK_ROWS)
}

/// Returns `items` in `count` chunks of `size`, or `count` empty chunks if there are no items.
fn cut<T>(items: &mut [T], size: usize, count: usize) -> Vec<&mut [T]> {
    if items.is_empty() {
        return std::iter::repeat_with(Default::default).take(count).collect();
    }
    items.chunks_mut(size).collect()
}

/// Writes one value per element, in parallel: `value(element, row, class)`.
pub(super) fn fill_elements(
    what: &'static str,
    view: &ClassView,
    value: impl Fn(usize, usize, usize) -> f64 + Sync,
) -> Result<Vec<f64>, Error> {
    let mut values = repeated(what, 0.0, view.elements())?;
    values.par_chunks_mut(CHUNK_ELEMENTS).enumerate().for_each(|(chunk, values)| {
        let first = chunk * CHUNK_ELEMENTS;
        let (mut row, mut class) = view.row_and_class(first);
        let mut inner = row % view.inner;
        for (k, place) in values.iter_mut().enumerate() {
            *place = value(first + k, row, class);
            // The next element is the next row's, until the class's run of rows ends: then either
            // the next class starts over with the same rows, or the next rows start with class 0.
            (row, inner) = (row + 1, inner + 1);
            if inner == view.inner {
                (inner, class) = (0, class + 1);
                if class == view.classes {
                    class = 0;
                } else {
                    row -= view.inner;
                }
            }
        }
    });
    Ok(values)
}

/// Returns one value per row, in parallel.
pub(super) fn fill_rows<T: Clone + Default + Send>(
    what: &'static str,
    rows: usize,
    value: impl Fn(usize) -> T + Sync,
) -> Result<Vec<T>, Error> {
    let mut values = repeated(what, T::default(), rows)?;
    values.par_iter_mut().enumerate().for_each(|(row, place)| *place = value(row));
    Ok(values)
}

/// Returns `count` times `value`, or an error if they do not fit into memory.
pub(super) fn repeated<T: Clone>(
    what: &'static str,
    value: T,
    count: usize,
) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).map_err(|_| Error::Limit {
        what,
        limit: "memory in bytes",
        needed: (count as u64).saturating_mul(size_of::<T>() as u64),
        allowed: isize::MAX as u64,
    })?;
    items.resize(count, value);
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::super::sums::Live;
    use super::*;

    #[test]
    fn elements_know_their_row_and_class() {
        for (outer, classes, inner) in [(1, 1, 1), (7, 3, 1), (2, 5, 3), (3, 1, 4), (70, 9, 211)] {
            let view = ClassView { outer, classes, inner };
            let code = |row: usize, class: usize| (row * classes + class) as f64;
            let got = fill_elements("test", &view, |_, row, class| code(row, class)).unwrap();
            for (element, got) in got.into_iter().enumerate() {
                let (row, class) = view.row_and_class(element);
                assert_eq!(got, code(row, class), "element {element} of {view:?}");
                assert_eq!(view.row_start(row) + class * inner, element);
            }
        }
    }

    #[test]
    fn every_row_is_visited_once_and_kept_in_its_place() {
        // Two chunks and a part of 4096 rows; then chunks of rows that are longer than a chunk.
        for (rows, classes) in [(2 * CHUNK_ROWS + 5, 2), (3, CHUNK_ELEMENTS + 1)] {
            let view = ClassView { outer: rows, classes, inner: 1 };
            let mut losses = vec![0.0; rows];
            let mut kept = vec![0; rows];
            let sums = sum_rows(&view, None, &mut losses, &mut kept, |row, _| {
                let (loss, nan) = (row as f64, row == 1);
                (Seen::Live(Live { loss, weight: 2.0, nan, ..Live::default() }), row)
            });
            assert_eq!(kept, Vec::from_iter(0..rows));
            assert_eq!(losses, Vec::from_iter((0..rows).map(|row| row as f64)));
            assert_eq!(sums.loss.value(), (rows * (rows - 1) / 2) as f64);
            assert_eq!(sums.summary.weight, 2.0 * rows as f64);
            assert_eq!((sums.summary.rows, sums.summary.live), (rows as u64, rows as u64));
            assert_eq!((sums.summary.nonfinite, sums.summary.first_nonfinite), (1, Some(1)));
        }
    }

    /// A chunk has work for a while, and not all of it: one row at a time would cost more than it computes.
    #[test]
    fn chunks_have_about_as_many_elements() {
        let chunk = |classes, inner| chunk_rows(&ClassView { outer: 9, classes, inner }, true);
        assert_eq!((chunk(1, 1), chunk(0, 1)), (CHUNK_ROWS, CHUNK_ROWS));
        assert_eq!((chunk(1000, 1), chunk(1000, 7)), (65, 65));
        assert_eq!((chunk(CHUNK_ELEMENTS + 1, 1), chunk(CHUNK_ELEMENTS + 1, 7)), (1, 64));
        // Only labels and weights are read.
        let view = ClassView { outer: 9, classes: 1000, inner: 1 };
        assert_eq!(chunk_rows(&view, false), CHUNK_ROWS);
    }

    #[test]
    fn what_does_not_fit_into_memory_is_an_error() {
        let error = repeated("loss", 0.0, usize::MAX / 4).unwrap_err();
        assert!(matches!(error, Error::Limit { what: "loss", .. }), "{error}");
    }
}
