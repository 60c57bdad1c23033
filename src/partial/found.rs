//! The sums and counts over rows of any origin.

use super::exact::ExactSum;
use crate::call::{BadValue, Summary};
use crate::classes::ClassLosses;
use crate::reference::Sums;

/// The rows whose losses are added up in f64 before the exact sum takes them.
const CHUNK: usize = 4096;

/// The knowledge of some rows: sums that are exact from the results of pieces on, and counts. It does not depend on how the
/// pieces are grouped, and merging has no order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    pub loss: ExactSum,
    pub z_loss: ExactSum,
    pub weight: ExactSum,
    /// The sum of the squares of the rows' losses, if they came one by one.
    pub squares: Option<ExactSum>,
    pub classes: ClassTotals,
    /// The counts, and the first rows of a kind. Its `weight` is not used: it is above.
    counts: Summary,
}

/// The sums of classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ClassTotals {
    pub loss: Vec<ExactSum>,
    pub rows: Vec<u64>,
    pub correct: Vec<u64>,
}

impl Found {
    /// Returns what stored sums and counts tell.
    pub fn stored(
        [loss, z_loss, weight]: [ExactSum; 3],
        squares: Option<ExactSum>,
        classes: ClassTotals,
        counts: Summary,
    ) -> Self {
        Self { loss, z_loss, weight, squares, classes, counts }
    }

    /// Adds the rows of a piece, whose positions are those in the whole.
    pub fn add(&mut self, piece: &Sums) {
        self.add_without_loss(piece);
        self.loss.add(piece.loss.value());
    }

    /// Adds the rows of a piece whose losses came one by one.
    pub fn add_rows(&mut self, piece: &Sums, losses: impl Iterator<Item = f64>) {
        self.add_without_loss(piece);
        // All pieces of a call have the losses of their rows, or none has.
        let squares = self.squares.get_or_insert_default();
        let mut losses = losses.peekable();
        while losses.peek().is_some() {
            let add = |(sum, square): (f64, f64), x: f64| (sum + x, square + x * x);
            let (sum, square) = losses.by_ref().take(CHUNK).fold((0.0, 0.0), add);
            self.loss.add(sum);
            squares.add(square);
        }
    }

    fn add_without_loss(&mut self, piece: &Sums) {
        self.z_loss.add(piece.z_loss.value());
        self.weight.add(piece.weight.value());
        self.counts = together(&self.counts, &piece.summary);
    }

    /// Adds other rows, whose positions are those in the same whole.
    pub fn merge(&mut self, other: &Found) {
        // All fields are named, so that the compiler reports a new one that is missing here.
        let Found { loss, z_loss, weight, squares, classes, counts } = other;
        self.loss.merge(loss);
        self.z_loss.merge(z_loss);
        self.weight.merge(weight);
        self.squares = match (self.squares.take(), squares) {
            (Some(mut ours), Some(theirs)) => {
                ours.merge(theirs);
                Some(ours)
            }
            // Squares of some of the rows are none: unless the others have no rows.
            (Some(ours), None) if counts.rows == 0 => Some(ours),
            (None, Some(theirs)) if self.counts.rows == 0 => Some(theirs.clone()),
            _ => None,
        };
        self.classes.merge(classes);
        self.counts = together(&self.counts, counts);
    }

    /// Adds the rows that follow these, whose positions are counted from their own first row.
    pub fn append(&mut self, later: &Found) {
        let mut later = later.clone();
        later.counts = after(self.counts.rows, later.counts);
        self.merge(&later);
    }

    /// Returns the counts, and the weight of the rows.
    pub fn summary(&self) -> Summary {
        Summary { weight: self.weight.value(), ..self.counts }
    }
}

/// Returns the counts of both.
fn together(a: &Summary, b: &Summary) -> Summary {
    let first = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
    // A count of a forged file may be any number.
    Summary {
        rows: a.rows.saturating_add(b.rows),
        live: a.live.saturating_add(b.live),
        weight: 0.0,
        bad: a.bad.saturating_add(b.bad),
        first_bad: a.first_bad.into_iter().chain(b.first_bad).min_by_key(|&(row, _)| row),
        first_bad_value: a
            .first_bad_value
            .into_iter()
            .chain(b.first_bad_value)
            .min_by_key(|value| value.position),
        nonfinite: a.nonfinite.saturating_add(b.nonfinite),
        first_nonfinite: first(a.first_nonfinite, b.first_nonfinite),
        correct: a.correct.saturating_add(b.correct),
        top_k: a.top_k.saturating_add(b.top_k),
    }
}

/// Returns the counts of rows that come after `rows` others.
fn after(rows: u64, counts: Summary) -> Summary {
    let number = |row: u64| row.saturating_add(rows);
    let bad = |value: BadValue| BadValue { position: number(value.position), ..value };
    Summary {
        first_bad: counts.first_bad.map(|(row, label)| (number(row), label)),
        first_bad_value: counts.first_bad_value.map(bad),
        first_nonfinite: counts.first_nonfinite.map(number),
        ..counts
    }
}

impl ClassTotals {
    /// Adds the losses of classes in a piece.
    pub fn add(&mut self, piece: &ClassLosses) {
        let ClassLosses { loss, rows, correct } = piece;
        self.extend_to(loss.len());
        self.loss.iter_mut().zip(loss).for_each(|(sum, &loss)| sum.add(loss));
        add_counts(&mut self.rows, rows);
        add_counts(&mut self.correct, correct);
    }

    fn merge(&mut self, other: &Self) {
        self.extend_to(other.loss.len());
        self.loss.iter_mut().zip(&other.loss).for_each(|(sum, other)| sum.merge(other));
        add_counts(&mut self.rows, &other.rows);
        add_counts(&mut self.correct, &other.correct);
    }

    /// Extends the sums to at least `classes` classes, with zeros.
    fn extend_to(&mut self, classes: usize) {
        let classes = classes.max(self.loss.len());
        self.loss.resize(classes, ExactSum::default());
        self.rows.resize(classes, 0);
        self.correct.resize(classes, 0);
    }

    /// Returns the sums of at least `classes` classes: zeros where there was no row.
    pub fn extended_to(mut self, classes: usize) -> Self {
        self.extend_to(classes);
        self
    }

    /// Returns the losses of `classes` classes for callers.
    pub fn losses(self, classes: usize) -> ClassLosses {
        let Self { loss, rows, correct } = self.extended_to(classes);
        ClassLosses { loss: loss.iter().map(ExactSum::value).collect(), rows, correct }
    }
}

fn add_counts(counts: &mut [u64], more: &[u64]) {
    counts.iter_mut().zip(more).for_each(|(count, &more)| *count = count.saturating_add(more));
}
