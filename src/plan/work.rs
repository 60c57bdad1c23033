//! A problem, cut into pieces for a device: what every kernel's layout, work and parameters follow from.

use super::piece::Piece;
use super::profile::Profile;
use crate::kernels::{Geometry, Spec};
use crate::loss::{Function, sum_view};
use crate::tensor::ClassView;
use crate::{Error, Problem};

/// A problem, the device, and the pieces of the problem's tensors.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub problem: Problem,
    /// The device, with workgroups that it has the memory for.
    pub profile: Profile,
    pub pieces: Vec<Piece>,
    /// Of kernels with a lane per row or element.
    pub flat: Geometry,
    /// What one kernel would do is shared by several, since it would need too many bindings.
    pub splits: bool,
    /// Classes in each part of a row, where rows are cut into parts whatever their number
    /// ([`Profile::batch_invariant`]).
    pub fixed_part: Option<usize>,
}

impl Work {
    /// A problem that is not cut yet, for a device.
    pub fn new(problem: Problem, profile: Profile) -> Result<Self, Error> {
        let (flat, pieces) = (Geometry::lane_per_row(&profile)?, Vec::new());
        Ok(Self { problem, profile, pieces, flat, splits: false, fixed_part: None })
    }

    /// The same with workgroups of so many lanes at most.
    pub fn with_workgroups(self, lanes: u32) -> Result<Self, Error> {
        let mut profile = self.profile;
        profile.tuning.workgroup = lanes;
        Ok(Self { flat: Geometry::lane_per_row(&profile)?, profile, ..self })
    }

    /// Whether rows of logits are folded.
    pub fn folds_logits(&self) -> bool {
        use Function::{CrossEntropy, Entropy, Softmax};
        matches!(self.problem.function, CrossEntropy | Softmax | Entropy)
    }

    /// Whether the device allows a kernel that many storage bindings.
    pub fn has_bindings(&self, spec: &Spec) -> bool {
        spec.storage_bindings()
            <= u64::from(self.profile.limits.max_storage_buffers_per_shader_stage)
    }

    /// Whether a piece has a part of its rows' classes: then all have.
    pub fn cuts_rows(&self) -> bool {
        self.pieces.first().is_some_and(|piece| piece.is_inside(self.problem.view))
    }

    /// Rows of a piece; of single elements, the variances that they share.
    pub fn rows_of(&self, piece: usize) -> usize {
        match self.problem.pointwise {
            Some(_) => self.sums_of(piece).rows(),
            None => self.pieces[piece].rows(),
        }
    }

    /// The input as it looks from a piece: `inner` is how far its classes are apart.
    pub fn view_of(&self, piece: usize) -> ClassView {
        if self.problem.pointwise.is_some() {
            return self.sums_of(piece);
        }
        let Piece { outer, classes, .. } = &self.pieces[piece];
        ClassView { outer: outer.len(), classes: classes.len(), ..self.problem.view }
    }

    /// The extents of a piece of single elements along each axis.
    pub fn extents_of(&self, piece: usize) -> ClassView {
        let piece = &self.pieces[piece];
        let (outer, classes, inner) = (piece.outer.len(), piece.classes.len(), piece.inner.len());
        ClassView { outer, classes, inner }
    }

    /// A piece seen from the variances that its elements share, or as single elements.
    pub fn sums_of(&self, piece: usize) -> ClassView {
        let extents = self.extents_of(piece);
        match self.problem.pointwise.and_then(|pointwise| pointwise.var) {
            Some(var) => sum_view(var.axes, extents),
            None => ClassView { outer: extents.elements(), classes: 1, inner: 1 },
        }
    }
}
