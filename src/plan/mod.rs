//! The plan of a call: which kernels run over which pieces, and how much memory they need. Pure:
//! made from the problem and the device's [`Profile`], without a device.

mod extent;
mod geometry;
mod loops;
mod params;
mod profile;

use std::ops::Range;

pub use geometry::Geometry;
pub(crate) use geometry::Walk;
pub use params::Params;
pub use profile::Profile;

pub(crate) use extent::Extent;

use crate::kernels::{Depth, Elements, Kernel, Slot, Spec, Target};
use crate::loss::{Divisor, Function, Upstream};
use crate::tensor::{ClassView, TargetType};
use crate::{EmptyMean, Error, Loss, Outputs, Problem, Reduction, loss::Shapes};

/// Words in front of the partials in the workspace; `HEADER_WORDS` in `totals.wgsl`.
const HEADER_WORDS: u64 = 4;
/// Words of one partial; `PARTIAL_WORDS` in `totals.wgsl`.
const PARTIAL_WORDS: u64 = 12;
/// Classes at most that a lane folds alone where neighbouring rows are neighbours in memory.
const LANE_CLASSES: usize = 1 << 14;
/// Rows of one piece at most, so that a row index past the end still fits a u32.
const PIECE_ROWS: u64 = 1 << 31;

/// How a call runs on a device: dispatches over pieces of the tensors.
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
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    problem: Problem,
    pieces: Vec<Range<usize>>,
    steps: Vec<Step>,
    partials: u32,
}

/// One dispatch.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) spec: Spec,
    /// The piece it works on; `None` for steps over the partials.
    pub(crate) piece: Option<usize>,
    pub(crate) groups: u32,
    pub(crate) walk: Walk,
    /// The piece's first partial; for a step over partials, their number.
    pub(crate) partials: u32,
}

impl Plan {
    /// Plans `loss` over tensors of `shapes` on a device of `profile`.
    ///
    /// # Errors
    /// What [`Loss::problem`] refuses, and [`Error::Limit`] where one step along the outer axis (one
    /// row, one image) does not fit a binding of the device.
    pub fn new(
        loss: &(impl Loss + ?Sized),
        shapes: &Shapes<'_>,
        outputs: Outputs,
        profile: &Profile,
    ) -> Result<Self, Error> {
        Self::of(loss.problem(shapes, outputs)?, profile)
    }

    /// Plans a problem.
    ///
    /// # Errors
    /// As [`Plan::new`], for the device's part.
    pub fn of(problem: Problem, profile: &Profile) -> Result<Self, Error> {
        let pieces = cut(&problem, profile)?;
        let mut plan = Self { problem, pieces, steps: Vec::new(), partials: 0 };
        plan.lay_out(profile)?;
        plan.check_bindings(profile)?;
        log::debug!(
            "{:?} over {:?}: {} pieces, {} dispatches, {} bytes of workspace",
            plan.problem.function,
            plan.problem.view,
            plan.pieces.len(),
            plan.steps.len(),
            plan.workspace_bytes()
        );
        Ok(plan)
    }

    /// What is computed.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The pieces, as ranges of the outer axis. More than one where a tensor does not fit one
    /// binding of the device.
    pub fn pieces(&self) -> &[Range<usize>] {
        &self.pieces
    }

    /// GPU memory needed beyond inputs and requested outputs, in bytes.
    pub fn workspace_bytes(&self) -> u64 {
        4 * (HEADER_WORDS + PARTIAL_WORDS * u64::from(self.partials))
    }

    /// Number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }

    /// How often the loops of one invocation turn at most, over all of its work.
    pub fn longest_loops(&self) -> u64 {
        let view = self.problem.view;
        let turns = |step: &Step| {
            let spec = Spec { wide: false, ..step.spec };
            let rows = step.piece.map_or(0, |piece| self.pieces[piece].len() * view.inner);
            let of_group = blocks(&spec, rows, view).div_ceil(step.groups);
            u64::from(of_group) * loops::turns_of_block(&spec, view.classes) as u64
        };
        self.steps.iter().map(turns).max().unwrap_or(0)
    }

