//! The buffers of a call, by the numbers of their bindings.

/// A buffer a kernel binds. The order is the binding number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Slot {
    Params,
    Logits,
    Target,
    Weight,
    Upstream,
    RowLoss,
    Grad,
    Elements,
    ElementWeight,
    PosWeight,
    Variance,
    TargetGrad,
    VarianceGrad,
    Workspace,
    Result,
    RowWeights,
    Record,
    Classes,
}

impl Slot {
    /// How many there are.
    pub(crate) const COUNT: u64 = Slot::Classes as u64 + 1;

    /// Whether it is a tensor that callers get.
    pub(crate) fn is_output(self) -> bool {
        use Slot::{Classes, Elements, Grad, Record, Result, RowLoss, TargetGrad, VarianceGrad};
        let of_rows = matches!(self, RowLoss | Record | Classes | Result);
        of_rows || matches!(self, Grad | Elements | TargetGrad | VarianceGrad)
    }

    /// What errors call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Slot::Params => "params",
            Slot::Logits => "input",
            Slot::Target => "target",
            Slot::Weight => "weight",
            Slot::Upstream => "upstream gradient",
            Slot::RowLoss => "unreduced loss",
            Slot::Grad => "gradient",
            Slot::Elements => "log-probabilities or probabilities",
            Slot::ElementWeight => "element weight",
            Slot::PosWeight => "pos_weight",
            Slot::Variance => "var",
            Slot::TargetGrad => "gradient of the target",
            Slot::VarianceGrad => "gradient of the variance",
            Slot::Workspace => "workspace",
            Slot::Result => "result",
            Slot::RowWeights => "row weights",
            Slot::Record => "rows' records",
            Slot::Classes => "sums of classes",
        }
    }
}
