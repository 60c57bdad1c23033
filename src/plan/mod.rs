//! The plan of a call: which kernels run over which pieces, and how much memory they need. Pure:
//! made from the problem and the device's [`Profile`], without a device.

mod alignment;
mod binding;
mod bounds;
mod build;
mod geometry;
mod kernels;
mod loads;
mod loops;
mod piece;
mod pieces;
mod pointwise;
mod profile;
mod step;
mod steps;
mod tuning;
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

use self::workspace::words_of_state;
use crate::kernels::{Kernel, Spec};
use crate::loss::Divisor;
use crate::tensor::{Axes, Slot};
use crate::words::{HEADER_WORDS, TOTALS_WORDS};
use crate::{EmptyMean, Error, Problem};

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
    problem: Problem,
    pieces: Vec<Piece>,
    steps: Vec<Step>,
    partials: u32,
    /// Words of the workspace behind the partials: states, and where rows are cut their labels' weights.
    state_words: u64,
    /// Classes in each part of a row, where rows are cut into parts whatever their number
    /// ([`Profile::batch_invariant`]).
    fixed_part: Option<usize>,
    /// What one kernel would do is shared by several, since it would need too many bindings.
    splits: bool,
    profile: Profile,
}

impl Plan {
    /// What is computed.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The pieces that dispatches bind: more than one where a tensor does not fit one binding of the
    /// device. They cover the tensors, and no two have an element of the input in common.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// GPU memory needed beyond inputs and requested outputs, in bytes.
    pub fn workspace_bytes(&self) -> u64 {
        4 * (self.states_start() + self.state_words)
    }

    /// Where the states begin in the workspace, in words.
    fn states_start(&self) -> u64 {
        u64::from(HEADER_WORDS) + u64::from(TOTALS_WORDS) * u64::from(self.partials)
    }

    /// Number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }

    /// How often the loops of one invocation turn at most, over all of its work.
    pub fn longest_loops(&self) -> u64 {
        let turns = |step: &Step| {
            let Some(piece) = step.piece else {
                return match step.spec.kernel {
                    Kernel::Clear => loops::turns_of_clear(step) as u64,
                    _ => loops::turns_over_partials(&step.spec, step.partials) as u64,
                };
            };
            let spec = self.narrowest(step);
            let of_group = self.blocks(&spec, piece, step.parts).div_ceil(step.groups);
            u64::from(of_group) * loops::turns_of_block(self, &spec, piece, step.parts) as u64
        };
        self.steps.iter().map(turns).max().unwrap_or(0)
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
        let in_place = self.problem.input_type == self.problem.output_type;
        self.variants().flat_map(move |spec| {
            let places =
                [false, true].map(|over| Spec { in_place: over && in_place && spec.grad, ..spec });
            places.into_iter().flat_map(|spec| [false, true].map(|arena| Spec { arena, ..spec }))
        })
    }

    /// Whether both do the same on the device, for the same problem: then neither is faster.
    pub(crate) fn same_work(&self, other: &Self) -> bool {
        let together = |plan: &Self| plan.profile.tuning.together;
        self.pieces == other.pieces
            && self.steps == other.steps
            // The order of the work matters where a group does more than one block of it.
            && (together(self) == together(other) || self.steps.iter().all(|s| self.has_one_turn(s)))
    }

    /// Whether every group has one block of work.
    fn has_one_turn(&self, step: &Step) -> bool {
        let blocks = |piece| self.blocks(&step.spec, piece, step.parts);
        step.piece.is_none_or(|piece| blocks(piece) <= step.groups)
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The parameters of every step, of tensors that start where their buffers do.
    #[doc(hidden)]
    pub fn parameters(&self) -> impl Iterator<Item = Params> + '_ {
        self.steps.iter().map(|step| self.params(step, &step.spec))
    }

