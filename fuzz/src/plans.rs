//! Plans: shapes, options and devices of any numbers give an error or a plan, and the plan keeps within the device's
//! limits: see [`promises`].

use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, ElementType, EmptyMean, Entropy, GaussianNll, KlDiv,
    LabelType, Loss, Nll, Outputs, Plan, PoissonNll, Reduction, Softmax, TargetType,
};

use crate::draw::Draw;

mod devices;
mod promises;

const TYPES: [ElementType; 3] = [ElementType::F32, ElementType::F16, ElementType::BF16];

/// Pieces of f32 that most plans have at most.
const PIECES: u64 = 300;

/// Runs the fuzzer's bytes as a loss, its shapes and a device.
pub fn run(data: &[u8]) {
    let draw = Draw::new(data);
    let mut profile = devices::profile(&draw);
    let (loss, kind) = loss(&draw);
    let tensors = Tensors::draw(&draw, kind);
    let mut outputs = outputs(&draw, kind);
    let mut shapes = tensors.shapes();
    if matches!(kind, Kind::CrossEntropy | Kind::NoTarget) {
        outputs.states = draw.comes(1);
        shapes.states = draw.comes(1).then(|| draw.one_of(&[1, 2, 8, 0, usize::MAX]));
    }
    // Plans of many pieces take seconds: few have more than some hundred.
    if draw.within(0, 63) < 63 {
        let elements =
            tensors.input.iter().fold(1u64, |n, &extent| n.saturating_mul(extent as u64));
        let limit = &mut profile.limits.max_storage_buffer_binding_size;
        *limit = (*limit).max(elements.saturating_mul(4) / PIECES);
    }
    // An error is a valid answer too. Displaying it must not panic.
    match Plan::new(&*loss, &shapes, outputs, &profile) {
        Ok(plan) => promises::check(&plan, &profile, &tensors, &draw),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The kind of a loss's operands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Labels or class probabilities.
    CrossEntropy,
    Nll,
    /// Softmax and entropy.
    NoTarget,
    /// A loss of single elements.
    Elements,
}

fn loss(draw: &Draw<'_>) -> (Box<dyn Loss>, Kind) {
    let reduction =
        draw.one_of(&[Reduction::Mean, Reduction::None, Reduction::Sum, Reduction::BatchMean]);
    let empty = draw.one_of(&[EmptyMean::Nan, EmptyMean::Zero]);
    let axis = draw.one_of(&[1, 0, -1, 2, -2, 3, 7, isize::MIN, isize::MAX]);
    let number = |draw: &Draw<'_>, usual: f32| match draw.below(8) {
        0 => f32::from_bits(draw.bits() as u32),
        _ => usual,
    };
    let loss: (Box<dyn Loss>, Kind) = match draw.below(9) {
        0 => {
            let mut loss = CrossEntropy::new().reduction(reduction).empty_mean(empty);
            if draw.comes(2) {
                loss = loss.class_axis(axis);
            }
            if draw.comes(2) {
                loss = loss.ignore_index(draw.bits() as i64);
            }
            if draw.comes(3) {
                loss = loss.label_smoothing(number(draw, 0.1));
            }
            if draw.comes(3) {
                loss = loss.logit_scale(number(draw, 2.0));
            }
            if draw.comes(3) {
                loss = loss.softcap(number(draw, 30.0));
            }
            if draw.comes(3) {
                loss = loss.z_loss(number(draw, 1e-4));
            }
            (Box::new(loss), Kind::CrossEntropy)
        }
        1 => {
            let loss = Nll::new().reduction(reduction).empty_mean(empty);
            let loss = if draw.comes(2) { loss.class_axis(axis) } else { loss };
            (Box::new(loss), Kind::Nll)
        }
        2 => {
            let loss = draw.one_of(&[Softmax::probs, Softmax::log_probs])();
            (Box::new(if draw.comes(6) { loss.axis(axis) } else { loss }), Kind::NoTarget)
        }
        3 => {
            let loss = Entropy::new().reduction(reduction).empty_mean(empty);
            (Box::new(if draw.comes(6) { loss.axis(axis) } else { loss }), Kind::NoTarget)
        }
        4 => (Box::new(Bce::new().reduction(reduction)), Kind::Elements),
        5 => (Box::new(BceWithLogits::new().reduction(reduction)), Kind::Elements),
        6 => {
            let loss = KlDiv::new().log_target(draw.comes(4)).reduction(reduction);
            (Box::new(loss), Kind::Elements)
        }
        7 => {
            let loss = GaussianNll::new().full(draw.comes(4)).eps(number(draw, 1e-6));
            (Box::new(loss.reduction(reduction)), Kind::Elements)
        }
        _ => {
            let loss = PoissonNll::new().log_input(draw.comes(4)).full(draw.comes(4));
            (Box::new(loss.eps(number(draw, 1e-8)).reduction(reduction)), Kind::Elements)
        }
    };
    loss
}

