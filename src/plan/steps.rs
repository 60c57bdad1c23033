//! The dispatches of a plan: which kernels, in which order, in how many groups.

use std::ops::Range;

use super::alignment::Alignment;
use super::kernels::folding::Folding;
use super::kernels::{columns, rows};
use super::piece::Piece;
use super::step::Step;
use super::workspace::{words_of_row, words_of_state};
use super::{Geometry, Plan, loops};
use crate::kernels::{
    Elements, Extras, Form, Kernel, Layout, Part, RowLoads, Spec, Target, is_half,
};
use crate::loss::{Divisor, Function, Upstream};
use crate::tensor::{ClassView, TargetType};
use crate::words::CLASS_WORDS;
use crate::{ElementType, Error, Reduction};

/// Words that a lane sets to zero.
const CLEARED_BY_LANE: u32 = 64;
/// Lanes that merge the parts of a row.
const LANES_OF_MERGE: usize = 8;

impl Plan {
    /// The dispatches: the divisor where the gradient waits for it, the losses, the sum.
    pub(super) fn lay_out(&mut self) -> Result<(), Error> {
        let flat = Geometry::lane_per_row(&self.profile)?;
        let grad = self.problem.outputs.grad;
        let finish = self.finish(flat);
        if self.problem.pointwise.is_some() {
            return self.lay_out_elements(flat);
        }
        if self.problem.outputs.class_losses {
            self.clear_classes(flat)?;
        }
        if grad && self.problem.divisor == Divisor::RowWeights {
            let weighed = self.over_pieces(self.weigh(flat))?;
            let extras = Extras::default();
            self.over_partials(Spec { divisor_only: true, extras, ..finish }, weighed)?;
        }
        let partials = match self.problem.function {
            Function::CrossEntropy | Function::Softmax | Function::Entropy => self.softmax(flat)?,
            Function::Nll => self.over_pieces(Spec {
                row_loss: self.problem.reduction == Reduction::None,
                input: self.problem.input_type,
                extras: self.extras(),
                ..self.labelled(Kernel::Gather, flat)
            })?,
            _ => 0,
        };
        self.over_partials(finish, partials)?;
        if self.problem.function == Function::Nll && grad {
            let spec = self.with_grad(self.labelled(Kernel::GatherGrad, flat));
            for piece in 0..self.pieces.len() {
                let piece = Some(piece);
                self.add_step(Step { spec, piece, groups: u32::MAX, partials: 0, parts: 1 })?;
            }
        }
        Ok(())
    }

    /// Halves workgroups until the device has the memory of the heaviest kernel there may be.
    pub(super) fn fit_workgroups(&mut self) -> Result<(), Error> {
        let allowed = u64::from(self.profile.limits.max_compute_workgroup_storage_size);
        loop {
            let flat = Geometry::lane_per_row(&self.profile)?;
            let needed = self.heaviest(flat).workgroup_bytes();
            if needed <= allowed {
                return Ok(());
            }
            if flat.workgroup == 1 {
                return Err(Error::Limit {
                    what: "a workgroup of one lane",
                    limit: "max_compute_workgroup_storage_size",
                    needed,
                    allowed,
                });
            }
            self.profile.tuning.workgroup = flat.workgroup / 2;
        }
    }

    /// The kernel that has as much workgroup memory as any of this problem's in workgroups of that size: all lanes
    /// share a row, keep it, and merge without subgroups.
    fn heaviest(&self, flat: Geometry) -> Spec {
        match self.problem.function {
            Function::CrossEntropy | Function::Softmax | Function::Entropy => {
                let shared = Geometry { lanes: flat.workgroup, ..flat };
                let form = Form::Kept { loads: 1, full: 1 };
                let layout = Layout { form, ..Layout::plain(shared) };
                Spec { layout, ..self.softmax_spec(flat) }
            }
            _ => self.finish(flat),
        }
    }

    /// Adds the step that sets the sums of classes to zero.
    fn clear_classes(&mut self, geometry: Geometry) -> Result<(), Error> {
        // Plans of more classes than that are refused: no binding holds their sums.
        let words = u64::from(CLASS_WORDS).saturating_mul(self.problem.view.classes as u64);
        let extras = Extras { class_losses: true, ..Extras::default() };
        self.clear(Spec { extras, ..Spec::new(Kernel::Clear, geometry) }, words)
    }

