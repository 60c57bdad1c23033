//! The dispatches of a plan: which kernels, in which order, in how many groups.

use super::layout::{Alignment, Layout};
use super::{Geometry, Plan, loops};
use crate::kernels::{Elements, Kernel, Load, Part, Spec, Target, is_half};
use crate::loss::{Divisor, Function, Upstream};
use crate::tensor::TargetType;
use crate::{ElementType, Error, Reduction};

/// Lanes that merge the parts of a row.
const LANES_OF_MERGE: usize = 8;

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
    /// The dispatches: the divisor where the gradient waits for it, the losses, the sum.
    pub(super) fn lay_out(&mut self) -> Result<(), Error> {
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
                input: self.problem.input_type,
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
            let layout =
                Layout::of(view, rows, self.problem.input_type, &self.profile, Alignment::BEST)?;
            let parts = layout.parts(view, rows, &self.profile);
            let spec = self.packed(layout.apply(self.softmax_spec(flat)), Alignment::BEST);
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
                output: ElementType::F32,
                pairs: false,
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
                pairs: false,
                longs: false,
                weight_packs: false,
                input: ElementType::F32,
                output: ElementType::F32,
                target: match spec.target {
                    Target::Probabilities(_) => Target::None,
                    target => target,
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
        let (view, input) = (self.problem.view, self.problem.input_type);
        match Layout::of(view, self.rows_of(piece), input, &self.profile, alignment) {
            Ok(layout) => self.packed(layout.unkept(step.parts > 1).apply(spec), alignment),
            Err(_) => spec,
        }
    }

    /// What else comes in loads of four: the labels of neighbouring rows, the weights of neighbouring
    /// classes.
    fn packed(&self, spec: Spec, alignment: Alignment) -> Spec {
        let wide = spec.load > Load::One;
        let labels = self.problem.label_type().is_some();
        let neighbours = spec.kernel == Kernel::Rows && !spec.ragged && spec.part != Part::Merge;
        Spec {
            label_packs: wide && spec.kernel == Kernel::Columns && labels && alignment.labels,
            weight_packs: wide
                && neighbours
                && spec.weight.is_some()
                && spec.spread
                && alignment.weights,
            ..spec
        }
    }

    pub(super) fn narrowest(&self, step: &Step) -> Spec {
        self.variant(step, Alignment::WORST)
    }

    pub(super) fn rows_of(&self, piece: usize) -> usize {
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
            Some(TargetType::Probabilities(element_type)) => Target::Probabilities(element_type),
        };
        Spec {
            target,
            weight: problem.weight_type,
            native_f16: self.profile.f16,
            ..Spec::new(kernel, geometry)
        }
    }

    fn with_grad(&self, spec: Spec) -> Spec {
        Spec {
            grad: true,
            output: self.problem.output_type,
            upstream: self.problem.upstream,
            label_weights: self.problem.divisor == Divisor::LabelWeights,
            ..spec
        }
    }

    /// The kernel that folds logits, before it is laid out.
    fn softmax_spec(&self, flat: Geometry) -> Spec {
        let problem = &self.problem;
        let outputs = problem.outputs;
        let probabilities = matches!(problem.target, Some(TargetType::Probabilities(_)));
        let spec = Spec {
            spread: probabilities || problem.label_smoothing > 0.0,
            row_loss: problem.reduction == Reduction::None,
            elements: match (outputs.log_probs, outputs.probs) {
                (true, _) => Some(Elements::LogProbs),
                (_, true) => Some(Elements::Probs),
                _ => None,
            },
            every_row: outputs.log_probs || outputs.probs,
            input: problem.input_type,
            output: match outputs.log_probs || outputs.probs {
                true => problem.output_type,
                false => ElementType::F32,
            },
            ..self.labelled(Kernel::Rows, flat)
        };
        if outputs.grad { self.with_grad(spec) } else { spec }
    }

    fn finish(&self, geometry: Geometry) -> Spec {
        let labels = self.problem.label_type().is_some();
        Spec {
            weight: self.problem.weight_type.filter(|_| labels),
            label_weights: self.problem.divisor == Divisor::LabelWeights,
            ..Spec::new(Kernel::Finish, geometry)
        }
    }

    /// Blocks of work of a kernel over a piece: what a group does between two steps of its walk.
    pub(super) fn blocks(&self, spec: &Spec, piece: usize, parts: u32) -> u32 {
        let rows = self.rows_of(piece);
        let teams = if spec.pairs { rows.div_ceil(2) } else { rows };
        let group = spec.geometry.workgroup as usize;
        let of_rows = spec.geometry.rows_per_group() as usize;
        let (items, per_block) = match (spec.kernel, spec.part) {
            (Kernel::Rows, Part::Fold | Part::Write) => (teams * parts as usize, of_rows),
            (Kernel::Rows, Part::Whole | Part::Merge) => (teams, of_rows),
            (Kernel::Columns, _) => (rows, group * spec.load.elements()),
            // The first element may be in the middle of a word.
            (Kernel::GatherGrad, _) if is_half(spec.output) => {
                (rows * self.problem.view.classes / 2 + 1, group)
            }
            (Kernel::GatherGrad, _) => (rows * self.problem.view.classes, group),
            (Kernel::Gather | Kernel::Weigh | Kernel::Finish, _) => (rows, group),
        };
        items.div_ceil(per_block) as u32
    }
}
