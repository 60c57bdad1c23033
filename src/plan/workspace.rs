//! Words of the workspace.

use crate::Problem;
use crate::kernels::Extras;
use crate::words::{HEADER_WORDS, TOTALS_WORDS};

/// The workspace: a head, the partials that groups leave behind, and behind these what rows have that several
/// dispatches work on: states, and where rows are cut their labels' weights.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Workspace {
    partials: u32,
    row_words: u64,
}

impl Workspace {
    /// Makes room for so many partials.
    pub fn reserve_partials(&mut self, partials: u32) {
        self.partials = self.partials.max(partials);
    }

    /// Makes room for so many words of rows.
    pub fn reserve_rows(&mut self, words: u64) {
        self.row_words = self.row_words.max(words);
    }

    /// Where the states begin, in words.
    pub fn states_start(&self) -> u64 {
        u64::from(HEADER_WORDS) + u64::from(TOTALS_WORDS) * u64::from(self.partials)
    }

    pub fn bytes(&self) -> u64 {
        4 * (self.states_start() + self.row_words)
    }
}

/// Words of the state of a row's classes, or of some of them.
pub(super) fn words_of_state(problem: &Problem) -> u64 {
    Extras::of(problem).state_words(problem.spreads()).into()
}

/// Words of the workspace that a row has where it is folded in so many parts: a state for each, and where rows are
/// cut the weight of its label and, where classes before the label's are counted, the label's logit.
pub(super) fn words_of_row(problem: &Problem, parts: u64, cut: bool) -> u64 {
    let extras = Extras::of(problem);
    let beside = if cut { 1 + u64::from(extras.counts_before()) } else { 0 };
    words_of_state(problem) * parts + beside
}