    /// Adds a step that sets a tensor's elements to zero.
    pub(super) fn clear(&mut self, spec: Spec, elements: u64) -> Result<(), Error> {
        let elements = u32::try_from(elements).unwrap_or(u32::MAX);
        let groups = elements.div_ceil(spec.layout.geometry.workgroup * CLEARED_BY_LANE);
        let most = self.profile.limits.max_compute_workgroups_per_dimension;
        let step =
            Step { spec, piece: None, groups: groups.clamp(1, most), partials: elements, parts: 1 };
        loops::check(self, "zeros", loops::turns_of_clear(&step))?;
        self.steps.push(step);
        Ok(())
    }

    /// Adds a step per piece; returns how many partials they write.
    fn over_pieces(&mut self, spec: Spec) -> Result<u32, Error> {
        let groups = self.groups_of(self.pieces.len());
        let mut partials = 0;
        for piece in 0..self.pieces.len() {
            let step = Step { spec, piece: Some(piece), groups, partials, parts: 1 };
            partials = more_partials(partials, self.add_step(step)?)?;
        }
        self.partials = self.partials.max(partials);
        Ok(partials)
    }

    /// Adds the steps that fold logits; returns how many partials they write.
    fn softmax(&mut self, flat: Geometry) -> Result<u32, Error> {
        self.splits = !self.has_bindings(self.softmax_spec(flat));
        if let (true, false) = (self.profile.batch_invariant, self.pieces.is_empty()) {
            let folding = self.folding(0, Alignment::BEST)?;
            self.fixed_part = folding.fixed_part(self.problem.view.classes, &self.profile);
        }
        // Pieces with the same rows are boxes of those rows' classes.
        let of_rows: Vec<usize> =
            self.pieces.chunk_by(Piece::shares_rows).map(<[Piece]>::len).collect();
        let groups = self.groups_of(of_rows.len());
        let (mut partials, mut first) = (0, 0);
        for pieces in of_rows {
            let written = self.softmax_of_rows(first..first + pieces, groups, partials, flat)?;
            partials = more_partials(partials, written)?;
            first += pieces;
        }
        self.partials = self.partials.max(partials);
        Ok(partials)
    }

    /// Whether the device allows a kernel that many storage bindings.
    pub(super) fn has_bindings(&self, spec: Spec) -> bool {
        spec.storage_bindings()
            <= u64::from(self.profile.limits.max_storage_buffers_per_shader_stage)
    }

    /// Adds the steps for the rows of some pieces, which all have the same; returns how many partials
    /// they write.
    fn softmax_of_rows(
        &mut self,
        pieces: Range<usize>,
        groups: u32,
        partials: u32,
        flat: Geometry,
    ) -> Result<u32, Error> {
        let whole = self.softmax_spec(flat);
        let laid_out = |plan: &Self, spec, piece| plan.laid_out(spec, piece, Alignment::BEST);
        let first = pieces.start;
        let rows = self.rows_of(first);
        let parts = self.parts_of(first, first)?;
        let step =
            |spec, piece, groups, parts| Step { spec, piece: Some(piece), groups, partials, parts };
        if parts == 1 && !self.cuts_rows() && !self.splits {
            let spec = laid_out(self, whole, first)?;
            return self.add_step(step(spec, first, groups, parts));
        }
        // Fold, merge, write. Other rows' steps follow, so their states share a place.
        let marks = self.cuts_rows() && self.extras().counts_before();
        let in_all = self.parts_in_all(parts);
        let words = words_of_row(&self.problem, in_all.into(), self.cuts_rows());
        self.state_words = self.state_words.max(words * rows as u64);
        for piece in pieces.clone().filter(|_| marks) {
            let mark = self.labelled(Kernel::Mark, flat);
            // The states have the same places as for the kernels behind it.
            let extras = self.extras().without_records();
            let mark = Spec { input: self.problem.input_type, extras, ..mark };
            self.add_step(step(mark, piece, u32::MAX, parts))?;
        }
        for piece in pieces.clone() {
            let parts = self.parts_of(piece, first)?;
            let fold = laid_out(self, self.fold(whole), piece)?;
            self.add_step(step(fold, piece, u32::MAX, parts))?;
        }
        let merge = self.merge(whole, first, in_all)?;
        let written = self.add_step(step(merge, first, groups, in_all))?;
        if whole.writes() {
            for piece in pieces {
                let parts = self.parts_of(piece, first)?;
                let write = laid_out(self, self.write(whole), piece)?;
                self.add_step(step(write, piece, u32::MAX, parts))?;
            }
        }
        Ok(written)
    }

