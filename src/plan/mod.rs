//! The plan of a call: which kernels run over which pieces, and how much memory they need. Pure:
//! made from the problem and the device's [`Profile`], without a device.

mod alignment;
mod binding;
mod bounds;
mod build;
mod builder;
mod geometry;
mod kernels;
mod limits;
mod loads;
mod loops;
mod params;
mod piece;
mod pieces;
mod profile;
mod step;
mod steps;
mod tuning;
mod work;
mod workspace;

use std::fmt;

pub use piece::Piece;
pub use profile::Profile;
pub use tuning::{Lanes, Tuning};
// For the tests of this crate, and no part of what a version promises.
#[doc(hidden)]
pub use crate::kernels::{Geometry, Params};

pub(crate) use alignment::Alignment;
pub(crate) use binding::offset_alignment;
pub(crate) use loads::ragged_load;
#[cfg(feature = "gpu")]
pub(crate) use pieces::least_box;

pub(crate) use step::Step;

use self::work::Work;
use self::workspace::Workspace;
use crate::Problem;
use crate::kernels::Spec;

/// How a call runs on a device: dispatches over pieces of the tensors.
///
/// Tensors may have any size, as far as plans go; [`Bound`](crate::Bound) takes those of 2^32 - 2 rows.
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
    steps: Vec<Step>,
    workspace: Workspace,
}

impl Plan {
    /// What is computed.
    pub fn problem(&self) -> &Problem {
        &self.work.problem
    }

    /// The pieces that dispatches bind: more than one where a tensor does not fit one binding of the
    /// device. They cover the tensors, and no two have an element of the input in common.
    pub fn pieces(&self) -> &[Piece] {
        &self.work.pieces
    }

    /// GPU memory needed beyond inputs and requested outputs, in bytes.
    pub fn workspace_bytes(&self) -> u64 {
        self.workspace.bytes()
    }

    /// Number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }

    /// How often the loops of one invocation turn at most, over all of its work.
    pub fn longest_loops(&self) -> u64 {
        self.steps.iter().map(|step| loops::turns(&self.work, step)).max().unwrap_or(0)
    }

    /// Every specialisation the plan runs, in order.
    #[doc(hidden)]
    pub fn specs(&self) -> impl Iterator<Item = Spec> + '_ {
        self.steps.iter().map(|step| step.spec)
    }

    /// Every specialisation that the plan may run, however the tensors lie in their buffers.
    #[doc(hidden)]
    pub fn variants(&self) -> impl Iterator<Item = Spec> + '_ {
        let of_step =
            move |step| Alignment::all().map(move |alignment| self.variant(step, alignment));
        self.steps.iter().flat_map(of_step)
    }

    /// The same with what else depends on the buffers: whether the gradient overwrites the input, and whether a buffer
    /// has both what is read and what is written.
    pub(crate) fn bound_variants(&self) -> impl Iterator<Item = Spec> + '_ {
        let in_place = self.problem().input_type == self.problem().output_type;
        self.variants().flat_map(move |spec| {
            let places =
                [false, true].map(|over| Spec { in_place: over && in_place && spec.grad, ..spec });
            places.into_iter().flat_map(|spec| [false, true].map(|arena| Spec { arena, ..spec }))
        })
    }

    /// Whether both do the same on the device, for the same problem: then neither is faster.
    pub(crate) fn same_work(&self, other: &Self) -> bool {
        let together = |plan: &Self| plan.work.profile.tuning.together;
        self.pieces() == other.pieces()
            && self.steps == other.steps
            // The order of the work matters where a group does more than one block of it.
            && (together(self) == together(other) || self.steps.iter().all(|s| self.has_one_turn(s)))
    }

    /// Whether every group has one block of work.
    fn has_one_turn(&self, step: &Step) -> bool {
        let blocks = |piece| self.work.blocks(&step.spec, piece, step.parts);
        step.piece.is_none_or(|piece| blocks(piece) <= step.groups)
    }

    /// The variant of a step's kernel for tensors that lie as `alignment` says.
    pub(crate) fn variant(&self, step: &Step, alignment: Alignment) -> Spec {
        self.work.variant(step, alignment)
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// What runs, one dispatch to a line, and the memory it needs.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{} groups  {}", step.groups, step.spec)?;
        }
        let bytes = self.workspace_bytes();
        write!(f, "{} pieces, {bytes} bytes of workspace", self.pieces().len())
    }
}
