//! One dispatch of a plan.

use crate::kernels::Spec;

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub spec: Spec,
    /// The piece it works on; `None` for steps over the partials.
    pub piece: Option<usize>,
    pub groups: u32,
    /// The piece's first partial; for a step over partials, or over zeros, their number; for sums over a piece's
    /// variances, how many pieces come before.
    pub partials: u32,
    /// Parts of each row.
    pub parts: u32,
}

impl Step {
    /// Over whole rows of a piece, in as many groups as the device likes.
    pub fn over(spec: Spec, piece: usize) -> Self {
        Self { spec, piece: Some(piece), groups: u32::MAX, partials: 0, parts: 1 }
    }
}
