//! The words of a row's record.

use crate::LargeOutput;

/// The words that a record may have, in their order: the output, its name in `record.wgsl`, the flag that asks for it,
/// and true if it needs more of a row's classes than their log-sum-exp.
const WORDS: [(LargeOutput, &str, &str, bool); 7] = [
    (LargeOutput::Lse, "lse", "RECORD_LSE", false),
    (LargeOutput::Argmax, "argmax", "RECORD_ARGMAX", true),
    (LargeOutput::Rank, "rank", "RECORD_RANK", true),
    (LargeOutput::Entropy, "entropy", "RECORD_ENTROPY", true),
    (LargeOutput::Variance, "variance", "RECORD_VARIANCE", true),
    (LargeOutput::RowWeights, "weights", "RECORD_WEIGHTS", false),
    (LargeOutput::ZLoss, "z_loss", "RECORD_Z_LOSS", false),
];

/// The outputs in a row's record: a bit for each of [`WORDS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record(u32);

impl Record {
    /// Returns the record of these outputs.
    pub(super) fn of(outputs: &[LargeOutput]) -> Self {
        Self::of_words(|what, _| outputs.contains(&what))
    }

    /// Returns the part of it that kernels must gather if they read only some of a row's classes.
    pub(super) fn of_states(self) -> Self {
        Self::of_words(|what, of_state| of_state && self.has(what))
    }

    fn of_words(has: impl Fn(LargeOutput, bool) -> bool) -> Self {
        let bits = WORDS.iter().enumerate();
        Self(bits.map(|(bit, &(what, _, _, of_state))| u32::from(has(what, of_state)) << bit).sum())
    }

    /// Returns true if it has an output.
    pub(super) fn has(self, what: LargeOutput) -> bool {
        WORDS.iter().enumerate().any(|(bit, (other, ..))| *other == what && self.0 >> bit & 1 == 1)
    }

    /// Returns the number of its words.
    pub(crate) fn words(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns the names of its words in `record.wgsl`.
    pub(super) fn names(self) -> Vec<&'static str> {
        WORDS.iter().filter(|(what, ..)| self.has(*what)).map(|(_, name, ..)| *name).collect()
    }

    /// Returns the flags that `record.wgsl` asks for.
    pub(super) fn flags(self) -> impl Iterator<Item = (bool, &'static str)> {
        WORDS.iter().map(move |&(what, _, flag, _)| (self.has(what), flag))
    }
}