    /// The parameters of a step run by `spec`, the variant of its kernel that the buffers allow.
    /// Origins are the binding's business.
    pub(crate) fn params(&self, step: &Step, spec: &Spec) -> Params {
        let problem = &self.problem;
        let view = problem.view;
        let all_classes = view.classes as u64;
        let mut params = Params {
            // A plane of that many positions has boxes of one class, and no second one to step to.
            inner: u32::try_from(view.inner).unwrap_or(u32::MAX),
            all_classes_low: all_classes as u32,
            all_classes_high: (all_classes >> 32) as u32,
            ignore_low: problem.ignore_index as u32,
            ignore_high: (problem.ignore_index >> 32) as u32,
            smoothing: problem.label_smoothing,
            smoothing_share: (f64::from(problem.label_smoothing) / view.classes as f64) as f32,
            divisor: match problem.divisor {
                Divisor::Known(divisor) => divisor as f32,
                Divisor::RowWeights => 0.0,
            },
            empty_mean: match problem.empty_mean {
                EmptyMean::Nan => f32::NAN.to_bits(),
                EmptyMean::Zero => 0,
            },
            logit_scale: problem.logits.scale,
            softcap: problem.logits.softcap.unwrap_or(1.0),
            z_loss: problem.z_loss,
            top_k: problem.outputs.top_k,
            ..Params::default()
        };
        match step.piece {
            Some(piece) => {
                let Piece { outer, classes, inner } = &self.pieces[piece];
                params.classes = classes.len() as u32;
                params.class_base_low = classes.start as u32;
                params.class_base_high = (classes.start as u64 >> 32) as u32;
                params.rows = self.rows_of(piece) as u32;
                params.turns = self.blocks(spec, piece, step.parts).div_ceil(step.groups);
                (params.group_step, params.turn_step) = match self.profile.tuning.together {
                    true => (1, step.groups),
                    false => (params.turns, 1),
                };
                params.row_base = (outer.start * view.inner + inner.start) as u32;
                params.partial_base = step.partials;
                params.parts = step.parts;
                params.part_loads = self.part_loads(spec, piece, step.parts) as u32;
                let states = |parts| {
                    let words = words_of_state(problem) * u64::from(parts);
                    (self.states_start() + words * params.rows as u64) as u32
                };
                let before = if spec.apart { self.parts_before(piece) } else { 0 };
                params.states = states(before);
                params.label_weights = states(self.parts_in_all(step.parts));
            }
            None if spec.kernel == Kernel::Clear => {
                params.cleared = step.partials;
                params.groups = step.groups;
            }
            None => params.partials = step.partials,
        }
        if let (Some(pointwise), Some(piece)) = (problem.pointwise, step.piece) {
            let extents = self.extents_of(piece);
            let sums = self.sums_of(piece);
            let Piece { outer, classes, inner } = &self.pieces[piece];
            let base = Axes::Elements.place(&view, [outer.start, classes.start, inner.start]);
            params.eps = pointwise.eps;
            params.inner = extents.inner as u32;
            params.span = (extents.classes * extents.inner) as u32;
            params.row_base = base as u32;
            params.summed = sums.classes as u32;
            params.sum_inner = sums.inner as u32;
            if spec.kernel == Kernel::Pointwise {
                let load = spec.layout.load.elements();
                params.loads = (self.elements_of(spec, piece) / load) as u32;
                params.first_load = (self.first_of(spec, piece) / load) as u32;
            } else {
                params.rows = sums.rows() as u32;
                params.continues = step.partials;
            }
        }
        params
    }

    /// Refuses more rows than one dispatch of `finish` can tell apart: it numbers them in u32.
    pub(crate) fn check_rows(&self) -> Result<(), Error> {
        let (needed, allowed) = (self.problem.losses() as u64, u64::from(u32::MAX - 1));
        if needed > allowed {
            return Err(Error::Limit {
                what: "the number of rows (of elements, for losses of single elements)",
                limit: "range of a u32 row index",
                needed,
                allowed,
            });
        }
        Ok(())
    }

    /// Refuses a device that this plan was not made for, which has less than the plan takes.
    pub(crate) fn check_device(&self, limits: &wgpu::Limits) -> Result<(), Error> {
        let groups = self.steps.iter().map(|step| step.groups).max().unwrap_or(0);
        let needs = [
            (
                "a dispatch of this plan",
                "max_compute_workgroups_per_dimension",
                groups.into(),
                limits.max_compute_workgroups_per_dimension.into(),
            ),
            (
                "the workspace",
                "max_storage_buffer_binding_size",
                self.workspace_bytes(),
                limits.max_storage_buffer_binding_size,
            ),
            ("the workspace", "max_buffer_size", self.workspace_bytes(), limits.max_buffer_size),
        ];
        match needs.into_iter().find(|(_, _, needed, allowed): &(_, _, u64, u64)| needed > allowed)
        {
            Some((what, limit, needed, allowed)) => {
                Err(Error::Limit { what, limit, needed, allowed })
            }
            None => Ok(()),
        }
    }

    /// Refuses a workspace, or a tensor that is not cut, that no binding holds.
    fn check_workspace(&self) -> Result<(), Error> {
        let uncut = |on: bool, slot: Slot| {
            let tensor = self.problem.tensor(slot).filter(|_| on);
            (slot.name(), tensor.map_or(0, |tensor| tensor.bytes()))
        };
        let allowed = pieces::largest_binding(&self.profile);
        let limit = "max_storage_buffer_binding_size";
        let whole = [
            ("the workspace", self.workspace_bytes()),
            uncut(true, Slot::Classes),
            uncut(self.clears_variance_grad(), Slot::VarianceGrad),
        ];
        match whole.into_iter().find(|(_, needed)| *needed > allowed) {
            Some((what, needed)) => Err(Error::Limit { what, limit, needed, allowed }),
            None => Ok(()),
        }
    }

    /// Refuses a plan with more storage bindings than the device allows a shader.
    fn check_bindings(&self) -> Result<(), Error> {
        let needed = self.specs().map(|spec| spec.storage_bindings()).max().unwrap_or(0);
        let allowed = u64::from(self.profile.limits.max_storage_buffers_per_shader_stage);
        if needed > allowed {
            return Err(Error::Limit {
                what: "one kernel of this plan",
                limit: "max_storage_buffers_per_shader_stage",
                needed,
                allowed,
            });
        }
        Ok(())
    }
}

/// What runs, one dispatch to a line, and the memory it needs.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{} groups  {}", step.groups, step.spec)?;
        }
        let bytes = self.workspace_bytes();
        write!(f, "{} pieces, {bytes} bytes of workspace", self.pieces.len())
    }
}
