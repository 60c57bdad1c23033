//! The plan of a call: the kernels to run, their pieces of the tensors, and the memory they need. It is a pure function
//! of the problem and the device's [`Profile`]; it needs no device.

mod alignment;
mod binding;
mod bounds;
mod build;
mod builder;
mod dispatch;
mod geometry;
mod kernels;
mod limits;
mod loads;
mod loop_limits;
mod params;
mod piece;
mod pieces;
mod profile;
mod sequence;
mod tuning;
mod work;
mod workspace;

use std::fmt;

pub use piece::Piece;
pub use profile::Profile;
pub use tuning::{Lanes, Tuning};
// Public for the tests of this crate, and excluded from semver.
#[doc(hidden)]
pub use crate::kernels::{Geometry, Params};

pub(crate) use alignment::Alignment;
pub(crate) use binding::offset_alignment;
pub(crate) use loads::ragged_load;
#[cfg(feature = "gpu")]
pub(crate) use pieces::least_box;

pub(crate) use dispatch::Dispatch;

use self::work::Work;
use self::workspace::Workspace;
use crate::Problem;
use crate::kernels::Spec;

/// The dispatches of a call on a device, over pieces of the tensors.
///
/// A plan's tensors may have any size; [`Bound`](crate::Bound) allows up to 2^32 - 2 rows.
///
/// ```
/// use wgpu_loss::loss::Shapes;
/// use wgpu_loss::plan::{Plan, Profile};
/// use wgpu_loss::{CrossEntropy, LabelType, Outputs, TargetType};
///
/// let shapes = Shapes::new(&[17_000_000, 3])
///     .target(TargetType::Labels(LabelType::I64), &[17_000_000]);
/// let plan = Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss(), &Profile::portable())?;
/// // 204 MB of logits do not fit one binding of 128 MiB.
/// assert_eq!(plan.pieces().len(), 2);
/// assert!(plan.workspace_bytes() < 128 << 10);
/// println!("{plan}");
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    work: Work,
    dispatches: Vec<Dispatch>,
    workspace: Workspace,
}

impl Plan {
    /// Returns the problem.
    pub fn problem(&self) -> &Problem {
        &self.work.problem
    }

    /// Returns the pieces that dispatches bind: more than one if a tensor does not fit one binding of the device. They
    /// cover the tensors, and no two share an element of the input. A plan from states begins with pieces that have rows and
    /// no classes.
    pub fn pieces(&self) -> &[Piece] {
        &self.work.pieces
    }

    /// Returns the bytes of GPU memory that are needed in addition to inputs and requested outputs.
    pub fn workspace_bytes(&self) -> u64 {
        self.workspace.bytes()
    }

    /// Returns the number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }

    /// Returns the most iterations of one invocation's loops, over all of its work.
    pub fn longest_loops(&self) -> u64 {
        self.dispatches
            .iter()
            .map(|dispatch| loop_limits::turns(&self.work, dispatch))
            .max()
            .unwrap_or(0)
    }

    /// Returns every specialisation that the plan runs, in order.
    #[doc(hidden)]
    pub fn specs(&self) -> impl Iterator<Item = Spec> + '_ {
        self.dispatches.iter().map(|dispatch| dispatch.spec)
    }

    /// Returns every specialisation that the plan may run, for any alignment of the tensors in their buffers.
    #[doc(hidden)]
    pub fn variants(&self) -> impl Iterator<Item = Spec> + '_ {
        self.dispatches.iter().flat_map(|dispatch| self.work.variants(dispatch))
    }

    /// Returns these specialisations for all properties of the buffers: with and without a gradient that overwrites the
    /// input, and with and without a buffer that is both read and written.
    pub(crate) fn bound_variants(&self) -> impl Iterator<Item = Spec> + '_ {
        let in_place = self.problem().input_type == self.problem().output_type;
        self.variants().flat_map(move |spec| {
            let places =
                [false, true].map(|over| Spec { in_place: over && in_place && spec.grad, ..spec });
            places.into_iter().flat_map(|spec| {
                [false, true].map(|all_read_write| Spec { all_read_write, ..spec })
            })
        })
    }

    /// Returns true if both do the same work on the device, for the same problem: then neither is faster.
    pub(crate) fn same_work(&self, other: &Self) -> bool {
        let together = |plan: &Self| plan.work.profile.tuning.together;
        self.pieces() == other.pieces()
            && self.dispatches == other.dispatches
            // The order of the work matters if a group does more than one block of it.
            && (together(self) == together(other) || self.dispatches.iter().all(|s| self.has_one_turn(s)))
    }

    /// Returns true if every group has one block of work.
    fn has_one_turn(&self, dispatch: &Dispatch) -> bool {
        let blocks = |piece| self.work.blocks(&dispatch.spec, piece, dispatch.parts);
        dispatch.piece.is_none_or(|piece| blocks(piece) <= dispatch.groups)
    }

    /// Returns the variant of a dispatch's kernel for tensors of an alignment.
    pub(crate) fn variant(&self, dispatch: &Dispatch, alignment: Alignment) -> Spec {
        self.work.variant(dispatch, alignment)
    }

    pub(crate) fn all_dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }
}

/// Prints the dispatches, one to a line, and the memory they need.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dispatch in &self.dispatches {
            writeln!(f, "{} groups  {}", dispatch.groups, dispatch.spec)?;
        }
        let bytes = self.workspace_bytes();
        write!(f, "{} pieces, {bytes} bytes of workspace", self.pieces().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Shapes;
    use crate::{CrossEntropy, LabelType, Outputs, TargetType};

    /// The order in which groups take blocks makes a difference only if a group has several.
    #[test]
    fn the_same_work_is_told_apart() {
        let plan = |rows: usize, change: fn(&mut Tuning)| {
            let mut profile = Profile::portable();
            change(&mut profile.tuning);
            let (shape, labels) = ([rows, 10], [rows]);
            let shapes = Shapes::new(&shape).target(TargetType::Labels(LabelType::I64), &labels);
            let outputs = Outputs::loss().with_grad();
            Plan::new(&CrossEntropy::new(), &shapes, outputs, &profile).unwrap()
        };
        for (rows, one_turn) in [(1000, true), (10_000_000, false)] {
            let table = plan(rows, |_| {});
            assert!(table.same_work(&plan(rows, |tuning| tuning.resident_row = 16)), "{table}");
            assert!(!table.same_work(&plan(rows, |tuning| tuning.workgroup = 64)), "{table}");
            let apart = plan(rows, |tuning| tuning.together = false);
            assert_eq!(table.same_work(&apart), one_turn, "{table}");
            assert!(apart.same_work(&apart), "{table}");
        }
        assert!(!plan(1000, |_| {}).same_work(&plan(1001, |_| {})));
    }
}
