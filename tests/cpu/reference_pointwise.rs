//! The f64 reference of losses of single elements: against PyTorch in float64, and its gradients against
//! differences of its losses.

use support::close::{Tolerance, assert_close};
use support::fixtures_pointwise::{Case, load};
use support::points::{Kind, Points, Types};
use wgpu_loss::{
    Bce, ElementType, Error, GaussianNll, Inputs, Loss, Outputs, PoissonNll, Reduction, Tensor,
    reference,
};

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

/// Compares the gradient with the difference of two losses: it is good to the third derivative
/// times the step's square, 1e-6, and for the 16 levels of the step in the third power some more.
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

/// Input, count, loss and gradient, from arithmetic of 60 digits.
type Counted = (f32, f32, f64, f64);

/// Of logarithms of rates: at the minimum as near as an f32 comes to it, three deviations above, and 3 below.
const LOG_RATES: [Counted; 15] = [
    (0.4054651, 1.5, 1.121671087258755, -1.7809333564410866e-08),
    (2.0384583, 1.5, 4.85094331345499, 6.1787620850148235),
    (4.6051702, 100.0, 3.221523626198923, 6.395087552057117e-06),
    (4.90517, 100.0, 8.207396611639219, 34.985850770298356),
    (1.6051701, 100.0, 208.20023571371127, -95.02129343832905),
    (11.512925, 1e5, 6.6754012707129675, -0.03169599242820326),
    (11.522412, 1e5, 11.189667387375478, 953.1977800851718),
    (8.512925, 1e5, 204985.412355999, -95021.29474126415),
    (16.118095, 1e7, 8.977986678751831, -2.5300906903132603),
    (16.119045, 1e7, 13.488177450614511, 9500.5762914878),
    (13.118095, 1e7, 20497882.06579021, -9502129.442287158),
    (27.631021, 1e12, 14.809643999740489, 387801.31446914945),
    (34.538776, 1e15, 18.313198693997176, 15803288.868634444),
    (31.538776, 1e15, 2049787026685926.0, -950212918484115.4),
    (69.07755, 1e30, 44733317771164.664, -9.45868047479917e21),
];

/// Of rates: at the minimum, three deviations above, and a quarter of it.
const RATES: [Counted; 12] = [
    (1.5, 1.5, 1.121671077258755, 6.66666658170575e-09),
    (0.375, 1.5, 2.0761125889385914, -2.999999893333337),
    (100.0, 100.0, 3.2215236161987186, 9.99999993822529e-11),
    (130.0, 100.0, 6.985097171757306, 0.23076923082840237),
    (100000.0, 1e5, 6.675401255689787, 9.999999939224291e-14),
    (100948.68, 1e5, 11.147107801297365, 0.009397643341613478),
    (25000.0, 1e5, 63636.11151321475, -2.9999999999984),
    (10000000.0, 1e7, 8.977986348683833, 9.999999939225281e-16),
    (10009487.0, 1e7, 13.475300622085786, 0.0009478008213617731),
    (1000000000000000.0, 1e15, 18.18832671415557, 1.0000000069314251e-23),
    (1000000050000000.0, 1e15, 20.44012645639043, 6.710886036941282e-08),
    (2.5e29, 1e30, 6.362943706945085e29, -3.0),
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

/// Values that a loss is not defined for are refused: the error has the first one, its tensor and its element. A NaN is
/// a result like any other.
#[test]
fn values_out_of_range_are_refused_by_name() {
    let (good, nan) = ([0.0, 1.0, 0.25, 0.5], [0.5, f32::NAN, 0.5, 0.5]);
    for (loss, tensor, value) in [
        (&Bce::new() as &dyn Loss, "input", -0.5),
        (&Bce::new(), "input", 1.5),
        (&Bce::new(), "input", f32::INFINITY),
        (&Bce::new(), "target", -1e-30),
        (&Bce::new(), "target", 1.0 + f32::EPSILON),
        (&GaussianNll::new(), "var", -1e-30),
        (&GaussianNll::new(), "var", f32::NEG_INFINITY),
    ] {
        let run = |values: &[f32; 4]| {
            let of = |name| Tensor::new(if name == tensor { values } else { &good }, &[4]);
            let inputs = Inputs::new(of("input")).target(of("target"));
            let inputs = if tensor == "var" { inputs.var(of("var")) } else { inputs };
            reference::run(loss, &inputs, Outputs::loss())
        };
        let error = run(&[0.5, 0.5, value, value]).unwrap_err();
        let Error::BadValues { what, count: 2, of: 4, first: 2, value: first, .. } = error else {
            panic!("{value} in {tensor}: {error}")
        };
        assert_eq!((what, first), (tensor, value));
        assert!(run(&good).unwrap().loss[0].is_finite(), "{tensor}");
        assert!(run(&nan).unwrap().loss[0].is_nan(), "{tensor}");
    }
}
