//! The f64 reference of losses of single elements: against PyTorch in float64, and its gradients against
//! differences of its losses.

mod support;

use support::close::{Tolerance, assert_close};
use support::fixtures_pointwise::{Case, load};
use support::points::{Kind, Points, Types};
use wgpu_loss::{ElementType, Outputs, Reduction, reference};

/// Both are float64. Sums are added up in another order, and PyTorch's form of the loss of logits cancels
/// where the reference's does not.
const ROUNDING: Tolerance = Tolerance { relative: 1e-12, absolute: 1e-14 };

#[test]
fn pytorchs_losses_and_gradients() {
    let cases = load();
    assert!(cases.len() > 100, "only {} cases", cases.len());
    for case in &cases {
        let Case { name, truth, .. } = case;
        let points = Points::from(case);
        let mut outputs = Outputs::loss().with_grad();
        outputs.target_grad = truth.target_grad.is_some();
        outputs.var_grad = truth.var_grad.is_some();
        let output = reference::run(&*points.loss(case.reduction), &points.inputs(), outputs);
        let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(output.loss_shape, truth.loss_shape, "{name}");
        assert_close(name, &output.loss, &truth.loss, ROUNDING);
        for (got, wanted) in [
            (&output.grad, Some(&truth.grad)),
            (&output.target_grad, truth.target_grad.as_ref()),
            (&output.var_grad, truth.var_grad.as_ref()),
        ] {
            let (Some(got), Some(wanted)) = (got, wanted) else { continue };
            assert_close(name, got, wanted, ROUNDING);
        }
    }
}

/// Steps of f32 that change a number by about a thousandth, each exact in f32.
const STEP: f32 = 1.0 / 1024.0;

/// The gradient against the difference of two losses: good to the third derivative times the step's
/// square, 1e-6, and for the 16 levels of the step in the third power some more.
#[test]
fn gradients_are_differences_of_losses() {
    for kind in Kind::ALL {
        let points = Points::random(kind, &[5, 3], Types::F32).rounded_to(STEP);
        let points = points.weights(&[3], &[5, 1], ElementType::F32).with_upstream(Reduction::Sum);
        let points =
            if matches!(kind, Kind::Bce | Kind::Logits) { points } else { points.unweighted() };
        let shared = points.clone().var_in(&[5]).rounded_to(STEP);
        for points in [points, shared] {
            let outputs = kind.outputs();
            let truth = points.truth(Reduction::Sum, outputs);
            let loss = |points: &Points| points.truth(Reduction::Sum, Outputs::loss()).loss[0];
            let upstream = f64::from(points.upstream.as_ref().unwrap().0[0]);
            type Of = fn(&mut Points) -> &mut support::points::Operand;
            let all: [(&str, &Option<Vec<f64>>, Of); 3] = [
                ("input", &truth.grad, |points| &mut points.input),
                ("target", &truth.target_grad, |points| &mut points.target),
                ("var", &truth.var_grad, |points| points.var.as_mut().unwrap()),
            ];
            for (name, grad, of) in all {
                let Some(grad) = grad else { continue };
                for (element, &grad) in grad.iter().enumerate() {
                    let moved = |step: f32| {
                        let mut points = points.clone();
                        let operand = of(&mut points);
                        let mut values = operand.data.wide();
                        values[element] += step;
                        operand.data = support::floats::OwnedFloats::new(ElementType::F32, &values);
                        loss(&points)
                    };
                    let step = STEP / 16.0;
                    let slope = (moved(step) - moved(-step)) / f64::from(2.0 * step) * upstream;
                    let off = (slope - grad).abs();
                    assert!(
                        off < 1e-4 * (1.0 + grad.abs()),
                        "{kind:?} {name}[{element}]: {slope} for {grad}"
                    );
                }
            }
        }
    }
}