    /// In how many parts a piece's rows are folded. Those of the first of the pieces with the same rows are
    /// enough for all: none is larger.
    fn parts_of(&self, piece: usize, first: usize) -> Result<u32, Error> {
        if self.profile.batch_invariant {
            let classes = self.pieces[piece].classes.len();
            return Ok(self.fixed_part.map_or(1, |part| classes.div_ceil(part)).max(1) as u32);
        }
        let (view, of_rows) = (self.view_of(first), self.rows_of(first));
        let state_words = words_of_state(&self.problem);
        let Folding::Rows(layout) = self.folding(first, Alignment::BEST)? else { return Ok(1) };
        Ok(rows::parts(&layout, view, of_rows, &self.profile, state_words) as u32)
    }

    /// How many parts have states: `parts`, which the pieces of a row take in turns; or, where parts are fixed,
    /// those of the whole row.
    pub(super) fn parts_in_all(&self, parts: u32) -> u32 {
        match self.fixed_part {
            Some(part) => self.problem.view.classes.div_ceil(part) as u32,
            None => parts,
        }
    }

    /// Fixed parts of a piece's rows in front of the piece.
    pub(super) fn parts_before(&self, piece: usize) -> u32 {
        self.fixed_part.map_or(0, |part| self.pieces[piece].classes.start / part) as u32
    }

    /// Loads in each of `parts` parts of a piece's rows.
    pub(super) fn part_loads(&self, spec: &Spec, piece: usize, parts: u32) -> usize {
        let load = spec.layout.load.elements();
        // One more for rows that start inside a load, but where they are folded by class: fixed parts begin at the
        // same class of every row.
        let by_class = spec.layout.by_class && spec.part == Part::Fold;
        let more = usize::from(spec.layout.row_loads == RowLoads::Ragged && !by_class);
        let loads = self.pieces[piece].classes.len().div_ceil(load) + more;
        let even = loads.div_ceil(parts as usize);
        self.fixed_part.map_or(even, |part| even.max(part / load))
    }

    /// Groups at most of each of so many steps that leave partials behind: 64 bytes for each group.
    /// Partials are memory that nobody asked for: 11 bytes for each 1,000 logits, and 64 KiB. One group
    /// sums them all.
    pub(super) fn groups_of(&self, steps: usize) -> u32 {
        let most = if self.profile.is_software() { 1 << 17 } else { 1 << 20 };
        let partials = (1024 + self.problem.view.elements() / 6000).min(most);
        (partials / steps.max(1)).clamp(1, u32::MAX as usize) as u32
    }

    /// The states of parts of rows, of which `whole` does all.
    fn fold(&self, whole: Spec) -> Spec {
        Spec {
            part: Part::Fold,
            grad: false,
            elements: None,
            row_loss: false,
            upstream: Upstream::Ones,
            sums_weights: false,
            output: ElementType::F32,
            apart: self.profile.batch_invariant && self.cuts_rows(),
            extras: whole.extras.without_records(),
            ..whole
        }
    }

    /// The states of rows from those of so many parts.
    fn merge(&self, whole: Spec, piece: usize, parts: u32) -> Result<Spec, Error> {
        let lanes = LANES_OF_MERGE.min(parts as usize);
        let (_, Layout { form, .. }) = self.folding(piece, Alignment::BEST)?.kernel();
        let plain = Layout::plain(Geometry::rows(&self.profile, lanes, 1)?);
        Ok(Spec {
            part: Part::Merge,
            grad: false,
            elements: None,
            upstream: Upstream::Ones,
            sums_weights: false,
            input: ElementType::F32,
            output: ElementType::F32,
            target: match whole.target {
                Target::Probabilities(_) | Target::Upstream(_) => Target::None,
                target => target,
            },
            layout: Layout { form, ..plain },
            ..whole
        })
    }

    /// Gradient and distribution of parts of rows.
    fn write(&self, whole: Spec) -> Spec {
        let extras = whole.extras.without_records();
        Spec { part: Part::Write, row_loss: false, extras, ..whole }
    }

