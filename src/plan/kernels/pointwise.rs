//! The kernel `pointwise`: losses of single elements. They are read in loads, and the remaining ones one by one.

use crate::kernels::{
    Kernel, Layout, OperandSpec, Phase, PointwiseSpec, Reading, Spec, VectorWidth,
};
use crate::loss::{Operand, Upstream};
use crate::plan::alignment::Alignment;
use crate::plan::work::Work;
use crate::tensor::{Axes, ClassView, ElementType, TensorSlot};
use crate::{Problem, Reduction};

/// Fewer elements than this are all read one by one: by one kernel instead of two.
const FEW: usize = 64;
/// Elements of the widest load: elements that do not fill one are read one by one.
const WIDEST: usize = 8;

/// Returns the kernel for losses and gradients; or two, the losses' first, if one would bind more than the device
/// allows.
pub(in crate::plan) fn specs(work: &Work) -> (Spec, Option<Spec>) {
    let Problem { outputs, pointwise, .. } = &work.problem;
    let pointwise = pointwise.expect("a plan of single elements");
    let variance_grad = outputs.var_grad && !pointwise.sums_var();
    let all = PointwiseSpec {
        target_grad: outputs.target_grad.then_some(pointwise.target_grad),
        variance_grad: variance_grad.then_some(pointwise.var_grad),
        ..operands(work)
    };
    let whole = Spec {
        grad: outputs.grad,
        row_loss: work.problem.reduction == Reduction::None,
        pointwise: Some(all),
        ..evaluating(work, Kernel::Pointwise)
    };
    if work.has_bindings(&whole) {
        return (whole, None);
    }
    // The input's gradient comes last: it may overwrite the input.
    let losses = PointwiseSpec { variance_grad: None, ..all };
    let grads = PointwiseSpec { target_grad: None, ..all };
    (
        Spec { grad: false, pointwise: Some(losses), ..whole },
        Some(Spec { row_loss: false, phase: Phase::Write, pointwise: Some(grads), ..whole }),
    )
}

/// Returns the kernel laid out for a piece's elements that come in loads, or for those that fill none (`tail`); `None`
/// if there are none of these.
pub(in crate::plan) fn of_piece(work: &Work, spec: Spec, piece: usize, tail: bool) -> Option<Spec> {
    let pointwise = spec.pointwise.map(|pointwise| PointwiseSpec { tail, ..pointwise });
    let spec = Spec { pointwise, ..spec };
    (elements(work, &spec, piece) > 0).then(|| laid_out(work, spec, piece, Alignment::BEST))
}

/// Returns a kernel that evaluates the formula.
pub(super) fn evaluating(work: &Work, kernel: Kernel) -> Spec {
    let problem = &work.problem;
    Spec {
        input: problem.input_type,
        output: problem.output_type,
        upstream: if problem.outputs.any_grad() { problem.upstream } else { Upstream::Ones },
        native_f16: work.profile.f16,
        rounds_f16: work.profile.f16_rounds && work.profile.tuning.rounds_f16,
        pointwise: Some(operands(work)),
        ..Spec::new(kernel, work.flat)
    }
}

