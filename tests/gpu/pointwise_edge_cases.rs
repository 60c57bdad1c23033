//! Losses of single elements of values that are not ordinary: infinities and NaN, the ends of ranges, values they
//! refuse; and their precision if formulas cancel.

use support::bound_points::{self, Place};
use support::close::Tolerance;
use support::floats::OwnedFloats;
use support::gpus::gpus;
use support::points::{Kind, Operand, Points, Types};
use wgpu_loss::{
    Bce, BceWithLogits, ElementType, Error, GaussianNll, Inputs, KlDiv, Outputs, PoissonNll,
    Reduction, Tensor, reference,
};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;
const NEAR: Tolerance = Tolerance::relative(4e-6);

fn operand(data: &[f32], shape: &[usize]) -> Operand {
    Operand { data: OwnedFloats::new(ElementType::F32, data), shape: shape.to_vec() }
}

/// Returns all pairs of an input and a target, each of them in every component of a load and after the last one.
fn pairs(kind: Kind, inputs: &[f32], targets: &[f32]) -> Points {
    let pairs: Vec<(f32, f32)> =
        inputs.iter().flat_map(|&x| targets.iter().map(move |&t| (x, t))).collect();
    // 67 copies: loads of eight and single ones, shifted against each other.
    let count = 67 * pairs.len();
    let (x, t): (Vec<f32>, Vec<f32>) = (0..count).map(|n| pairs[n % pairs.len()]).unzip();
    let mut points = Points::random(kind, &[count], Types::F32);
    (points.input, points.target) = (operand(&x, &[count]), operand(&t, &[count]));
    points
}

/// Every pair on every device: the same kind of number as the reference's, and near it.
#[track_caller]
fn check(points: &Points, relative: f64) {
    check_down_to(points, relative, 1.2e-38);
}

/// Checks every pair; drivers may flush values below 1.2e-38 to 0, which makes a difference of `absolute`.
#[track_caller]
fn check_down_to(points: &Points, relative: f64, absolute: f64) {
    let outputs = points.kind.outputs();
    let truth = points.truth(Reduction::None, outputs);
    for gpu in gpus() {
        let got = points.on(gpu, Reduction::None, outputs);
        assert_eq!(got.summary, truth.summary, "{:?}", points.kind);
        for (name, got, truth) in [
            ("loss", Some(&got.loss), Some(&truth.loss)),
            ("gradient", got.grad.as_ref(), truth.grad.as_ref()),
            ("target's gradient", got.target_grad.as_ref(), truth.target_grad.as_ref()),
            ("variance's gradient", got.var_grad.as_ref(), truth.var_grad.as_ref()),
        ] {
            let (Some(got), Some(truth)) = (got, truth) else { continue };
            for (n, (&got, &truth)) in got.iter().zip(truth).enumerate() {
                let (x, t) =
                    (points.input.data.borrow().get(n), points.target.data.borrow().get(n));
                let v = points.var.as_ref().map(|var| var.data.borrow().get(n));
                let (wide, as_f32) = (f64::from(got), truth as f32);
                // What no f32 holds is infinite.
                let same = match as_f32.is_finite() {
                    true => (wide - truth).abs() <= relative * truth.abs() + absolute,
                    false => got == as_f32 || (got.is_nan() && as_f32.is_nan()),
                };
                assert!(
                    same,
                    "{name} of {:?} at x = {x:e}, t = {t:e}, v = {v:?} (element {n}) is {got:e}, but \
                     {truth:e} was wanted on {}",
                    points.kind, gpu.name
                );
            }
        }
    }
}

#[test]
fn probabilities_near_the_ends() {
    let tiny = f32::from_bits(1);
    let x = [
        0.0,
        -0.0,
        tiny,
        1e-40,
        1e-38,
        1e-12,
        1e-7,
        0.25,
        0.5,
        0.50001,
        0.75,
        1.0 - 6e-8,
        1.0,
        NAN,
    ];
    // The gradient divides by 1e-12 at least.
    check_down_to(&pairs(Kind::Bce, &x, &[0.0, 1.0]), 2e-6, 1.2e-26);
    check_down_to(&pairs(Kind::Bce, &x, &[0.5, NAN]), 2e-6, 1.2e-26);
}

