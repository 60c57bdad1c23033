//! One dispatch of a plan.

use crate::kernels::Spec;

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) spec: Spec,
    /// The piece it works on; `None` for steps over the partials.
    pub(crate) piece: Option<usize>,
    pub(crate) groups: u32,
    /// The piece's first partial; for a step over partials, their number.
    pub(crate) partials: u32,
    /// Parts of each row.
    pub(crate) parts: u32,
}