    /// Adds a step over one piece, of `groups` groups at most; returns how many it has.
    pub(super) fn add_step(&mut self, mut step: Step) -> Result<u32, Error> {
        let Some(piece) = step.piece else { return Ok(0) };
        let fewest = loops::fewest_groups(self, &self.narrowest(&step), piece, step.parts)?;
        let blocks = self.blocks(&step.spec, piece, step.parts);
        step.groups = Geometry::groups(&self.profile, blocks, fewest, step.groups);
        let groups = step.groups;
        self.steps.push(step);
        Ok(groups)
    }

    /// The variant of a step's kernel for tensors that lie as `alignment` says.
    pub(crate) fn variant(&self, step: &Step, alignment: Alignment) -> Spec {
        let spec = step.spec;
        let Some(piece) = step.piece else { return spec };
        if spec.is_pointwise() {
            return self.element_variant(step, alignment);
        }
        if !spec.is_softmax() || spec.part == Part::Merge {
            return spec;
        }
        // The layout exists: the plan was made with the same profile.
        self.laid_out(spec, piece, alignment).unwrap_or(spec)
    }

    /// A kernel that folds a piece's logits, or writes what follows from them, laid out.
    fn laid_out(&self, spec: Spec, piece: usize, alignment: Alignment) -> Result<Spec, Error> {
        let (kernel, layout) = self.folding(piece, alignment)?.kernel();
        let layout = if spec.part == Part::Whole { layout } else { layout.unkept() };
        let spec = Spec { kernel, layout, ..spec };
        Ok(match kernel {
            Kernel::Columns => columns::packed(spec, alignment),
            _ => rows::packed(spec, self.rows_of(piece), self.problem.view.classes, alignment),
        })
    }

    pub(super) fn narrowest(&self, step: &Step) -> Spec {
        self.variant(step, Alignment::WORST)
    }

    pub(super) fn rows_of(&self, piece: usize) -> usize {
        match self.problem.pointwise {
            Some(_) => self.sums_of(piece).rows(),
            None => self.pieces[piece].rows(),
        }
    }

    /// The input as it looks from a piece: `inner` is how far its classes are apart.
    pub(super) fn view_of(&self, piece: usize) -> ClassView {
        if self.problem.pointwise.is_some() {
            return self.sums_of(piece);
        }
        let Piece { outer, classes, .. } = &self.pieces[piece];
        ClassView { outer: outer.len(), classes: classes.len(), ..self.problem.view }
    }

    /// Whether a piece has a part of its rows' classes: then all have.
    pub(super) fn cuts_rows(&self) -> bool {
        self.pieces.first().is_some_and(|piece| piece.is_inside(self.problem.view))
    }

    /// How a piece's logits are folded.
    fn folding(&self, piece: usize, alignment: Alignment) -> Result<Folding, Error> {
        let (view, rows) = (self.view_of(piece), self.rows_of(piece));
        let (problem, profile) = (&self.problem, &self.profile);
        let input = problem.input_type;
        match self.cuts_rows() || self.splits {
            parts if profile.batch_invariant => {
                Folding::fixed(problem, rows, profile, alignment, parts)
            }
            true => Folding::of_box(view, rows, input, profile, alignment),
            false => Folding::of(view, rows, input, profile, alignment),
        }
    }

    /// Adds a step that sums `partials`.
    pub(super) fn over_partials(&mut self, spec: Spec, partials: u32) -> Result<(), Error> {
        loops::check_partials(self, &spec, partials)?;
        self.steps.push(Step { spec, piece: None, groups: 1, partials, parts: 1 });
        Ok(())
    }

    /// What is wanted beside.
    pub(super) fn extras(&self) -> Extras {
        Extras::of(&self.problem)
    }

    /// The kernel that sums the rows' weights.
    fn weigh(&self, geometry: Geometry) -> Spec {
        let spec = self.labelled(Kernel::Weigh, geometry);
        match spec.target {
            Target::Labels(_) => spec,
            _ => Spec { target: Target::None, weight: None, ..spec },
        }
    }

    /// A kernel that reads labels and weights.
    fn labelled(&self, kernel: Kernel, geometry: Geometry) -> Spec {
        let problem = &self.problem;
        let target = match problem.target {
            None => match problem.upstream {
                Upstream::PerElement(element_type) => Target::Upstream(element_type),
                _ => Target::None,
            },
            Some(TargetType::Labels(label_type)) => Target::Labels(label_type),
            Some(TargetType::Probabilities(element_type)) => Target::Probabilities(element_type),
            Some(TargetType::Values(_)) => Target::None,
        };
        Spec {
            target,
            weight: problem.weight_type,
            native_f16: self.profile.f16,
            cut: self.cuts_rows(),
            extras: self.extras().of_rows(),
            ..Spec::new(kernel, geometry)
        }
    }