#[test]
fn logits_near_and_far() {
    let x = [
        0.0, -0.0, 1e-30, 1e-3, -1e-3, 1.0, -1.0, 20.0, -20.0, 87.0, -87.0, 100.0, -100.0, 1e30,
        -1e30,
    ];
    // exp(-87) is good to 3 + 2 * 87 steps.
    check(&pairs(Kind::Logits, &x, &[0.0, 1.0]), 3e-5);
    check(
        &pairs(Kind::Logits, &[INF, -INF, NAN, 1.0, -1.0], &[0.0, 1.0, 0.25, 2.0, NAN, INF]),
        2e-6,
    );
    // A weight of 0 removes an infinity.
    let mut weighed = pairs(Kind::Logits, &[INF, -INF, 2.0], &[0.0, 1.0, 0.5]);
    let count = weighed.input.shape[0];
    let factors = |period: usize| -> Vec<f32> {
        (0..count).map(|n| [0.0, 2.0, -1.0][n / period % 3]).collect()
    };
    weighed.weight = Some(operand(&factors(9), &[count]));
    weighed.pos_weight = Some(operand(&factors(27), &[count]));
    check(&weighed, 2e-6);
}

#[test]
fn divergences_of_nothing_and_of_infinities() {
    let x = [-INF, INF, NAN, -1.0, 0.0, -100.0];
    check(
        &pairs(Kind::Kl { log_target: false }, &x, &[0.0, -0.0, 1.0, -0.5, 0.25, INF, NAN]),
        2e-6,
    );
    // A target of 0 has no loss, and no gradient either.
    let tiny = pairs(Kind::Kl { log_target: false }, &[-1.0], &[1.2e-38, 1e-30]);
    check(&tiny, 2e-6);
    check(&pairs(Kind::Kl { log_target: true }, &x, &[-INF, 0.0, -2.5, 1.0, INF, NAN]), 2e-6);
}

/// A negative factor changes an infinite derivative's sign, and 0 times an infinity is NaN.
#[test]
fn upstream_gradients_scale_infinite_derivatives() {
    let x = [INF, -INF, 0.0, 1000.0, 1.5];
    for upstream in [-2.0, 0.0] {
        for kind in [
            Kind::Kl { log_target: false },
            Kind::Gaussian { full: false },
            Kind::Poisson { log_input: true, full: false },
            Kind::Poisson { log_input: false, full: false },
        ] {
            let mut points = pairs(kind, &x, &[0.5, 2.0, 0.0]);
            let count = points.input.shape[0];
            points.upstream = Some((vec![upstream; count], vec![count]));
            check(&points, 5e-5);
        }
    }
}

#[test]
fn variances_down_to_nothing() {
    for full in [false, true] {
        let mut points = pairs(
            Kind::Gaussian { full },
            &[0.0, 2.5, -2.5, INF, -INF, NAN],
            &[0.25, -1e18, INF, NAN],
        );
        let count = points.input.shape[0];
        for v in [0.0, -0.0, 1e-30, 1e-6, 0.7, 1.0001, 3e5, INF, NAN] {
            points.var = Some(operand(&vec![v; count], &[count]));
            check(&points, 4e-6);
        }
    }
}

/// An element whose loss is no finite number decides the reduced loss.
#[test]
fn one_element_makes_a_sum_infinite_or_nan() {
    let kinds = [
        Kind::Gaussian { full: false },
        Kind::Kl { log_target: false },
        Kind::Poisson { log_input: true, full: false },
    ];
    let mut seen = [0; 3];
    for kind in kinds {
        for x in [INF, -INF, NAN, 1000.0] {
            let mut points = pairs(kind, &[0.5], &[0.5]);
            points.input = {
                let mut inputs = vec![0.5; points.input.shape[0]];
                *inputs.last_mut().unwrap() = x;
                operand(&inputs, &points.input.shape)
            };
            for reduction in [Reduction::Mean, Reduction::Sum] {
                let truth = points.truth(reduction, Outputs::loss());
                let wanted = truth.loss[0] as f32;
                seen[0] += usize::from(wanted == INF);
                seen[1] += usize::from(wanted == -INF);
                seen[2] += usize::from(wanted.is_nan());
                for gpu in gpus() {
                    let got = points.on(gpu, reduction, Outputs::loss());
                    let what = format!("{kind:?} of {x}, {reduction:?} on {}", gpu.name);
                    let right = NEAR.admits(got.loss[0].into(), wanted.into());
                    assert!(right, "{what}: {} for {wanted}", got.loss[0]);
                    assert_eq!(got.summary, truth.summary, "{what}");
                }
            }
        }
    }
    assert!(seen.iter().all(|&times| times > 0), "{seen:?}");
}