fn outputs(draw: &Draw<'_>, kind: Kind) -> Outputs {
    let mut outputs = Outputs::loss();
    outputs.grad = draw.comes(5);
    outputs.in_f32 = draw.comes(2);
    if kind == Kind::Elements {
        (outputs.target_grad, outputs.var_grad) = (draw.comes(3), draw.comes(3));
    } else {
        (outputs.log_probs, outputs.lse) = (draw.comes(2), draw.comes(2));
        (outputs.argmax, outputs.entropy) = (draw.comes(2), draw.comes(2));
        (outputs.rank, outputs.row_weights) = (draw.comes(1), draw.comes(2));
        outputs.variance = draw.comes(2);
        (outputs.accuracy, outputs.class_losses) = (draw.comes(1), draw.comes(1));
        outputs.top_k = if draw.comes(1) { draw.bits() as u32 } else { 0 };
    }
    outputs
}

/// The tensors of a call: their shapes and types.
#[derive(Debug)]
struct Tensors {
    input: Vec<usize>,
    input_type: ElementType,
    target: Option<(TargetType, Vec<usize>)>,
    weight: Option<(usize, ElementType)>,
    row_weights: Option<Vec<usize>>,
    element_weight: Option<(ElementType, Vec<usize>)>,
    pos_weight: Option<(ElementType, Vec<usize>)>,
    var: Option<(ElementType, Vec<usize>)>,
    upstream: Option<(ElementType, Vec<usize>)>,
}

impl Tensors {
    /// Draws tensors whose shapes mostly match.
    fn draw(draw: &Draw<'_>, kind: Kind) -> Self {
        let axes = draw.one_of(&[2, 2, 2, 3, 4, 1, 0, 5, 6]);
        let input: Vec<usize> = (0..axes).map(|_| draw.extent()).collect();
        let mut rows = input.clone();
        if !rows.is_empty() {
            rows.remove(if draw.comes(1) { draw.below(axes) } else { 1.min(axes - 1) });
        }
        let element_type = draw.one_of(&TYPES);
        let label_type = LabelType::ALL[draw.below(LabelType::ALL.len())];
        let labels = (TargetType::Labels(label_type), shape(draw, &rows));
        let probabilities = (TargetType::Probabilities(element_type), shape(draw, &input));
        let classes = input.get(1).or(input.first()).copied().unwrap_or(1);
        let broadcast_in = |eighths: u64| {
            let comes = draw.comes(eighths);
            comes.then(|| (draw.one_of(&TYPES), broadcast(draw, &input)))
        };
        let single = kind == Kind::Elements;
        let values = broadcast_in(if single { 2 } else { 0 });
        let values = values.map(|(t, shape)| (TargetType::Values(t), shape));
        let whole = (TargetType::Values(element_type), input.clone());
        let element_weight = broadcast_in(if single { 2 } else { 0 });
        let pos_weight = broadcast_in(if single { 2 } else { 0 });
        let var = broadcast_in(if single { 4 } else { 0 });
        let target = match kind {
            Kind::CrossEntropy if draw.comes(3) => Some(probabilities),
            Kind::CrossEntropy | Kind::Nll => Some(labels),
            Kind::NoTarget => None,
            Kind::Elements => Some(values.unwrap_or(whole)),
        };
        let upstream = draw.comes(3).then(|| {
            let wanted = [&rows[..], &[], &input[..]][draw.below(3)];
            (draw.one_of(&TYPES), shape(draw, wanted))
        });
        Self {
            weight: (!single && draw.comes(3)).then(|| (classes, draw.one_of(&TYPES))),
            row_weights: (!single && draw.comes(3)).then(|| shape(draw, &rows)),
            input_type: draw.one_of(&TYPES),
            input,
            target,
            element_weight,
            pos_weight,
            var,
            upstream,
        }
    }

    fn shapes(&self) -> Shapes<'_> {
        let mut shapes = Shapes::new(&self.input).input_type(self.input_type);
        shapes.target = self.target.as_ref().map(|(t, shape)| (*t, &shape[..]));
        if let Some((classes, weight_type)) = self.weight {
            shapes = shapes.weight(classes).weight_type(weight_type);
        }
        shapes.row_weights = self.row_weights.as_deref();
        let typed = |given: &'_ Option<(ElementType, Vec<usize>)>| given.as_ref().map(|(t, _)| *t);
        shapes.element_weight = typed(&self.element_weight).zip(shape_of(&self.element_weight));
        shapes.pos_weight = typed(&self.pos_weight).zip(shape_of(&self.pos_weight));
        shapes.var = typed(&self.var).zip(shape_of(&self.var));
        shapes.upstream = shape_of(&self.upstream);
        shapes.upstream_type = typed(&self.upstream).unwrap_or(ElementType::F32);
        shapes
    }
}

fn shape_of(given: &Option<(ElementType, Vec<usize>)>) -> Option<&[usize]> {
    given.as_ref().map(|(_, shape)| &shape[..])
}

/// Returns this shape, and now and then another one.
fn shape(draw: &Draw<'_>, wanted: &[usize]) -> Vec<usize> {
    let mut shape = wanted.to_vec();
    if draw.within(0, 31) == 31 {
        shape.push(draw.extent());
    }
    shape
}

/// A shape that broadcasts to the input's.
fn broadcast(draw: &Draw<'_>, input: &[usize]) -> Vec<usize> {
    let shape = shape(draw, &input[draw.below(input.len() + 1)..]);
    shape.into_iter().map(|extent| if draw.comes(3) { 1 } else { extent }).collect()
}