    /// Every specialisation the plan runs, in order.
    pub fn specs(&self) -> impl Iterator<Item = Spec> + '_ {
        self.steps.iter().map(|step| step.spec)
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The dispatches: the divisor where the gradient waits for it, the losses, the sum.
    fn lay_out(&mut self, profile: &Profile) -> Result<(), Error> {
        let flat = Geometry::lane_per_row(profile)?;
        let grad = self.problem.outputs.grad;
        let finish = self.finish(flat);
        if grad && self.problem.divisor == Divisor::LabelWeights {
            let weighed = self.over_pieces(self.labelled(Kernel::Weigh, flat), profile)?;
            self.over_partials(Spec { divisor_only: true, ..finish }, weighed);
        }
        let forward = match self.problem.function {
            Function::CrossEntropy | Function::Softmax => self.softmax(profile)?,
            Function::Nll => Spec {
                row_loss: self.problem.reduction == Reduction::None,
                ..self.labelled(Kernel::Gather, flat)
            },
        };
        let partials = self.over_pieces(forward, profile)?;
        self.over_partials(finish, partials);
        if self.problem.function == Function::Nll && grad {
            let backward = self.with_grad(self.labelled(Kernel::GatherGrad, flat));
            self.over_pieces(backward, profile)?;
        }
        Ok(())
    }

    /// Adds a step per piece; returns how many partials they write.
    fn over_pieces(&mut self, spec: Spec, profile: &Profile) -> Result<u32, Error> {
        let view = self.problem.view;
        let mut partials = 0;
        for (index, piece) in self.pieces.iter().enumerate() {
            let rows = piece.len() * view.inner;
            let fewest = loops::fewest_groups(profile, &spec, rows, view)?;
            let groups = Geometry::groups(profile, blocks(&spec, rows, view), fewest);
            let walk = Walk::on(profile);
            self.steps.push(Step { spec, piece: Some(index), groups, walk, partials });
            partials += groups;
        }
        self.partials = self.partials.max(partials);
        Ok(partials)
    }

    /// Adds a step that sums `partials`.
    fn over_partials(&mut self, spec: Spec, partials: u32) {
        self.steps.push(Step { spec, piece: None, groups: 1, walk: Walk::Together, partials });
    }

    /// A kernel that reads labels and class weights.
    fn labelled(&self, kernel: Kernel, geometry: Geometry) -> Spec {
        let problem = &self.problem;
        let target = match problem.target {
            None => Target::None,
            Some(TargetType::Labels(label_type)) => Target::Labels(label_type),
            Some(TargetType::Probabilities) => Target::Probabilities,
        };
        Spec { target, weight: problem.weighted, ..Spec::new(kernel, geometry) }
    }

    fn with_grad(&self, spec: Spec) -> Spec {
        Spec {
            grad: true,
            upstream: self.problem.upstream,
            label_weights: self.problem.divisor == Divisor::LabelWeights,
            ..spec
        }
    }

    /// The kernel that folds logits: rows or columns.
    fn softmax(&self, profile: &Profile) -> Result<Spec, Error> {
        let problem = &self.problem;
        let view = problem.view;
        // A lane cannot fold a large vocabulary alone: its row is shared, wherever its classes are.
        let strided = view.inner > 1 && view.classes > LANE_CLASSES;
        // A load of four must stay within a row, or within the rows at one class.
        let contiguous = if view.inner == 1 { view.classes } else { view.inner };
        let wide = contiguous.is_multiple_of(4) && !strided;
        let (kernel, geometry, packs) = if view.inner == 1 || strided {
            let packs = if wide { view.classes / 4 } else { view.classes };
            let geometry = Geometry::rows(profile, packs)?;
            (Kernel::Rows, geometry, packs.div_ceil(geometry.lanes as usize))
        } else {
            (Kernel::Columns, Geometry::lane_per_row(profile)?, view.classes)
        };
        let outputs = problem.outputs;
        let probabilities = problem.target == Some(TargetType::Probabilities);
        let spec = Spec {
            wide,
            strided,
            depth: Depth::of(packs),
            spread: probabilities || problem.label_smoothing > 0.0,
            row_loss: problem.reduction == Reduction::None,
            elements: match (outputs.log_probs, outputs.probs) {
                (true, _) => Some(Elements::LogProbs),
                (_, true) => Some(Elements::Probs),
                _ => None,
            },
            ..self.labelled(kernel, geometry)
        };
        Ok(if outputs.grad { self.with_grad(spec) } else { spec })
    }

    fn finish(&self, geometry: Geometry) -> Spec {
        let labels = self.problem.label_type().is_some();
        Spec {
            weight: self.problem.weighted && labels,
            label_weights: self.problem.divisor == Divisor::LabelWeights,
            ..Spec::new(Kernel::Finish, geometry)
        }
    }