/// Returns the formula and its operands, before the layout of the operands is known.
pub(super) fn operands(work: &Work) -> PointwiseSpec {
    let pointwise = work.problem.pointwise.expect("a plan of single elements");
    let one = ClassView { outer: 1, classes: 1, inner: 1 };
    let operand = |operand: Operand| OperandSpec {
        element_type: operand.element_type,
        reading: reading(operand.axes, VectorWidth::One, one, false),
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

/// Returns a kernel that reads a piece's elements, laid out for tensors of an alignment.
pub(in crate::plan) fn laid_out(
    work: &Work,
    spec: Spec,
    piece: usize,
    alignment: Alignment,
) -> Spec {
    let (Some(pointwise), Some(problem)) = (spec.pointwise, work.problem.pointwise) else {
        return spec;
    };
    let single = pointwise.tail || spec.kernel == Kernel::VarianceGrad;
    let load = if single { VectorWidth::One } else { alignment.load.min(widest_of_all(work)) };
    let extents = work.extents_of(piece);
    let read = |spec: OperandSpec, operand: Operand| OperandSpec {
        reading: reading(operand.axes, load, extents, alignment.weights),
        ..spec
    };
    let both = |spec: Option<OperandSpec>, operand: Option<Operand>| Some(read(spec?, operand?));
    let pointwise = PointwiseSpec {
        target: read(pointwise.target, problem.target),
        weight: both(pointwise.weight, problem.weight),
        pos_weight: both(pointwise.pos_weight, problem.pos_weight),
        variance: both(pointwise.variance, problem.var),
        ..pointwise
    };
    let layout = Layout { load, u64_loads: work.profile.has_u64_loads(load), ..spec.layout };
    Spec { layout, pointwise: Some(pointwise), ..spec }
}

/// Returns the number of a piece's elements that a dispatch computes: in loads, or the remaining ones one by one.
pub(in crate::plan) fn elements(work: &Work, spec: &Spec, piece: usize) -> usize {
    let elements = work.extents_of(piece).elements();
    let in_loads = if elements < FEW { 0 } else { elements / WIDEST * WIDEST };
    match spec.pointwise.is_some_and(|pointwise| pointwise.tail) {
        true => elements - in_loads,
        false => in_loads,
    }
}

/// Returns the first element of a piece that a dispatch computes.
pub(in crate::plan) fn first(work: &Work, spec: &Spec, piece: usize) -> usize {
    match spec.pointwise.is_some_and(|pointwise| pointwise.tail) {
        true => work.extents_of(piece).elements() - elements(work, spec, piece),
        false => 0,
    }
}

/// Returns the widest load that every tensor allows: eight if one has two bytes for each element. Gradients that are
/// summed are written one by one.
fn widest_of_all(work: &Work) -> VectorWidth {
    let sums_var = work.problem.pointwise.is_some_and(|pointwise| pointwise.sums_var());
    let mut loaded = work
        .problem
        .tensors()
        .filter(|tensor| tensor.slot != TensorSlot::VarianceGrad || !sums_var);
    let has_halves = loaded.any(|tensor| tensor.element_bytes == 2);
    work.profile.widest_load(if has_halves { ElementType::F16 } else { ElementType::F32 })
}

/// Returns the way in which loads of the input find an operand's elements. `aligned`: loads may lie along the operand.
fn reading(axes: Axes, load: VectorWidth, extents: ClassView, aligned: bool) -> Reading {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Shapes;
    use crate::{BceWithLogits, Outputs, Plan, Profile, TargetType};

    /// Loads of eight along, or within, the elements that share an operand's element.
    #[test]
    fn operands_are_read_as_their_elements_lie() {
        let extents = |classes, inner| ClassView { outer: 3, classes, inner };
        let (wide, odd) = (extents(5, 16), extents(5, 3));
        for (axes, load, extents, aligned, wanted) in [
            (Axes::Elements, VectorWidth::Eight, odd, false, Reading::Whole),
            (Axes::One, VectorWidth::Eight, odd, false, Reading::Once),
            (Axes::Classes, VectorWidth::Eight, wide, false, Reading::Shared(Axes::Classes)),
            (Axes::Classes, VectorWidth::Eight, odd, true, Reading::Each(Axes::Classes)),
            (Axes::Outer, VectorWidth::Four, extents(4, 3), false, Reading::Shared(Axes::Outer)),
            (Axes::Inner, VectorWidth::Eight, wide, true, Reading::Along(Axes::Inner)),
            (Axes::Inner, VectorWidth::Eight, wide, false, Reading::Each(Axes::Inner)),
            (Axes::Inner, VectorWidth::Eight, odd, true, Reading::Each(Axes::Inner)),
            (
                Axes::ClassesInner,
                VectorWidth::Four,
                extents(4, 3),
                true,
                Reading::Along(Axes::ClassesInner),
            ),
            // Single elements: every extent is a multiple of one.
            (Axes::Classes, VectorWidth::One, wide, true, Reading::Each(Axes::Classes)),
            (Axes::Inner, VectorWidth::One, wide, true, Reading::Each(Axes::Inner)),
        ] {
            assert_eq!(reading(axes, load, extents, aligned), wanted, "{load:?} of {extents:?}");
        }
    }

    /// One kernel writes the losses of elements if they are requested, and none otherwise: also if another kernel
    /// writes gradients.
    #[test]
    fn losses_are_written_once_if_they_are_requested() {
        let mut kernels = [0; 2];
        for storage_buffers in [4, 8] {
            let mut profile = Profile::portable();
            profile.limits.max_storage_buffers_per_shader_stage = storage_buffers;
            for reduction in [Reduction::None, Reduction::Sum] {
                let shapes = Shapes::new(&[64]).target(TargetType::Values(ElementType::F32), &[64]);
                let outputs = Outputs::loss().with_grad();
                let loss = BceWithLogits::new().reduction(reduction);
                let Ok(plan) = Plan::new(&loss, &shapes, outputs, &profile) else { continue };
                let specs: Vec<Spec> =
                    plan.specs().filter(|spec| spec.kernel == Kernel::Pointwise).collect();
                let writing = specs.iter().filter(|spec| spec.row_loss).count();
                assert_eq!(writing, usize::from(reduction == Reduction::None), "{plan}");
                kernels[specs.len() - 1] += 1;
            }
        }
        assert!(kernels.iter().all(|&times| times > 0), "{kernels:?}");
    }
}
