//! The sums over rows.

use super::sum::Sum;
use crate::call::BadValue;
use crate::{Problem, Reduction, Summary};

/// The contribution of one row to the sums.
pub(super) enum Seen {
    /// Nothing: its label is `ignore_index`, or its weight 0.
    Ignored,
    /// An error: its label is no class.
    Bad(i128),
    /// An error: the loss is not defined for its value.
    BadValue(BadValue),
    /// The contribution of a row that counts.
    Live(Live),
}

/// The contribution of a row that counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Live {
    pub loss: f64,
    pub z_loss: f64,
    /// Its weight in the mean.
    pub weight: f64,
    /// True if its loss is NaN because of its logits or its weights.
    pub nan: bool,
    /// True if its label is predicted and accuracy is requested.
    pub correct: bool,
    /// True if its label is among the first k and these are requested.
    pub top_k: bool,
}

impl Seen {
    /// Returns the row's own loss.
    pub fn loss(&self) -> f64 {
        match *self {
            Seen::Ignored => 0.0,
            Seen::Bad(_) | Seen::BadValue(_) => f64::NAN,
            Seen::Live(live) => live.loss,
        }
    }
}

/// The sums over a run of rows. They also merge and reduce the GPU's results of pieces.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub loss: Sum,
    pub z_loss: Sum,
    pub weight: Sum,
    /// The summary. Its `weight` is that of the last merge.
    pub summary: Summary,
}

impl Sums {
    /// Returns the sums over rows that were added elsewhere.
    pub fn new(loss: f64, z_loss: f64, summary: Summary) -> Sums {
        let weight = summary.weight.into();
        Sums { loss: loss.into(), z_loss: z_loss.into(), weight, summary }
    }

    /// Returns the sums over rows that all count and add nothing: distributions over no classes.
    pub fn empty_rows(rows: usize) -> Sums {
        let summary = Summary {
            rows: rows as u64,
            live: rows as u64,
            weight: rows as f64,
            ..Summary::default()
        };
        Sums::new(0.0, 0.0, summary)
    }

    /// Adds the next row.
    pub(super) fn add(&mut self, row: usize, seen: &Seen) {
        let summary = &mut self.summary;
        summary.rows += 1;
        match *seen {
            Seen::Ignored => {}
            Seen::Bad(label) => {
                summary.bad += 1;
                summary.first_bad.get_or_insert((row as u64, label));
            }
            Seen::BadValue(value) => {
                summary.bad += 1;
                summary.first_bad_value.get_or_insert(value);
            }
            Seen::Live(live) => {
                self.loss.add(live.loss);
                self.z_loss.add(live.z_loss);
                self.weight.add(live.weight);
                summary.live += 1;
                summary.correct += u64::from(live.correct);
                summary.top_k += u64::from(live.top_k);
                if live.nan {
                    summary.nonfinite += 1;
                    summary.first_nonfinite.get_or_insert(row as u64);
                }
            }
        }
    }

    /// Returns the sums over these rows and the ones after them.
    pub fn merge(self, later: Sums) -> Sums {
        let weight = self.weight.merge(later.weight);
        let (a, b) = (self.summary, later.summary);
        let summary = Summary {
            rows: a.rows + b.rows,
            live: a.live + b.live,
            weight: weight.value(),
            bad: a.bad + b.bad,
            first_bad: a.first_bad.or(b.first_bad),
            // Pieces of single elements may come in another order than their elements.
            first_bad_value: [a.first_bad_value, b.first_bad_value]
                .into_iter()
                .flatten()
                .min_by_key(|value| value.position),
            nonfinite: a.nonfinite + b.nonfinite,
            first_nonfinite: [a.first_nonfinite, b.first_nonfinite].into_iter().flatten().min(),
            correct: a.correct + b.correct,
            top_k: a.top_k + b.top_k,
        };
        let (loss, z_loss) = (self.loss.merge(later.loss), self.z_loss.merge(later.z_loss));
        Sums { loss, z_loss, weight, summary }
    }

    /// Returns the losses after the problem's reduction.
    pub fn reduce(&self, problem: &Problem, losses: Vec<f64>) -> Vec<f64> {
        match problem.reduction {
            Reduction::None => losses,
            _ => vec![problem.reduced(self.loss.value(), self.summary.weight)],
        }
    }

    /// Returns the z-losses after the problem's reduction; none if the problem has none.
    pub fn reduce_z(&self, problem: &Problem, z_losses: Vec<f64>) -> Vec<f64> {
        match problem.reduction {
            _ if problem.z_loss == 0.0 => Vec::new(),
            Reduction::None => z_losses,
            _ => vec![problem.reduced(self.z_loss.value(), self.summary.weight)],
        }
    }
}