    fn with_grad(&self, spec: Spec) -> Spec {
        Spec {
            grad: true,
            output: self.problem.output_type,
            upstream: self.problem.upstream,
            sums_weights: self.problem.divisor == Divisor::RowWeights,
            ..spec
        }
    }

    /// The kernel that folds logits, before it is laid out.
    fn softmax_spec(&self, flat: Geometry) -> Spec {
        let problem = &self.problem;
        let outputs = problem.outputs;
        let spec = Spec {
            spread: problem.spreads(),
            row_loss: problem.reduction == Reduction::None,
            elements: match (outputs.log_probs, outputs.probs) {
                (true, _) => Some(Elements::LogProbs),
                (_, true) => Some(Elements::Probs),
                _ => None,
            },
            every_row: outputs.of_every_row(),
            extras: self.extras(),
            input: problem.input_type,
            output: match outputs.log_probs || outputs.probs {
                true => problem.output_type,
                false => ElementType::F32,
            },
            ..self.labelled(Kernel::Rows, flat)
        };
        if outputs.grad { self.with_grad(spec) } else { spec }
    }

    pub(super) fn finish(&self, geometry: Geometry) -> Spec {
        Spec {
            weighs_rows: self.problem.weighs_rows(),
            extras: self.extras().counted(),
            sums_weights: self.problem.divisor == Divisor::RowWeights,
            ..Spec::new(Kernel::Finish, geometry)
        }
    }

    /// Blocks of work of a kernel over a piece: what a group does between two steps of its walk.
    pub(super) fn blocks(&self, spec: &Spec, piece: usize, parts: u32) -> u32 {
        // A piece has 2^32 - 1 elements at most, however narrow the host's `usize`.
        let rows = self.rows_of(piece) as u64;
        let teams = if spec.layout.pairs { rows.div_ceil(2) } else { rows };
        let view = self.view_of(piece);
        let group = u64::from(spec.layout.geometry.workgroup);
        let of_rows = u64::from(spec.layout.geometry.rows_per_group());
        let (items, per_block) = match (spec.kernel, spec.part) {
            (Kernel::Rows, Part::Fold | Part::Write) => (teams * u64::from(parts), of_rows),
            (Kernel::Rows, Part::Whole | Part::Merge) => (teams, of_rows),
            (Kernel::Columns, _) => (rows, group * spec.layout.load.elements() as u64),
            (Kernel::GatherGrad, _) if is_half(spec.output) => (words_of_halves(view, rows), group),
            (Kernel::GatherGrad, _) => (rows * view.classes as u64, group),
            (Kernel::Pointwise, _) => {
                let elements = self.elements_of(spec, piece) as u64;
                (elements / spec.layout.load.elements() as u64, group)
            }
            (Kernel::SumVariance, Part::Merge) => (rows, of_rows),
            (Kernel::SumVariance, _) => (rows * u64::from(parts), group),
            (Kernel::Gather | Kernel::Weigh | Kernel::Mark | Kernel::Finish | Kernel::Clear, _) => {
                (rows, group)
            }
        };
        items.div_ceil(per_block) as u32
    }
}

/// The number of partials with those of another step, which kernels count in u32.
pub(super) fn more_partials(partials: u32, written: u32) -> Result<u32, Error> {
    partials.checked_add(written).ok_or(Error::Limit {
        what: "the sum of all groups' partials",
        limit: "range of a u32 index",
        needed: u64::from(partials) + u64::from(written),
        allowed: u32::MAX.into(),
    })
}

/// Lanes that `gather_grad.wgsl` has for elements of which two share a word, in a piece of this view: one
/// for each word of each stretch of elements that follow each other, which may start inside a word.
fn words_of_halves(view: ClassView, rows: u64) -> u64 {
    let (classes, inner) = (view.classes as u64, view.inner as u64);
    let positions = rows.min(inner);
    match positions == inner {
        true => rows * classes / 2 + 1,
        false => classes * (positions / 2 + 1),
    }
}
