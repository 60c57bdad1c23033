//! One dispatch of a plan.

use crate::kernels::Spec;

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dispatch {
    pub spec: Spec,
    /// The dispatch's piece; `None` for dispatches over the partials.
    pub piece: Option<usize>,
    pub groups: u32,
    /// The piece's first partial; for a dispatch over partials, or over zeros, their number; for sums over a piece's
    /// variances, the number of earlier pieces.
    pub partials: u32,
    /// Parts of each row.
    pub parts: u32,
}

impl Dispatch {
    /// Returns a dispatch over whole rows of a piece, in any number of groups.
    pub fn over(spec: Spec, piece: usize) -> Self {
        Self { spec, piece: Some(piece), groups: u32::MAX, partials: 0, parts: 1 }
    }
}
