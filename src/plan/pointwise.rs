//! Plans for losses of single elements: flat runs of elements, read in loads and what is left over one by
//! one; and sums of the variance's gradient, where elements share a variance.

use super::alignment::Alignment;
use super::steps::more_partials;
use super::{Geometry, Plan, Step};
use crate::kernels::{Kernel, Layout, Load, OperandSpec, Part, PointwiseSpec, Reading, Spec};
use crate::loss::{Operand, Upstream, sum_view};
use crate::tensor::{Axes, ClassView, ElementType, Slot};
use crate::{Error, Reduction};

/// Elements below which they are all taken one by one: one kernel instead of two.
const FEW: usize = 64;
/// Elements of the widest load: what fills no such load is taken one by one.
const WIDEST: usize = 8;
/// Elements that a lane sums at most where a variance is shared by many.
const SERIAL: usize = 4096;
/// Parts that one lane sums.
const FEW_PARTS: u32 = 64;

impl Plan {
    /// The dispatches of a loss of single elements: sums over shared variances first, since the gradient
    /// may overwrite the input; then losses and gradients, in two steps where one would bind more than the
    /// device allows; the sum.
    pub(super) fn lay_out_elements(&mut self, flat: Geometry) -> Result<(), Error> {
        let Some(pointwise) = self.problem.pointwise else { return Ok(()) };
        let outputs = self.problem.outputs;
        let sums_var = outputs.var_grad && pointwise.sums_var();
        if self.clears_variance_grad() {
            self.clear_variance_grad(flat)?;
        } else if sums_var {
            self.sum_variance(flat)?;
        }
        let whole = PointwiseSpec {
            target_grad: outputs.target_grad.then_some(pointwise.target_grad),
            variance_grad: (outputs.var_grad && !sums_var).then_some(pointwise.var_grad),
            ..self.pointwise_spec()
        };
        let spec = Spec {
            grad: outputs.grad,
            row_loss: self.problem.reduction == Reduction::None,
            pointwise: Some(whole),
            ..self.element_spec(Kernel::Pointwise, flat)
        };
        let (loss, rest) = if self.has_bindings(spec) {
            (spec, None)
        } else {
            // The input's gradient comes last: it may be in the input's place.
            let none = PointwiseSpec { target_grad: None, variance_grad: None, ..whole };
            let grads = PointwiseSpec { target_grad: None, ..whole };
            let loss = PointwiseSpec { target_grad: whole.target_grad, ..none };
            (
                Spec { grad: false, pointwise: Some(loss), ..spec },
                Some(Spec { row_loss: false, part: Part::Write, pointwise: Some(grads), ..spec }),
            )
        };
        let partials = self.over_elements(loss)?;
        let finish = self.finish(flat);
        self.over_partials(finish, partials)?;
        if let Some(rest) = rest {
            self.over_elements(rest)?;
        }
        Ok(())
    }

    /// Whether variances are there, and a gradient of theirs is wanted, of an input that has no elements: sums over
    /// nothing.
    pub(super) fn clears_variance_grad(&self) -> bool {
        self.problem.outputs.var_grad && self.problem.view.elements() == 0
    }

    fn clear_variance_grad(&mut self, flat: Geometry) -> Result<(), Error> {
        let tensor = self.problem.tensor(Slot::VarianceGrad);
        let elements = tensor.map_or(0, |tensor| tensor.elements);
        if elements == 0 {
            return Ok(());
        }
        let variance_grad = self.problem.pointwise.map(|pointwise| pointwise.var_grad);
        let pointwise = PointwiseSpec { variance_grad, ..self.pointwise_spec() };
        let spec = Spec { pointwise: Some(pointwise), ..Spec::new(Kernel::Clear, flat) };
        self.clear(spec, elements)
    }

    /// Adds steps over every piece: elements in loads, and those that fill none. Returns how many partials
    /// they write.
    fn over_elements(&mut self, spec: Spec) -> Result<u32, Error> {
        let groups = self.groups_of(2 * self.pieces.len());
        let mut partials = 0;
        for piece in 0..self.pieces.len() {
            for tail in [false, true] {
                let pointwise = spec.pointwise.map(|pointwise| PointwiseSpec { tail, ..pointwise });
                let mut step = Step {
                    spec: Spec { pointwise, ..spec },
                    piece: Some(piece),
                    groups,
                    partials,
                    parts: 1,
                };
                if self.elements_of(&step.spec, piece) == 0 {
                    continue;
                }
                step.spec = self.element_variant(&step, Alignment::BEST);
                partials = more_partials(partials, self.add_step(step)?)?;
            }
        }
        if spec.part == Part::Whole {
            self.partials = self.partials.max(partials);
        }
        Ok(partials)
    }

