//! Losses of single elements.

use wgpu_loss::{ElementType, Error, Output, Outputs, Plan, Reduction, reference};

use super::devices::{Way, with_device};
use super::may_refuse;
use crate::draw::Draw;
use support::bound_points::{Place, run_plan};
use support::close::Judged;
use support::points::{Kind, Points, Types};

/// Elements of an input at most.
const MOST: usize = 6000;

const TYPES: [ElementType; 3] = [ElementType::F32, ElementType::F16, ElementType::BF16];
const REDUCTIONS: [Reduction; 4] =
    [Reduction::Mean, Reduction::None, Reduction::Sum, Reduction::BatchMean];

/// Draws a call and makes it.
pub fn run(draw: &Draw<'_>) -> Judged {
    let kind = draw.one_of(&Kind::ALL);
    let reduction = draw.one_of(&REDUCTIONS);
    let points = points(draw, kind, reduction);
    let outputs = outputs(draw, kind, &points);
    let loss = points.loss(reduction);
    let truth = reference::run(&*loss, &points.inputs(), outputs);
    let truth = truth.unwrap_or_else(|error| panic!("{points:?}: {error}"));
    if overflows(&points, outputs, &truth) {
        return Judged::default();
    }
    with_device(draw, |gpu, way, draw| {
        let shapes = points.inputs().shapes();
        let what = format!("{kind:?} {reduction:?} {shapes:?} {outputs:?} {way:?} on {}", gpu.name);
        let got = match way {
            Way::Host(budget) => {
                gpu.with_memory_budget(budget).run(&*loss, &points.inputs(), outputs)
            }
            Way::Recorded(profile) => {
                let place = Place {
                    lead: draw.one_of(&[0, 0, 1, 2, 3, 4, 8, 63]),
                    alike: draw.comes(4),
                    in_place: may_be_in_place(&points, outputs) && draw.comes(3),
                    arena: draw.comes(2),
                    binding: None,
                };
                let plan = Plan::new(&*loss, &shapes, outputs, &profile);
                plan.map(|plan| run_plan(gpu, &points, plan, place).0)
            }
        };
        match got {
            Ok(got) => points.compare(&what, reduction, outputs, &got, &truth),
            // Calls on host data expand tensors that are broadcast in so many ways.
            Err(Error::Groups { .. }) => Judged::default(),
            Err(error) if may_refuse(&error) => Judged::default(),
            Err(error) => panic!("{what}: {error}"),
        }
    })
}

/// Returns true if a gradient is too large for f16, since the comparison needs the number itself.
fn overflows(points: &Points, outputs: Outputs, truth: &Output<f64>) -> bool {
    let is_half = points.input.data.borrow().element_type() == ElementType::F16;
    let large = |grad: &Vec<f64>| grad.iter().any(|number| number.abs() > 65_000.0);
    is_half && !outputs.in_f32 && truth.grad.as_ref().is_some_and(large)
}

fn may_be_in_place(points: &Points, outputs: Outputs) -> bool {
    let input = points.input.data.borrow().element_type();
    outputs.grad && (!outputs.in_f32 || input == ElementType::F32)
}

fn outputs(draw: &Draw<'_>, kind: Kind, points: &Points) -> Outputs {
    let most = kind.outputs();
    let mut outputs = Outputs::loss();
    outputs.grad = draw.comes(6);
    outputs.in_f32 = draw.comes(2);
    let whole = points.target.shape == points.input.shape;
    outputs.target_grad = most.target_grad && whole && draw.comes(4);
    outputs.var_grad = most.var_grad && draw.comes(4);
    outputs
}

fn points(draw: &Draw<'_>, kind: Kind, reduction: Reduction) -> Points {
    let mut shape = Vec::new();
    for _ in 0..draw.within(1, 4) {
        let extent = draw.one_of(&[7, 1, 2, 3, 5, 8, 16, 33, 64, 100, 301, 1000]);
        let count: usize = shape.iter().product();
        shape.push(if count * extent > MOST { 2 } else { extent });
    }
    let one = || draw.one_of(&TYPES);
    let types = Types { input: one(), target: one(), others: one() };
    let mut points = Points::random(kind, &shape, types);
    if matches!(kind, Kind::Bce | Kind::Logits) && draw.comes(4) {
        let (weight, pos_weight) = (broadcast(draw, &shape), broadcast(draw, &shape));
        points = points.weights(&weight, &pos_weight, types.others);
    }
    if matches!(kind, Kind::Kl { .. } | Kind::Gaussian { .. } | Kind::Poisson { .. })
        && draw.comes(3)
    {
        points = points.target_in(&broadcast(draw, &shape));
    }
    if matches!(kind, Kind::Gaussian { .. }) && draw.comes(4) {
        points = points.var_in(&var_shape(draw, &shape));
    }
    if draw.comes(3) { points.with_upstream(reduction) } else { points }
}

/// Draws a shape that broadcasts to the input's.
fn broadcast(draw: &Draw<'_>, input: &[usize]) -> Vec<usize> {
    let own = &input[draw.below(input.len() + 1)..];
    own.iter().map(|&extent| if draw.comes(3) { 1 } else { extent }).collect()
}

/// Draws a shape that variances may have: one axis of the input's is 1 or, if it is the last, left out; or all are 1.
fn var_shape(draw: &Draw<'_>, input: &[usize]) -> Vec<usize> {
    let mut shape = input.to_vec();
    match draw.below(4) {
        0 => shape[draw.below(input.len())] = 1,
        1 => drop(shape.pop()),
        2 => shape.fill(1),
        _ => {}
    }
    shape
}
