//! A problem, cut into pieces for a device: every kernel's layout, work and parameters follow from it.

use std::ops::Range;

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
    /// The device, with workgroups that its memory allows.
    pub profile: Profile,
    pub pieces: Vec<Piece>,
    /// The geometry of kernels with a lane per row or element.
    pub flat: Geometry,
    /// True if several kernels share the work of one, which would need too many bindings.
    pub splits: bool,
    /// True if each group computes the mean's divisor itself.
    pub own_divisor: bool,
    /// For problems from given states: the first pieces, which have rows and no classes. Losses are computed over these,
    /// and elements written over the others.
    pub of_rows: usize,
    /// Classes in each part of a row, if rows are cut into parts whatever their number ([`Profile::batch_invariant`]).
    pub fixed_part: Option<usize>,
}

impl Work {
    /// Returns the work of a problem that is not cut yet, for a device.
    pub fn new(problem: Problem, profile: Profile) -> Result<Self, Error> {
        let (flat, pieces) = (Geometry::lane_per_row(&profile)?, Vec::new());
        Ok(Self {
            problem,
            profile,
            pieces,
            flat,
            splits: false,
            own_divisor: false,
            of_rows: 0,
            fixed_part: None,
        })
    }

    /// Returns the same work with workgroups of `lanes` lanes at most.
    pub fn with_workgroups(self, lanes: u32) -> Result<Self, Error> {
        let mut profile = self.profile;
        profile.tuning.workgroup = lanes;
        Ok(Self { flat: Geometry::lane_per_row(&profile)?, profile, ..self })
    }

    /// Returns true if rows of logits are folded.
    pub fn folds_logits(&self) -> bool {
        use Function::{CrossEntropy, Entropy, Softmax};
        matches!(self.problem.function, CrossEntropy | Softmax | Entropy)
    }

    /// Returns true if the device allows a kernel its number of storage bindings.
    pub fn has_bindings(&self, spec: &Spec) -> bool {
        spec.storage_bindings()
            <= u64::from(self.profile.limits.max_storage_buffers_per_shader_stage)
    }

    /// Returns true if a piece has a part of its rows' classes: then all have.
    pub fn cuts_rows(&self) -> bool {
        let pieces = &self.pieces[self.element_pieces()];
        pieces.first().is_some_and(|piece| piece.is_inside(self.problem.view))
    }

    /// Returns the pieces over which rows are counted.
    pub fn row_pieces(&self) -> Range<usize> {
        let given = self.problem.states.is_some();
        0..if given { self.of_rows } else { self.pieces.len() }
    }

    /// Returns the pieces that have elements.
    pub fn element_pieces(&self) -> Range<usize> {
        self.of_rows..self.pieces.len()
    }

    /// Returns true if a piece comes after others of the same rows.
    pub fn continues(&self, piece: usize) -> bool {
        self.pieces[..piece].last().is_some_and(|before| before.shares_rows(&self.pieces[piece]))
    }

    /// Returns the number of rows of a piece; for single elements, of the variances that they share.
    pub fn rows_of(&self, piece: usize) -> usize {
        match self.problem.pointwise {
            Some(_) => self.sums_of(piece).rows(),
            None => self.pieces[piece].rows(),
        }
    }

    /// Returns the view of the input from a piece: `inner` is the distance between its classes.
    pub fn view_of(&self, piece: usize) -> ClassView {
        if self.problem.pointwise.is_some() {
            return self.sums_of(piece);
        }
        let Piece { outer, classes, .. } = &self.pieces[piece];
        ClassView { outer: outer.len(), classes: classes.len(), ..self.problem.view }
    }

    /// Returns the extents of a piece of single elements along each axis.
    pub fn extents_of(&self, piece: usize) -> ClassView {
        let piece = &self.pieces[piece];
        let (outer, classes, inner) = (piece.outer.len(), piece.classes.len(), piece.inner.len());
        ClassView { outer, classes, inner }
    }

    /// Returns the view of a piece along the variances that its elements share, or as single elements.
    pub fn sums_of(&self, piece: usize) -> ClassView {
        let extents = self.extents_of(piece);
        match self.problem.pointwise.and_then(|pointwise| pointwise.var) {
            Some(var) => sum_view(var.axes, extents),
            None => ClassView { outer: extents.elements(), classes: 1, inner: 1 },
        }
    }
}
