//! The plan of a call: which kernels run over which pieces, and how much memory they need. Pure:
//! made from the problem and the device's [`Profile`], without a device.

mod bounds;
mod extent;
mod geometry;
mod layout;
mod loops;
mod params;
mod profile;
mod tuning;

use std::fmt;
use std::ops::Range;

pub use geometry::Geometry;
pub use params::Params;
pub use profile::Profile;
pub use tuning::{Lanes, Tuning};

pub(crate) use extent::Extent;
pub(crate) use layout::Alignment;

use self::layout::{Layout, short_classes};
use crate::kernels::{Elements, Kernel, Load, Part, Slot, Spec, Target};
use crate::loss::{Divisor, Function, Upstream};
use crate::tensor::{ClassView, TargetType};
use crate::{EmptyMean, Error, Loss, Outputs, Problem, Reduction, loss::Shapes};

/// Words in front of the partials in the workspace; `HEADER_WORDS` in `totals.wgsl`.
const HEADER_WORDS: u64 = 4;
/// Words of one partial; `PARTIAL_WORDS` in `totals.wgsl`.
const PARTIAL_WORDS: u64 = 12;
/// Words of a state in the workspace; `STATE_WORDS` in `rows.wgsl`.
const STATE_WORDS: u64 = 6;
/// Lanes that merge the parts of a row.
const LANES_OF_MERGE: usize = 8;
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
/// println!("{plan}");
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    problem: Problem,
    pieces: Vec<Range<usize>>,
    steps: Vec<Step>,
    partials: u32,
    /// States in the workspace, behind the partials.
    states: u64,
    profile: Profile,
}

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
    /// As [`Plan::new`], for the device's part, and what [`Tuning::check`] refuses.
    pub fn of(problem: Problem, profile: &Profile) -> Result<Self, Error> {
        profile.tuning.check()?;
        let pieces = cut(&problem, profile)?;
        let profile = profile.clone();
        let steps = Vec::new();
        let mut plan = Self { problem, pieces, steps, partials: 0, states: 0, profile };
        plan.lay_out()?;
        plan.check_bindings()?;
        log::debug!("{:?} over {:?}:\n{plan}", plan.problem.function, plan.problem.view);
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
        4 * (self.states_start() + STATE_WORDS * self.states)
    }

    /// Where the states begin in the workspace, in words.
    fn states_start(&self) -> u64 {
        HEADER_WORDS + PARTIAL_WORDS * u64::from(self.partials)
    }

    /// Number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }

    /// How often the loops of one invocation turn at most, over all of its work.
    pub fn longest_loops(&self) -> u64 {
        let turns = |step: &Step| {
            let Some(piece) = step.piece else {
                return loops::turns_over_partials(&step.spec, step.partials) as u64;
            };
            let spec = self.narrowest(step);
            let of_group = self.blocks(&spec, piece, step.parts).div_ceil(step.groups);
            u64::from(of_group) * loops::turns_of_block(&spec, self.problem.view, step.parts) as u64
        };
        self.steps.iter().map(turns).max().unwrap_or(0)
    }

    /// Every specialisation the plan runs, in order.
    pub fn specs(&self) -> impl Iterator<Item = Spec> + '_ {
        self.steps.iter().map(|step| step.spec)
    }

    /// Every specialisation that the plan may run, however the tensors lie in their buffers.
    pub fn variants(&self) -> impl Iterator<Item = Spec> + '_ {
        let of_step =
            move |step| Alignment::all().map(move |alignment| self.variant(step, alignment));
        self.steps.iter().flat_map(of_step)
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

    /// The dispatches: the divisor where the gradient waits for it, the losses, the sum.
    fn lay_out(&mut self) -> Result<(), Error> {
        let flat = Geometry::lane_per_row(&self.profile)?;
        let grad = self.problem.outputs.grad;
        let finish = self.finish(flat);
        if grad && self.problem.divisor == Divisor::LabelWeights {
            let weighed = self.over_pieces(self.labelled(Kernel::Weigh, flat))?;
            self.over_partials(Spec { divisor_only: true, ..finish }, weighed)?;
        }
        let partials = match self.problem.function {
            Function::CrossEntropy | Function::Softmax => self.softmax(flat)?,
            Function::Nll => self.over_pieces(Spec {
                row_loss: self.problem.reduction == Reduction::None,
                ..self.labelled(Kernel::Gather, flat)
            })?,
        };
        self.over_partials(finish, partials)?;
        if self.problem.function == Function::Nll && grad {
            self.over_pieces(self.with_grad(self.labelled(Kernel::GatherGrad, flat)))?;
        }
        Ok(())
    }

    /// Adds a step per piece; returns how many partials they write.
    fn over_pieces(&mut self, spec: Spec) -> Result<u32, Error> {
        let mut partials = 0;
        for piece in 0..self.pieces.len() {
            partials += self.add_step(spec, piece, partials, 1)?;
        }
        self.partials = self.partials.max(partials);
        Ok(partials)
    }

    /// Adds the steps that fold logits; returns how many partials they write.
    fn softmax(&mut self, flat: Geometry) -> Result<u32, Error> {
        let mut partials = 0;
        let view = self.problem.view;
        for piece in 0..self.pieces.len() {
            let rows = self.rows_of(piece);
            let layout = Layout::of(view, rows, &self.profile, Alignment::BEST)?;
            let parts = layout.parts(view, rows, &self.profile);
            let spec = self.packs_labels(layout.apply(self.softmax_spec(flat)), Alignment::BEST);
            if parts == 1 {
                partials += self.add_step(spec, piece, partials, 1)?;
                continue;
            }
            // Fold, merge, write. Pieces follow each other, so their states share a place.
            self.states = self.states.max((parts as u64 + 1) * rows as u64);
            let parts = parts as u32;
            self.add_step(self.part_of(spec, Part::Fold)?, piece, partials, parts)?;
            let merge = self.part_of(spec, Part::Merge)?;
            partials += self.add_step(merge, piece, partials, parts)?;
            if spec.grad || spec.elements.is_some() {
                self.add_step(self.part_of(spec, Part::Write)?, piece, partials, parts)?;
            }
        }
        self.partials = self.partials.max(partials);
        Ok(partials)
    }

    /// The specialisation for a part of the work that `spec` does in whole.
    fn part_of(&self, spec: Spec, part: Part) -> Result<Spec, Error> {
        let spec = Spec { part, ..spec };
        Ok(match part {
            Part::Whole => spec,
            Part::Fold => Spec {
                grad: false,
                elements: None,
                row_loss: false,
                upstream: Upstream::Ones,
                label_weights: false,
                ..spec
            },
            Part::Merge => Spec {
                grad: false,
                elements: None,
                upstream: Upstream::Ones,
                label_weights: false,
                load: Load::One,
                strided: false,
                ragged: false,
                target: if spec.target == Target::Probabilities {
                    Target::None
                } else {
                    spec.target
                },
                geometry: Geometry::rows(&self.profile, LANES_OF_MERGE, 1)?,
                ..spec
            },
            Part::Write => Spec { row_loss: false, ..spec },
        })
    }

    /// Adds a step over one piece; returns how many groups it has.
    fn add_step(
        &mut self,
        spec: Spec,
        piece: usize,
        partials: u32,
        parts: u32,
    ) -> Result<u32, Error> {
        let mut step = Step { spec, piece: Some(piece), groups: 1, partials, parts };
        let narrowest = self.narrowest(&step);
        let fewest = loops::fewest_groups(self, &narrowest, piece, parts)?;
        step.groups =
            Geometry::groups(&self.profile, self.blocks(&spec, piece, parts), fewest).max(1);
        let groups = step.groups;
        self.steps.push(step);
        Ok(groups)
    }

    /// The variant of a step's kernel for tensors that lie as `alignment` says.
    pub(crate) fn variant(&self, step: &Step, alignment: Alignment) -> Spec {
        let spec = step.spec;
        let Some(piece) = step.piece else { return spec };
        if !spec.is_softmax() || spec.part == Part::Merge {
            return spec;
        }
        // The layout exists: the plan was made with the same profile.
        match Layout::of(self.problem.view, self.rows_of(piece), &self.profile, alignment) {
            Ok(layout) => self.packs_labels(layout.unkept(step.parts > 1).apply(spec), alignment),
            Err(_) => spec,
        }
    }

    fn packs_labels(&self, spec: Spec, alignment: Alignment) -> Spec {
        let vectors = spec.kernel == Kernel::Columns && spec.load > Load::One;
        let labels = self.problem.label_type().is_some();
        Spec { label_packs: vectors && labels && alignment.labels, ..spec }
    }

    fn narrowest(&self, step: &Step) -> Spec {
        self.variant(step, Alignment::WORST)
    }

    fn rows_of(&self, piece: usize) -> usize {
        self.pieces[piece].len() * self.problem.view.inner
    }

    /// Adds a step that sums `partials`.
    fn over_partials(&mut self, spec: Spec, partials: u32) -> Result<(), Error> {
        loops::check_partials(self, &spec, partials)?;
        self.steps.push(Step { spec, piece: None, groups: 1, partials, parts: 1 });
        Ok(())
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

    /// The kernel that folds logits, before it is laid out.
    fn softmax_spec(&self, flat: Geometry) -> Spec {
        let problem = &self.problem;
        let outputs = problem.outputs;
        let probabilities = problem.target == Some(TargetType::Probabilities);
        let spec = Spec {
            spread: probabilities || problem.label_smoothing > 0.0,
            row_loss: problem.reduction == Reduction::None,
            elements: match (outputs.log_probs, outputs.probs) {
                (true, _) => Some(Elements::LogProbs),
                (_, true) => Some(Elements::Probs),
                _ => None,
            },
            every_row: outputs.log_probs || outputs.probs,
            ..self.labelled(Kernel::Rows, flat)
        };
        if outputs.grad { self.with_grad(spec) } else { spec }
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
                params.rows = self.rows_of(piece) as u32;
                params.turns = self.blocks(spec, piece, step.parts).div_ceil(step.groups);
                (params.group_step, params.turn_step) = match self.profile.tuning.together {
                    true => (1, step.groups),
                    false => (params.turns, 1),
                };
                params.row_base = (self.pieces[piece].start * view.inner) as u32;
                params.partial_base = step.partials;
                params.parts = step.parts;
                // One more for rows that start inside a load.
                let loads = view.classes.div_ceil(spec.load.elements()) + usize::from(spec.ragged);
                params.part_loads = loads.div_ceil(step.parts as usize) as u32;
                params.states = self.states_start() as u32;
            }
            None => params.partials = step.partials,
        }
        params
    }

    /// Refuses a plan with more storage bindings than the device allows a shader.
    fn check_bindings(&self) -> Result<(), Error> {
        let storage = |spec: Spec| spec.slots().len() as u64 - 1;
        let needed = self.specs().map(storage).max().unwrap_or(0);
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

    /// Blocks of work of a kernel over a piece: what a group does between two steps of its walk.
    fn blocks(&self, spec: &Spec, piece: usize, parts: u32) -> u32 {
        let rows = self.rows_of(piece);
        let group = spec.geometry.workgroup as usize;
        let of_rows = spec.geometry.rows_per_group() as usize;
        let (items, per_block) = match (spec.kernel, spec.part) {
            (Kernel::Rows, Part::Fold | Part::Write) => (rows * parts as usize, of_rows),
            (Kernel::Rows, Part::Whole | Part::Merge) => (rows, of_rows),
            (Kernel::Columns, _) => (rows, group * spec.load.elements()),
            (Kernel::GatherGrad, _) => (rows * self.problem.view.classes, group),
            (Kernel::Gather | Kernel::Weigh | Kernel::Finish, _) => (rows, group),
        };
        items.div_ceil(per_block) as u32
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
    // A piece may start that much behind the aligned offset of its binding, and end within a load.
    let slack = offset_alignment(&profile.limits) + 16;
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
    Ok(pieces_of(view, step as usize, short_classes(&profile.tuning, profile)))
}

/// Rows that a lane reads together at most.
const TOGETHER: usize = 8;

/// The outer axis in steps of `step` at most. Short rows are read several at a time: those that are
/// left over make a piece of their own.
fn pieces_of(view: ClassView, step: usize, short_classes: usize) -> Vec<Range<usize>> {
    let outer = view.outer;
    let short = view.inner == 1 && view.classes <= short_classes && outer >= TOGETHER;
    let (step, body) = match short && step >= TOGETHER {
        true => (step / TOGETHER * TOGETHER, outer / TOGETHER * TOGETHER),
        false => (step, outer),
    };
    let starts = (0..body).step_by(step).chain((body < outer).then_some(body));
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for start in starts {
        let end = if start < body { body.min(start + step) } else { outer };
        pieces.push(start..end);
    }
    pieces
}

/// What the offsets of bindings are multiples of: what the device asks for, and the widest load.
pub(crate) fn offset_alignment(limits: &wgpu::Limits) -> u64 {
    u64::from(limits.min_storage_buffer_offset_alignment).max(32)
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