    /// The parameters of a step run by `spec`, the variant of its kernel that the buffers allow.
    /// Origins are the binding's business.
    pub(crate) fn params(&self, step: &Step, spec: &Spec) -> Params {
        let problem = &self.problem;
        let view = problem.view;
        let mut params = Params {
            classes: view.classes as u32,
            inner: view.inner as u32,
            ignore_low: problem.ignore_index as u32,
            ignore_high: (problem.ignore_index >> 32) as u32,
            smoothing: problem.label_smoothing,
            smoothing_share: (f64::from(problem.label_smoothing) / view.classes as f64) as f32,
            divisor: match problem.divisor {
                Divisor::Known(divisor) => divisor as f32,
                Divisor::LabelWeights => 0.0,
            },
            empty_mean: match problem.empty_mean {
                EmptyMean::Nan => f32::NAN.to_bits(),
                EmptyMean::Zero => 0,
            },
            ..Params::default()
        };
        match step.piece {
            Some(piece) => {
                let outer = &self.pieces[piece];
                let rows = outer.len() * view.inner;
                params.rows = rows as u32;
                params.turns = blocks(spec, rows, view).div_ceil(step.groups);
                (params.group_step, params.turn_step) = match step.walk {
                    Walk::Together => (1, step.groups),
                    Walk::Apart => (params.turns, 1),
                };
                params.row_base = (outer.start * view.inner) as u32;
                params.partial_base = step.partials;
            }
            None => params.partials = step.partials,
        }
        params
    }

    /// Refuses a plan with more storage bindings than the device allows a shader.
    fn check_bindings(&self, profile: &Profile) -> Result<(), Error> {
        let storage = |spec: Spec| spec.slots().len() as u64 - 1;
        let needed = self.specs().map(storage).max().unwrap_or(0);
        let allowed = u64::from(profile.limits.max_storage_buffers_per_shader_stage);
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

/// Blocks of work of a kernel over `rows` rows: what a group does between two steps of its walk.
fn blocks(spec: &Spec, rows: usize, view: ClassView) -> u32 {
    let group = spec.geometry.workgroup as usize;
    let pack = if spec.wide { 4 } else { 1 };
    let (items, per_block) = match spec.kernel {
        Kernel::Rows => (rows, spec.geometry.rows_per_group() as usize),
        Kernel::Columns => (rows, group * pack),
        Kernel::GatherGrad => (rows * view.classes, group),
        Kernel::Gather | Kernel::Weigh | Kernel::Finish => (rows, group),
    };
    items.div_ceil(per_block) as u32
}

/// Cuts the outer axis into pieces whose tensors each fit a binding.
fn cut(problem: &Problem, profile: &Profile) -> Result<Vec<Range<usize>>, Error> {
    let view = problem.view;
    let rows = view.rows() as u64;
    if rows > u64::from(u32::MAX - 1) {
        return Err(Error::Limit {
            what: "the number of rows",
            limit: "range of a u32 row index",
            needed: rows,
            allowed: u64::from(u32::MAX - 1),
        });
    }
    if rows == 0 {
        return Ok(Vec::new());
    }
    // A piece may start that much behind the aligned offset of its binding.
    let slack = u64::from(profile.limits.min_storage_buffer_offset_alignment);
    let limit = profile.limits.max_storage_buffer_binding_size;
    let allowed = limit.saturating_sub(slack) / 16 * 16;
    let too_large = |what, needed| Error::Limit {
        what,
        limit: "max_storage_buffer_binding_size",
        needed,
        allowed: limit,
    };
    let mut step = PIECE_ROWS / (view.inner as u64).max(1);
    for slot in bound_slots(problem) {
        let extent = Extent::of(slot, problem);
        match extent.outer_bytes() {
            Some(0) => {}
            Some(bytes) => step = step.min(allowed / bytes),
            None if extent.bytes() > allowed => {
                return Err(too_large(slot.name(), extent.bytes()));
            }
            None => {}
        }
        if step == 0 {
            return Err(too_large(slot.name(), extent.outer_bytes().unwrap_or(0)));
        }
    }
    let outer = view.outer;
    let starts = (0..outer).step_by(step as usize);
    Ok(starts.map(|start| start..outer.min(start + step as usize)).collect())
}

/// The slots that a problem's tensors fill.
pub(crate) fn bound_slots(problem: &Problem) -> Vec<Slot> {
    [
        (true, Slot::Logits),
        (problem.target.is_some(), Slot::Target),
        (problem.weighted, Slot::Weight),
        (problem.outputs.grad && problem.upstream != Upstream::Ones, Slot::Upstream),
        (problem.reduction == Reduction::None, Slot::RowLoss),
        (problem.outputs.grad, Slot::Grad),
        (problem.outputs.log_probs || problem.outputs.probs, Slot::Elements),
    ]
    .into_iter()
    .filter_map(|(on, slot)| on.then_some(slot))
    .collect()
}
