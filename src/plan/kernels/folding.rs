//! The choice of the kernel that folds the logits, and of its layout: from the shape, the adapter's tuning and the
//! alignment of the tensors.

use super::columns::short_classes;
use super::{columns, rows};
use crate::kernels::{Kernel, Layout};
use crate::plan::Profile;
use crate::plan::alignment::Alignment;
use crate::plan::work::Work;
use crate::tensor::ClassView;
use crate::{Error, Problem};

/// The most classes that a lane folds alone if neighbouring rows are neighbours in memory.
const LANE_CLASSES: usize = 1 << 14;
/// The fewest classes for which lanes share rows that are neighbours, if there are too few rows.
const SHARED_CLASSES: usize = 64;
/// The most classes for which a lane folds batch-invariant neighbouring rows alone, even if they are few.
const FIXED_LANE_CLASSES: usize = 1 << 10;

/// The kernel that folds logits, and its layout.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) enum Folding {
    /// The kernel [`Kernel::Rows`].
    Rows(Layout),
    /// The kernel [`Kernel::Columns`].
    Columns(Layout),
}

impl Folding {
    /// Returns the folding of the rows of a piece.
    pub fn of_piece(work: &Work, piece: usize, alignment: Alignment) -> Result<Self, Error> {
        let Work { problem, profile, .. } = work;
        match work.cuts_rows() || work.splits {
            parts if profile.batch_invariant => {
                Self::fixed(problem, work.rows_of(piece), profile, alignment, parts)
            }
            true => Self::of_box(work, piece, alignment),
            false => Self::of_rows(work, piece, alignment),
        }
    }

    /// Returns the folding of a piece that has all classes of its rows.
    fn of_rows(work: &Work, piece: usize, alignment: Alignment) -> Result<Self, Error> {
        let (view, rows) = (work.view_of(piece), work.rows_of(piece));
        let (input, profile) = (work.problem.input_type, &work.profile);
        let written = work.problem.writes_elements();
        let widest = alignment.load.min(profile.widest_load(input));
        Ok(if view.inner > 1 && shares_columns(view, rows, profile) {
            Self::Rows(rows::strided(view.classes, rows, profile)?)
        } else if view.inner > 1 {
            Self::Columns(columns::neighbours(view, input, profile, widest)?)
        } else if view.classes <= short_classes(profile) {
            Self::Columns(columns::short(view, rows, profile, widest)?)
        } else {
            Self::Rows(rows::neighbours(view.classes, input, written, profile, alignment)?)
        })
    }

    /// Returns the folding of a piece that has a part of its rows' classes. They are not resident: their maximum is
    /// known only when all pieces of the rows are folded.
    fn of_box(work: &Work, piece: usize, alignment: Alignment) -> Result<Self, Error> {
        let (view, profile) = (work.view_of(piece), &work.profile);
        let layout = match view.inner {
            1 => {
                let (input, written) = (work.problem.input_type, work.problem.writes_elements());
                rows::neighbours(view.classes, input, written, profile, alignment)?
            }
            _ => rows::strided(view.classes, work.rows_of(piece), profile)?,
        };
        Ok(Self::Rows(layout.streaming()))
    }

    /// Returns the folding for `rows` rows of a problem whose bits depend only on properties that all rows share
    /// ([`Profile::batch_invariant`]): the classes, the types and the device. Neither `rows` nor the alignment changes
    /// which lane folds a class, nor in which order. `parts`: a kernel folds parts of rows.
    pub fn fixed(
        problem: &Problem,
        rows: usize,
        profile: &Profile,
        alignment: Alignment,
        parts: bool,
    ) -> Result<Self, Error> {
        let (view, input) = (problem.view, problem.input_type);
        let written = problem.writes_elements();
        let widest = alignment.load.min(profile.widest_load(input));
        let of_rows = |layout: Layout| Self::Rows(if parts { layout.streaming() } else { layout });
        Ok(match problem.classes_are_last() {
            true if view.classes <= short_classes(profile) && !parts => {
                Self::Columns(columns::short(view, rows, profile, widest)?)
            }
            true => of_rows(rows::neighbours(view.classes, input, written, profile, alignment)?),
            false if view.classes <= FIXED_LANE_CLASSES && !parts => {
                Self::Columns(columns::neighbours(view, input, profile, widest)?)
            }
            false => of_rows(rows::strided(view.classes, rows, profile)?),
        })
    }

    /// Returns the kernel, and its layout.
    pub fn kernel(self) -> (Kernel, Layout) {
        match self {
            Self::Rows(layout) => (Kernel::Rows, layout),
            Self::Columns(layout) => (Kernel::Columns, layout),
        }
    }

    /// Returns the classes in each part of a batch-invariant row of `classes`; `None` if it is not cut into parts.
    pub fn fixed_part(&self, classes: usize, profile: &Profile) -> Option<usize> {
        match self {
            Self::Rows(layout) => rows::fixed_part(layout, classes, profile),
            Self::Columns(_) => None,
        }
    }
}

/// Returns true if lanes share rows that are neighbours in memory: if a single lane would fold for too long, or too few
/// lanes would have work.
fn shares_columns(view: ClassView, rows: usize, profile: &Profile) -> bool {
    let tuning = &profile.tuning;
    let busy = tuning.fill as usize * tuning.workgroup as usize / 4;
    let idle = rows < busy && view.classes >= SHARED_CLASSES;
    idle || view.classes > LANE_CLASSES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane folds a row alone, unless few rows would leave most lanes idle, or the row is long.
    #[test]
    fn lanes_share_columns_that_are_few_or_long() {
        let profile = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        let busy = (profile.tuning.fill * profile.tuning.workgroup / 4) as usize;
        for (classes, rows, shared) in [
            (100, 1, true),
            (100, busy - 1, true),
            (100, busy, false),
            (100, 100 * busy, false),
            (SHARED_CLASSES, 1, true),
            (SHARED_CLASSES - 1, 1, false),
            (LANE_CLASSES, busy, false),
            (LANE_CLASSES + 1, busy, true),
        ] {
            let view = ClassView { outer: 1, classes, inner: rows };
            assert_eq!(shares_columns(view, rows, &profile), shared, "{rows} rows of {classes}");
        }
    }
}