    /// Adds the steps that sum the gradients of shared variances: over each piece, and once for all pieces
    /// with the same variances.
    fn sum_variance(&mut self, flat: Geometry) -> Result<(), Error> {
        let Some(var) = self.problem.pointwise.and_then(|pointwise| pointwise.var) else {
            return Ok(());
        };
        let variances = |plan: &Self, piece: usize| {
            let piece = &plan.pieces[piece];
            let view = plan.problem.view;
            let first = [piece.outer.start, piece.classes.start, piece.inner.start];
            (var.axes.place(&view, first), piece.outer.start)
        };
        let mut order: Vec<usize> = (0..self.pieces.len()).collect();
        order.sort_by_key(|&piece| variances(self, piece));
        let same = |a: &usize, b: &usize| variances(self, *a).0 == variances(self, *b).0;
        let groups: Vec<Vec<usize>> = order.chunk_by(same).map(<[usize]>::to_vec).collect();
        let fold = Spec {
            part: Part::Fold,
            upstream: self.problem.upstream,
            pointwise: Some(self.pointwise_spec()),
            ..self.element_spec(Kernel::SumVariance, flat)
        };
        for pieces in groups {
            let rows = self.rows_of(pieces[0]);
            let most = pieces.iter().map(|&piece| self.view_of(piece).classes).max().unwrap_or(0);
            let parts = self.parts_of_sum(flat, rows, most);
            self.state_words = self.state_words.max(rows as u64 * u64::from(parts));
            for (number, &piece) in pieces.iter().enumerate() {
                // Whether sums are there already is all that a fold asks of its partials.
                let mut step = Step {
                    spec: fold,
                    piece: Some(piece),
                    groups: u32::MAX,
                    partials: number as u32,
                    parts,
                };
                step.spec = self.element_variant(&step, Alignment::BEST);
                self.add_step(step)?;
            }
            let lanes = if parts <= FEW_PARTS { 1 } else { flat.workgroup };
            let pointwise = PointwiseSpec {
                variance_grad: self.problem.pointwise.map(|pointwise| pointwise.var_grad),
                ..self.pointwise_spec()
            };
            let merge = Spec {
                part: Part::Merge,
                pointwise: Some(pointwise),
                ..Spec::new(Kernel::SumVariance, Geometry { lanes, ..flat })
            };
            self.add_step(Step {
                spec: merge,
                piece: Some(pieces[0]),
                groups: u32::MAX,
                partials: 0,
                parts,
            })?;
        }
        Ok(())
    }

    /// In how many parts rows of `summed` elements are summed: enough to keep the device busy, and so many
    /// that no lane has too long a sum.
    fn parts_of_sum(&self, flat: Geometry, rows: usize, summed: usize) -> u32 {
        let busy = self.profile.tuning.fill as usize * flat.workgroup as usize;
        let parts = busy.div_ceil(rows.max(1)).min(summed.div_ceil(16));
        parts.max(summed.div_ceil(SERIAL)).max(1) as u32
    }

    /// A kernel that evaluates the formula.
    fn element_spec(&self, kernel: Kernel, geometry: Geometry) -> Spec {
        let outputs = self.problem.outputs;
        Spec {
            input: self.problem.input_type,
            output: self.problem.output_type,
            upstream: if outputs.any_grad() { self.problem.upstream } else { Upstream::Ones },
            native_f16: self.profile.f16,
            pointwise: Some(self.pointwise_spec()),
            ..Spec::new(kernel, geometry)
        }
    }

    /// The formula and its operands, before it is known how these lie.
    fn pointwise_spec(&self) -> PointwiseSpec {
        let pointwise = self.problem.pointwise.expect("a plan of single elements");
        let operand = |operand: Operand| OperandSpec {
            element_type: operand.element_type,
            reading: reading(
                operand.axes,
                Load::One,
                ClassView { outer: 1, classes: 1, inner: 1 },
                false,
            ),
        };
        PointwiseSpec {
            formula: pointwise.formula,
            target: operand(pointwise.target),
            weight: pointwise.weight.map(operand),
            pos_weight: pointwise.pos_weight.map(operand),
            variance: pointwise.var.map(operand),
            target_grad: None,
            variance_grad: None,
            tail: false,
        }
    }