/// An infinite derivative of an element is that of a variance that it shares, and so is NaN.
#[test]
fn shared_variances_of_elements_without_derivatives() {
    let kind = Kind::Gaussian { full: false };
    // Slopes at 1e15 are so large that sums are kept in smaller units, at 1e30 they are infinite.
    for bad in [NAN, INF, -INF, 1e15, 1e30] {
        let mut points = pairs(kind, &[0.0, 2.5, bad], &[0.25, -1.0]);
        let half = points.input.shape[0] / 2;
        (points.input.shape, points.target.shape) = (vec![half, 2], vec![half, 2]);
        points.var = Some(operand(&vec![0.75; half], &[half, 1]));
        let truth = points.truth(Reduction::None, kind.outputs()).var_grad.unwrap();
        for gpu in gpus() {
            let got = points.on(gpu, Reduction::None, kind.outputs()).var_grad.unwrap();
            assert_eq!(got.len(), truth.len());
            for (&got, wanted) in got.iter().zip(truth.iter().map(|&wanted| wanted as f32)) {
                let right = NEAR.admits(got.into(), wanted.into());
                assert!(right, "{bad}: {got} for {wanted} on {}", gpu.name);
            }
        }
    }
}

#[test]
fn rates_down_to_nothing() {
    let counts = [0.0, -0.0, 0.5, 1.0, 1.0001, 3.0, 1e6, -2.0, INF, NAN];
    for full in [false, true] {
        let kind = Kind::Poisson { log_input: true, full };
        check(&pairs(kind, &[-INF, INF, NAN, -30.0, 80.0, 89.0, 1000.0], &counts), 5e-5);
        // exp(0) is good to 3 steps, and with a count of 1 nothing else may be left.
        check_down_to(&pairs(kind, &[0.0], &counts), 5e-5, 4e-7);
        let x = [-INF, INF, NAN, 0.0, 1e-8, 2.0, 1e9, -1.0];
        check(&pairs(Kind::Poisson { log_input: false, full }, &x, &counts), 2e-6);
    }
}

/// Near 1 a logarithm is all cancellation, and WGSL's own is only good to 5e-7 there.
#[test]
fn logarithms_keep_their_digits() {
    let steps: Vec<f32> = (-4000..4000).map(|n| (n as f32 / 400.0).exp2()).collect();
    let near_one: Vec<f32> = (1..4000).map(|n| 1.0 - n as f32 * 3e-6).collect();
    let half = |x: &f32| *x < 1.0;
    let below: Vec<f32> = steps.iter().chain(&near_one).copied().filter(half).collect();
    let exact = |kind, x: &[f32], t: f32, v: Option<&[f32]>| {
        let shape = [x.len()];
        let mut points = Points::random(kind, &shape, Types::F32);
        (points.input, points.target) = (operand(x, &shape), operand(&vec![t; x.len()], &shape));
        points.var = v.map(|v| operand(v, &shape));
        let truth = points.truth(Reduction::None, Outputs::loss());
        for gpu in gpus() {
            let got = points.on(gpu, Reduction::None, Outputs::loss());
            for (n, (&got, &truth)) in got.loss.iter().zip(&truth.loss).enumerate() {
                let off = (f64::from(got) - truth).abs() / truth.abs().max(1e-37);
                // 8 steps of 2^-24: the series, and the driver's logarithm away from 1.
                assert!(off < 5e-7, "{kind:?} at {}: {got:e}, not {truth:e}: {off:e}", x[n]);
            }
        }
    };
    exact(Kind::Bce, &below, 1.0, None);
    exact(Kind::Bce, &below, 0.0, None);
    // With input and target equal, only the logarithm of the variance is left.
    let zeros = vec![0.0; steps.len()];
    exact(Kind::Gaussian { full: false }, &zeros, 0.0, Some(&steps));
    // t log t is the divergence from log-probability 0.
    let shape = [steps.len()];
    let inputs = Inputs::new(Tensor::new(&zeros, &shape)).target(Tensor::new(&steps, &shape));
    let loss = KlDiv::new().reduction(Reduction::None);
    let truth = reference::run(&loss, &inputs, Outputs::loss()).unwrap();
    for gpu in gpus() {
        let got = gpu.run(&loss, &inputs, Outputs::loss()).unwrap();
        for (&got, &truth) in got.loss.iter().zip(&truth.loss) {
            assert!((f64::from(got) - truth).abs() <= 5e-7 * truth.abs(), "{got:e}, not {truth:e}");
        }
    }
}

