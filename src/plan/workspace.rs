//! Words of the workspace.

use crate::Problem;
use crate::kernels::RowFeatures;
use crate::words::{HEADER_WORDS, TOTALS_WORDS};

/// The workspace: a head, the partials of groups, and after these the words of rows that several dispatches work on:
/// states, and for cut rows their labels' weights.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Workspace {
    partials: u32,
    row_words: u64,
}

impl Workspace {
    /// Reserves space for `partials` partials.
    pub fn reserve_partials(&mut self, partials: u32) {
        self.partials = self.partials.max(partials);
    }

    /// Returns the number of partials that have space.
    pub fn partials(&self) -> u32 {
        self.partials
    }

    /// Reserves `words` words for rows.
    pub fn reserve_rows(&mut self, words: u64) {
        self.row_words = self.row_words.max(words);
    }

    /// Returns the start of the states, in words.
    pub fn states_start(&self) -> u64 {
        u64::from(HEADER_WORDS) + u64::from(TOTALS_WORDS) * u64::from(self.partials)
    }

    pub fn bytes(&self) -> u64 {
        4 * (self.states_start() + self.row_words)
    }
}

/// Returns the words of the state of a row's classes, or of some of them.
pub(super) fn words_of_state(problem: &Problem) -> u64 {
    RowFeatures::of(problem).state_words(problem.has_dense_target()).into()
}

/// Returns the words in the workspace of a row that is folded in `parts` parts: a state for each, and for cut rows the
/// weight of the label and, if classes before the label's are counted, the label's logit.
pub(super) fn words_of_row(problem: &Problem, parts: u64, cut: bool) -> u64 {
    let row_features = RowFeatures::of(problem);
    let for_labels = if cut { 1 + u64::from(row_features.counts_rank()) } else { 0 };
    words_of_state(problem) * parts + for_labels
}
