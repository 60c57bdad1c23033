//! The optional work of the softmax kernels in addition to loss, gradient and distribution, all in the same pass.

use super::record::Record;
use crate::LargeOutput;
use crate::loss::{Function, LogitMap, Problem};

/// The optional work that is switched on. Each part costs a few instructions a class or a row, and nothing if it is
/// off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct RowFeatures {
    /// Logits are multiplied by a number.
    pub scaled: bool,
    /// Logits are bounded before that.
    pub softcap: bool,
    /// Rows have weights.
    pub row_weights: bool,
    /// The square of the log-sum-exp is added up, and has a gradient.
    pub z_loss: bool,
    /// The entropy is the loss.
    pub entropy_loss: bool,
    /// The gradient is a product with the Jacobian of the distribution.
    pub jacobian: bool,
    /// The upstream gradient is of probabilities: they weight the sum of upstream gradients.
    pub product: bool,
    /// The outputs in a row's record.
    pub record: Record,
    // What is counted.
    pub accuracy: bool,
    pub top_k: bool,
    pub class_losses: bool,
}

impl RowFeatures {
    /// Returns the optional work of a problem.
    pub(crate) fn of(problem: &Problem) -> Self {
        let outputs = problem.outputs;
        let z_loss = problem.z_loss != 0.0;
        let softcap = problem.logits.softcap.is_some();
        let jacobian = problem.function == Function::Softmax && outputs.grad;
        Self {
            scaled: problem.logits != LogitMap::IDENTITY,
            softcap,
            row_weights: problem.row_weights,
            z_loss,
            entropy_loss: problem.function == Function::Entropy,
            jacobian,
            product: jacobian && outputs.probs,
            record: Record::of(&problem.record()),
            accuracy: outputs.accuracy,
            top_k: outputs.top_k > 0,
            class_losses: outputs.class_losses,
        }
    }

    /// Returns the part of it for kernels that read labels and weights alone.
    pub(crate) fn of_rows(self) -> Self {
        Self { row_weights: self.row_weights, ..Self::default() }
    }

    /// Returns it without the work that is done once for each row, for kernels that do not do that work.
    pub(crate) fn without_records(self) -> Self {
        Self { record: self.record.of_states(), class_losses: false, ..self }
    }

    /// Returns the part of it that a state's fields depend on.
    pub(crate) fn of_fields(self) -> Self {
        let Self { entropy_loss, record, accuracy, .. } = self;
        Self { entropy_loss, record: record.of_states(), accuracy, ..Self::default() }
    }

    /// Returns the part of it that remains when the groups' totals are summed.
    pub(crate) fn counted(self) -> Self {
        let Self { z_loss, accuracy, top_k, .. } = self;
        Self { z_loss, accuracy, top_k, ..Self::default() }
    }

    /// Returns true if the class of the maximum is needed.
    pub(super) fn finds_maximum(self) -> bool {
        self.has(LargeOutput::Argmax) || self.accuracy
    }

    /// Returns true if classes before the label's are counted.
    pub(crate) fn counts_rank(self) -> bool {
        self.has(LargeOutput::Rank) || self.top_k
    }

    pub(super) fn wants_entropy(self) -> bool {
        self.has(LargeOutput::Entropy) || self.entropy_loss
    }

    pub(super) fn wants_variance(self) -> bool {
        self.has(LargeOutput::Variance)
    }

    /// Returns true if the mean distance from the maximum is needed.
    pub(super) fn sums_gaps(self) -> bool {
        self.wants_entropy() || self.wants_variance()
    }

    /// Returns true if a row's record has an output.
    fn has(self, what: LargeOutput) -> bool {
        self.record.has(what)
    }

    /// Returns the flags that conditions in the shaders may ask for.
    pub(super) fn flags(self) -> impl Iterator<Item = (bool, &'static str)> {
        let finds = self.finds_maximum();
        let counts = self.counts_rank();
        [
            (self.scaled, "SCALED"),
            (self.softcap, "SOFTCAP"),
            (self.row_weights, "ROW_WEIGHTS"),
            (self.z_loss, "Z_LOSS"),
            (self.has(LargeOutput::Lse) || self.z_loss, "LOG_SUM"),
            (self.entropy_loss, "ENTROPY_LOSS"),
            (self.wants_entropy(), "ENTROPY"),
            (self.sums_gaps(), "EXP_GAP_SUM"),
            (self.wants_variance(), "SQUARES"),
            (self.jacobian, "JACOBIAN"),
            (self.product, "PRODUCT"),
            (finds, "ARGMAX"),
            (counts, "RANK"),
            (self.accuracy, "ACCURACY"),
            (self.top_k, "TOP_K"),
            (self.class_losses, "CLASS_LOSSES"),
            (self.accuracy || self.class_losses || counts, "ROW_LABEL"),
        ]
        .into_iter()
        .chain(self.record.flags())
    }
}