/// At the rate that fits a count the loss with Stirling's terms is nearly 0 compared with its terms, and its gradient
/// is 0. The only allowed error is that of the logarithm of the rate against the count's, 2^-23 and as much of itself.
#[test]
fn large_counts_keep_their_digits() {
    let apart = [0.0, 1e-6, 1e-4, 1e-3, 0.03, 0.3, 0.41, 0.9, 1.1, 3.0, 10.0];
    let counts = [1.0001f32, 1.5, 2.0, 7.25, 100.0, 1e3, 99_999.0, 1e6, 1e7, 16_777_213.0, 1e12];
    let pairs = || counts.into_iter().flat_map(|t| apart.into_iter().map(move |d| (t, d)));
    let pairs = pairs().chain(pairs().map(|(t, d)| (t, -d)));
    for log_input in [true, false] {
        let of = |(t, d): (f32, f64)| {
            let d = f64::from(t).ln() + d;
            if log_input { d as f32 } else { d.exp() as f32 }
        };
        let (x, t): (Vec<f32>, Vec<f32>) = pairs.clone().map(|pair| (of(pair), pair.0)).unzip();
        let (shape, count) = ([x.len()], x.len());
        let inputs = Inputs::new(Tensor::new(&x, &shape)).target(Tensor::new(&t, &shape));
        let loss = PoissonNll::new().log_input(log_input).full(true).reduction(Reduction::None);
        let outputs = Outputs::loss().with_grad();
        let truth = reference::run(&loss, &inputs, outputs).unwrap();
        for gpu in gpus() {
            let got = gpu.run(&loss, &inputs, outputs).unwrap();
            for n in 0..count {
                let (x, t) = (f64::from(x[n]), f64::from(t[n]));
                let d = if log_input { x - t.ln() } else { (x / t).ln() };
                // Of a rate, the gradient is by itself, not by its logarithm.
                let size = if log_input { t * d.exp() } else { 1.0 };
                let unit = 2f64.powi(-23);
                let slope = t * d.exp_m1().abs();
                for (what, got, truth, moved) in [
                    ("loss", got.loss[n], truth.loss[n], slope),
                    (
                        "gradient",
                        got.grad.as_ref().unwrap()[n],
                        truth.grad.as_ref().unwrap()[n],
                        size,
                    ),
                ] {
                    let moved = match (log_input, what) {
                        (false, "gradient") => 1e-8 * (1.0 / x),
                        _ => unit * moved,
                    };
                    let allowed =
                        (12.0 + 3.0 * d.abs()) * unit * truth.abs() + moved * (1.0 + d.abs());
                    let off = (f64::from(got) - truth).abs();
                    assert!(
                        off <= allowed,
                        "{what} at {x:e} for {t:e} is {got:e}, not {truth:e} within {allowed:.1e}: off by {off:.1e} \
                         on {}, log_input {log_input}",
                        gpu.name
                    );
                }
            }
        }
    }
}

