//! Words of the workspace.

use crate::Problem;
use crate::kernels::Extras;

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
