//! The f64 reference of losses of single elements: against PyTorch in float64, and its gradients against
//! differences of its losses.

mod support;

use support::close::{Tolerance, assert_close};
use support::fixtures_pointwise::{Case, load};
use support::points::{Kind, Points, Types};
use wgpu_loss::{ElementType, Inputs, Outputs, PoissonNll, Reduction, Tensor, reference};

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

/// Input, count, loss and gradient, to 17 digits.
type Counted = (f32, f32, f64, f64);

/// Of logarithms of rates: at the minimum as near as an f32 comes to it, three deviations above, and 3 below.
const LOG_RATES: [Counted; 15] = [
    (0.40546509623527527, 1.5, 1.121671087258755, -1.7809333564410867e-8),
    (2.0384583473205566, 1.5, 4.8509433134549898, 6.1787620850148233),
    (4.605170249938965, 100.0, 3.2215236261989229, 6.395087552057117e-6),
    (4.90516996383667, 100.0, 8.2073966116392188, 34.985850770298356),
    (1.6051701307296753, 100.0, 208.20023571371127, -95.021293438329052),
    (11.512925148010254, 1e5, 6.6754012707129677, -0.031695992428203254),
    (11.522412300109863, 1e5, 11.189667387375478, 953.19778008517181),
    (8.512925148010254, 1e5, 204985.41235599899, -95021.294741264148),
    (16.11809539794922, 1e7, 8.9779866787518317, -2.5300906903132604),
    (16.11904525756836, 1e7, 13.488177450614512, 9500.5762914877994),
    (13.118095397949219, 1e7, 20497882.06579021, -9502129.4422871587),
    (27.63102149963379, 1e12, 14.809643999740489, 387801.31446914945),
    (34.53877639770508, 1e15, 18.313198693997175, 15803288.868634444),
    (31.538776397705078, 1e15, 2049787026685926.0, -950212918484115.43),
    (69.07755279541016, 1e30, 44733317771164.664, -9.4586804747991695e21),
];

/// Of rates: at the minimum, three deviations above, and a quarter of it.
const RATES: [Counted; 12] = [
    (1.5, 1.5, 1.121671077258755, 6.6666665817057499e-9),
    (0.375, 1.5, 2.0761125889385916, -2.9999998933333368),
    (100.0, 100.0, 3.2215236161987185, 9.9999999382252903e-11),
    (130.0, 100.0, 6.9850971717573056, 0.23076923082840237),
    (100000.0, 1e5, 6.675401255689787, 9.9999999392242903e-14),
    (100948.6796875, 1e5, 11.147107801297364, 0.0093976433416134769),
    (25000.0, 1e5, 63636.111513214752, -2.9999999999984),
    (10000000.0, 1e7, 8.9779863486838327, 9.9999999392252803e-16),
    (10009487.0, 1e7, 13.475300622085787, 0.00094780082136177314),
    (999999986991104.0, 1e15, 18.188326714155567, 1.0000000069314251e-23),
    (1000000054099968.0, 1e15, 20.44012645639043, 6.7108860369412811e-8),
    (2.5000000376186655e29, 1e30, 6.3629437069450852e29, -3.0),
];

/// With Stirling's terms the loss of a large count is a small difference of large numbers. An f64 exponential is off
/// by 2^-53 of itself, and with it the ratio of rate and count; all else is a few roundings, far from the minimum of
/// terms 100 times as large.
#[test]
fn large_counts_keep_their_digits() {
    for (log_input, cases) in [(true, &LOG_RATES[..]), (false, &RATES)] {
        let loss = PoissonNll::new().log_input(log_input).full(true).reduction(Reduction::None);
        for &(x, t, wanted, slope) in cases {
            let (x, t) = ([x], [t]);
            let inputs = Inputs::new(Tensor::new(&x, &[1])).target(Tensor::new(&t, &[1]));
            let output = reference::run(&loss, &inputs, Outputs::loss().with_grad()).unwrap();
            let what = format!("log_input {log_input} of {x:?} for {t:?}");
            let off = |size: f64| if log_input { 2f64.powi(-52) * size } else { 0.0 };
            let near = |absolute| Tolerance { relative: 2e-14, absolute };
            assert_close(&what, &output.loss, &[wanted], near(off(slope.abs())));
            let grad = output.grad.unwrap();
            assert_close(&what, &grad, &[slope], near(off(f64::from(t[0]) + slope.abs())));
        }
    }
}