/// If a student has nearly become its teacher, log q - x is the rounding error of x: its error is two units of 1 and as
/// much of itself, however large log q is.
#[test]
fn targets_that_are_reached() {
    let q: Vec<f32> = (0..3000).map(|n| (n as f32 / -30.0).exp2()).collect();
    let x: Vec<f32> = q.iter().map(|&q| f64::from(q).ln() as f32).collect();
    let shape = [q.len()];
    let inputs = Inputs::new(Tensor::new(&x, &shape)).target(Tensor::new(&q, &shape));
    let (loss, outputs) =
        (KlDiv::new().reduction(Reduction::None), Outputs::loss().with_target_grad());
    let truth = reference::run(&loss, &inputs, outputs).unwrap();
    let slopes = truth.target_grad.as_ref().unwrap();
    for gpu in gpus() {
        let got = gpu.run(&loss, &inputs, outputs).unwrap();
        for (n, &q) in q.iter().enumerate() {
            let (x, unit) = (x[n], 2f64.powi(-23));
            let allowed = f64::from(q) * unit;
            let off = (f64::from(got.loss[n]) - truth.loss[n]).abs();
            assert!(
                off <= allowed,
                "the loss at {x} is off by {off:e} of {allowed:e} on {}",
                gpu.name
            );
            // The slope is log q - x + 1.
            let off = (f64::from(got.target_grad.as_ref().unwrap()[n]) - slopes[n]).abs();
            assert!(off <= 2.0 * unit, "the slope at {x} is off by {off:e} on {}", gpu.name);
        }
    }
}

/// A refusal states the problem, the count, the first position and the tensor.
#[test]
fn values_out_of_range_are_named() {
    let count = 1000;
    let ok = vec![0.5f32; count];
    let with = |places: &[(usize, f32)]| {
        let mut values = ok.clone();
        places.iter().for_each(|&(place, value)| values[place] = value);
        values
    };
    let shape = [10, 100];
    let cases = [
        (with(&[(997, 1.5), (13, -0.25)]), ok.clone(), "input", 2, 13, -0.25),
        (with(&[(999, f32::NEG_INFINITY)]), ok.clone(), "input", 1, 999, f32::NEG_INFINITY),
        (with(&[(5, NAN)]), with(&[(0, 7.0)]), "target", 1, 0, 7.0),
        (with(&[(500, 2.0)]), with(&[(501, -1e-40)]), "input", 2, 500, 2.0),
        (
            ok.clone(),
            with(&[(3, 1.0 + f32::EPSILON), (4, 2.0)]),
            "target",
            2,
            3,
            1.0 + f32::EPSILON,
        ),
    ];
    for (x, t, tensor, bad, position, number) in &cases {
        let inputs = Inputs::new(Tensor::new(x, &shape)).target(Tensor::new(t, &shape));
        let outputs = Outputs::loss().with_grad();
        let mut errors = vec![reference::run(&Bce::new(), &inputs, outputs).unwrap_err()];
        for gpu in gpus() {
            errors.push(gpu.run(&Bce::new(), &inputs, outputs).unwrap_err());
            let tiny = gpu.with_memory_budget(4 << 10);
            errors.push(tiny.run(&Bce::new(), &inputs, outputs).unwrap_err());
        }
        for error in errors {
            let Error::BadValues { what, count, of, first, value, .. } = error else {
                panic!("{error}")
            };
            assert_eq!((what, count, of, first, value), (*tensor, *bad, 1000, *position, *number));
        }
    }
    // For variances the first one's own position is printed, however often it is used.
    let mut var = vec![1.0f32; 10];
    var[7] = -2.5;
    let inputs = Inputs::new(Tensor::new(&ok, &shape))
        .target(Tensor::new(&ok, &shape))
        .var(Tensor::new(&var, &shape[..1]));
    let mut errors =
        vec![reference::run(&GaussianNll::new(), &inputs, Outputs::loss()).unwrap_err()];
    for gpu in gpus() {
        errors.push(gpu.run(&GaussianNll::new(), &inputs, Outputs::loss()).unwrap_err());
    }
    for error in errors {
        assert_eq!(
            error.to_string(),
            "100 of 1000 elements are out of range: the first is var -2.5 at position 7, expected a variance \
             of 0 or more"
        );
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let data = [0.5f32; 12];
    let shape = [3, 4];
    let tensor = |count: usize, shape: &'static [usize]| Tensor::new(&data[..count], shape);
    let input = || Inputs::new(Tensor::new(&data, &shape));
    let run = |loss: &dyn wgpu_loss::Loss, inputs: Inputs<'_>, outputs: Outputs| {
        reference::run(loss, &inputs, outputs).unwrap_err().to_string()
    };
    let (bce, logits) = (Bce::new(), BceWithLogits::new());
    let (kl, gaussian) = (KlDiv::new(), GaussianNll::new());
    let (loss, target) = (Outputs::loss(), tensor(12, &[3, 4]));
    for (message, wanted) in [
        (run(&bce, input(), loss), "no target"),
        (run(&bce, input().labels(&[0u8, 1, 2], &[3]), loss), "got labels"),
        (run(&bce, input().probabilities(target), loss), "class probabilities"),
        (run(&bce, input().target(tensor(4, &[4])), loss), "expected [3, 4]"),
        (run(&kl, input().target(tensor(3, &[3])), loss), "does not broadcast"),
        (
            run(&logits, input().target(target).pos_weight(tensor(2, &[2])), loss),
            "does not broadcast",
        ),
        (
            run(&bce, input().target(target).pos_weight(tensor(4, &[4])), loss),
            "bce takes no pos_weight",
        ),
        (
            run(&kl, input().target(target).element_weight(target), loss),
            "kl_div takes no element weight",
        ),
        (run(&bce, input().target(target).weight(&data), loss), "class weight"),
        (run(&gaussian, input().target(target), loss), "gaussian_nll needs var"),
        (run(&gaussian, input().target(target).var(tensor(4, &[4])), loss), "var has shape [4]"),
        (run(&gaussian, input().target(target).var(tensor(4, &[2, 2])), loss), "var has shape"),
        (run(&bce, input().target(target), loss.with_target_grad()), "target_grad"),
        (run(&kl, input().target(target), loss.with_var_grad()), "var_grad"),
        (run(&kl, input().target(tensor(4, &[4])), loss.with_target_grad()), "target_grad"),
        (run(&kl, input().target(target), loss.with_log_probs()), "class axis"),
        (run(&gaussian.clone().eps(0.0), input().target(target).var(target), loss), "eps is 0"),
        (run(&gaussian.eps(NAN), input().target(target).var(target), loss), "eps is NaN"),
        (run(&PoissonNll::new().eps(-1.0), input().target(target), loss), "eps is -1"),
        (
            run(&wgpu_loss::Nll::new(), input().labels(&[0u8; 3], &[3]).var(target), loss),
            "nll takes no var",
        ),
        (
            run(&wgpu_loss::CrossEntropy::new(), input().target(target), loss),
            "cross_entropy expects labels",
        ),
        (run(&wgpu_loss::Softmax::probs(), input(), loss.with_target_grad()), "target_grad"),
    ] {
        assert!(message.contains(wanted), "{message:?} without {wanted:?}");
    }
}