    /// The variant of a step's kernel for tensors that lie as `alignment` says.
    pub(super) fn element_variant(&self, step: &Step, alignment: Alignment) -> Spec {
        let (spec, Some(mut pointwise)) = (step.spec, step.spec.pointwise) else {
            return step.spec;
        };
        let Some(piece) = step.piece else { return spec };
        if spec.kernel == Kernel::SumVariance && spec.part == Part::Merge {
            return spec;
        }
        let single = pointwise.tail || spec.kernel == Kernel::SumVariance;
        let load = if single { Load::One } else { alignment.load.min(self.widest_of_all()) };
        let extents = self.extents_of(piece);
        let problem = self.problem.pointwise.expect("a plan of single elements");
        let read = |spec: OperandSpec, operand: Operand| OperandSpec {
            reading: reading(operand.axes, load, extents, alignment.weights),
            ..spec
        };
        let both =
            |spec: Option<OperandSpec>, operand: Option<Operand>| Some(read(spec?, operand?));
        pointwise.target = read(pointwise.target, problem.target);
        pointwise.weight = both(pointwise.weight, problem.weight);
        pointwise.pos_weight = both(pointwise.pos_weight, problem.pos_weight);
        pointwise.variance = both(pointwise.variance, problem.var);
        let layout = Layout { load, longs: self.profile.has_longs(load), ..spec.layout };
        Spec { layout, pointwise: Some(pointwise), ..spec }
    }

    /// The widest load that every tensor allows: eight where one has two bytes for each element. Gradients that are
    /// summed are written one by one.
    fn widest_of_all(&self) -> Load {
        let sums_var = self.problem.pointwise.is_some_and(|pointwise| pointwise.sums_var());
        let mut loaded =
            self.problem.tensors().filter(|tensor| tensor.slot != Slot::VarianceGrad || !sums_var);
        let has_halves = loaded.any(|tensor| tensor.element_bytes == 2);
        self.profile.widest_load(if has_halves { ElementType::F16 } else { ElementType::F32 })
    }

    /// The extents of a piece of single elements along each axis.
    pub(super) fn extents_of(&self, piece: usize) -> ClassView {
        let piece = &self.pieces[piece];
        let (outer, classes, inner) = (piece.outer.len(), piece.classes.len(), piece.inner.len());
        ClassView { outer, classes, inner }
    }

    /// A piece seen from the variances that its elements share, or as single elements.
    pub(super) fn sums_of(&self, piece: usize) -> ClassView {
        let extents = self.extents_of(piece);
        match self.problem.pointwise.and_then(|pointwise| pointwise.var) {
            Some(var) => sum_view(var.axes, extents),
            None => ClassView { outer: extents.elements(), classes: 1, inner: 1 },
        }
    }

    /// Elements of a piece that a step takes: in loads, or one by one what is left over.
    pub(super) fn elements_of(&self, spec: &Spec, piece: usize) -> usize {
        let elements = self.extents_of(piece).elements();
        let in_loads = if elements < FEW { 0 } else { elements / WIDEST * WIDEST };
        match spec.pointwise.is_some_and(|pointwise| pointwise.tail) {
            true => elements - in_loads,
            false => in_loads,
        }
    }

    /// The first element of a piece that a step takes.
    pub(super) fn first_of(&self, spec: &Spec, piece: usize) -> usize {
        match spec.pointwise.is_some_and(|pointwise| pointwise.tail) {
            true => self.extents_of(piece).elements() - self.elements_of(spec, piece),
            false => 0,
        }
    }
}

/// How loads of the input find an operand's elements. `aligned` says that loads may lie along it.
fn reading(axes: Axes, load: Load, extents: ClassView, aligned: bool) -> Reading {
    let ClassView { classes, inner, .. } = extents;
    let (alike, along) = match axes {
        Axes::Elements => return Reading::Whole,
        Axes::One => return Reading::Once,
        Axes::Outer => (classes * inner, 1),
        Axes::OuterClasses | Axes::Classes => (inner, 1),
        Axes::ClassesInner => (1, classes * inner),
        Axes::Inner | Axes::Rows => (1, inner),
    };
    let load = load.elements();
    if load > 1 && alike.is_multiple_of(load) {
        Reading::Shared(axes)
    } else if load > 1 && aligned && along.is_multiple_of(load) {
        Reading::Along(axes)
    } else {
        Reading::Each(axes)
    }
}