/// The gradient of variances is a sum over the elements that share each, of which an empty input has none.
#[test]
fn the_gradient_of_shared_variances_of_nothing_is_zero() {
    let outputs = Outputs::loss().with_grad().with_var_grad();
    let kind = Kind::Gaussian { full: false };
    for gpu in gpus() {
        for element_type in [ElementType::F32, ElementType::F16, ElementType::BF16] {
            for (input, var) in [
                (&[0, 3][..], &[1, 3][..]),
                (&[0, 3], &[1, 1]),
                (&[0, 3], &[]),
                (&[0, 3], &[0, 1]),
                (&[5, 0], &[5, 1]),
                (&[5, 0], &[5]),
                (&[0, 700], &[1, 700]),
            ] {
                let types = Types { others: element_type, ..Types::F32 };
                let points = Points::random(kind, input, types).var_in(var);
                let what = format!("{input:?} and {var:?} of {element_type:?} on {}", gpu.name);
                let wanted = vec![0.0; var.iter().product()];
                let truth = points.truth(Reduction::Sum, outputs);
                assert_eq!(truth.var_grad.unwrap().len(), wanted.len(), "{what}");
                let host = points.on(gpu, Reduction::Sum, outputs);
                assert_eq!((host.loss[0], host.var_grad), (0.0, Some(wanted.clone())), "{what}");
                for lead in [0, 1] {
                    let place = Place { lead, ..Place::default() };
                    let (bound, ..) =
                        bound_points::run(gpu, &points, Reduction::Sum, outputs, place);
                    assert_eq!(
                        (bound.loss[0], bound.var_grad),
                        (0.0, Some(wanted.clone())),
                        "{what}"
                    );
                }
            }
        }
    }
}
