//! The losses of single elements: each formula in f64, as documented at its loss.
//!
//! Values that are not finite follow three rules. A NaN anywhere gives NaN. An infinite input, and a target of
//! log-probability `-inf`, give limits; every other infinity gives NaN. A factor of 0 times an infinity is 0.

use super::scale::Scale;
use super::sum::Sum;
use super::sums::{Live, Seen};
use super::walk::{fill_elements, repeated, sum_rows};
use super::weights::weighed;
use crate::call::BadValue;
use crate::loss::{Formula, Operand, Pointwise};
use crate::{ClassView, Error, Floats, Inputs, Output, Problem, Reduction, TargetType};

/// Computes the loss of every element, and its gradients.
pub(super) fn run(
    problem: &Problem,
    inputs: &Inputs<'_>,
    scale: &Scale<'_>,
) -> Result<Output<f64>, Error> {
    let elements = Elements::new(problem, inputs)?;
    let count = problem.losses();
    let flat = ClassView { outer: count, classes: 1, inner: 1 };
    let unreduced = problem.reduction == Reduction::None;
    let mut losses = repeated("loss", 0.0, if unreduced { count } else { 0 })?;
    let sums = sum_rows(&flat, None, &mut losses, &mut [], |element, _| {
        let point = elements.at(element);
        let seen = match point.refused {
            Some((what, value)) => {
                Seen::BadValue(BadValue { position: element as u64, what, value })
            }
            None => Seen::Live(Live {
                loss: point.loss,
                weight: 1.0,
                nan: point.loss.is_nan(),
                ..Live::default()
            }),
        };
        (seen, ())
    });
    let outputs = problem.outputs;
    let gradient = |what, of: fn(&Point) -> f64| {
        fill_elements(what, &flat, |element, _, _| of(&elements.at(element)) * scale.of(element))
    };
    let grad = outputs.grad.then(|| gradient("gradient", |point| point.grad));
    let target_grad = outputs.target_grad.then(|| gradient("target gradient", |p| p.target_grad));
    let var_grad = match elements.pointwise.var {
        Some(var) if outputs.var_grad => {
            let whole = gradient("variance gradient", |point| point.var_grad)?;
            Some(summed(&whole, &var, &problem.view)?)
        }
        _ => None,
    };
    Ok(Output {
        loss: sums.reduce(problem, losses),
        grad: grad.transpose()?,
        target_grad: target_grad.transpose()?,
        var_grad,
        ..Output::nothing(problem.loss_shape(), sums.summary)
    })
}

/// Returns the sums over the elements that share an operand's element.
fn summed(whole: &[f64], operand: &Operand, view: &ClassView) -> Result<Vec<f64>, Error> {
    let mut sums = repeated("variance gradient", Sum::default(), operand.elements)?;
    for (element, &value) in whole.iter().enumerate() {
        sums[operand.axes.index(view, element)].add(value);
    }
    Ok(sums.into_iter().map(Sum::value).collect())
}

/// The input and its operands.
struct Elements<'a> {
    pointwise: Pointwise,
    view: ClassView,
    input: Floats<'a>,
    target: Floats<'a>,
    weight: Option<Floats<'a>>,
    pos_weight: Option<Floats<'a>>,
    var: Option<Floats<'a>>,
}

impl<'a> Elements<'a> {
    fn new(problem: &Problem, inputs: &Inputs<'a>) -> Result<Self, Error> {
        let (Some(pointwise), Some(target)) = (problem.pointwise, inputs.target) else {
            return Err(Error::Target {
                loss: "a loss of single elements",
                given: TargetType::described(None),
                wanted: "values for the elements (Inputs::target)",
            });
        };
        Ok(Self {
            pointwise,
            view: problem.view,
            input: inputs.input.data,
            target: target.data,
            weight: inputs.element_weight.map(|weight| weight.data),
            pos_weight: inputs.pos_weight.map(|weight| weight.data),
            var: inputs.var.map(|var| var.data),
        })
    }

    /// Returns the loss and the gradients of one element.
    fn at(&self, element: usize) -> Point {
        let Pointwise { formula, target, weight, pos_weight, var, eps, .. } = self.pointwise;
        let get = |floats: Option<Floats<'_>>, operand: Option<Operand>| match (floats, operand) {
            (Some(floats), Some(operand)) => floats.get(operand.axes.index(&self.view, element)),
            _ => 1.0,
        };
        let x = self.input.get(element);
        let t = get(Some(self.target), Some(target));
        let w = get(self.weight, weight);
        let p = get(self.pos_weight, pos_weight);
        let v = get(self.var, var);
        if let Some(refused) = refused(formula, x, t, v) {
            return Point { refused: Some(refused), ..Point::NAN };
        }
        let log_target = formula == Formula::KlDiv { log_target: true };
        let t_counts = t.is_finite() || (log_target && t == f32::NEG_INFINITY);
        if x.is_nan() || !t_counts || !(w * 0.0 + p * 0.0 + v * 0.0 == 0.0) {
            return Point::NAN;
        }
        let [x, t, w, p, v, eps] = [x, t, w, p, v, eps].map(f64::from);
        match formula {
            Formula::Bce => bce(x, t, w),
            Formula::BceWithLogits => bce_with_logits(x, t, w, p),
            Formula::KlDiv { log_target } => kl_div(x, t, log_target),
            Formula::GaussianNll { full } => gaussian_nll(x, t, v, eps, full),
            Formula::PoissonNll { log_input, full } => poisson_nll(x, t, eps, log_input, full),
        }
    }
}

/// An element's loss and gradients.
#[derive(Clone, Copy)]
struct Point {
    loss: f64,
    grad: f64,
    target_grad: f64,
    var_grad: f64,
    /// The value that the loss is not defined for, and its tensor.
    refused: Option<(&'static str, f32)>,
}

impl Point {
    const NAN: Point = Point {
        loss: f64::NAN,
        grad: f64::NAN,
        target_grad: f64::NAN,
        var_grad: f64::NAN,
        refused: None,
    };

    fn new(loss: f64, grad: f64) -> Self {
        Self { loss, grad, target_grad: 0.0, var_grad: 0.0, refused: None }
    }
}

fn refused(formula: Formula, x: f32, t: f32, v: f32) -> Option<(&'static str, f32)> {
    let outside = |value: f32| !value.is_nan() && !(0.0..=1.0).contains(&value);
    match formula {
        Formula::Bce if outside(x) => Some(("input", x)),
        Formula::Bce if outside(t) => Some(("target", t)),
        Formula::GaussianNll { .. } if v < 0.0 => Some(("var", v)),
        _ => None,
    }
}

/// The lower bound of `x (1 - x)`, in PyTorch an f32.
const LEAST_SPREAD: f64 = 1e-12_f32 as f64;

fn bce(x: f64, t: f64, w: f64) -> Point {
    let yes = x.ln().max(-100.0);
    let no = (-x).ln_1p().max(-100.0);
    Point::new(-w * (t * yes + (1.0 - t) * no), w * (x - t) / (x * (1.0 - x)).max(LEAST_SPREAD))
}

fn bce_with_logits(x: f64, t: f64, w: f64, p: f64) -> Point {
    let rest = (-x.abs()).exp();
    let [softplus, of_minus] = [x, -x].map(|x| x.max(0.0) + rest.ln_1p());
    let [sigmoid, minus] = [x, -x].map(|x| if x >= 0.0 { 1.0 } else { rest } / (1.0 + rest));
    let (yes, no) = (w * p * t, w * (1.0 - t));
    Point::new(weighed(yes, of_minus) + weighed(no, softplus), no * sigmoid - yes * minus)
}

fn kl_div(x: f64, t: f64, log_target: bool) -> Point {
    let (q, log_q) = if log_target { (t.exp(), t) } else { (t, t.ln()) };
    if t == if log_target { f64::NEG_INFINITY } else { 0.0 } {
        return Point::new(0.0, 0.0);
    }
    let slope = log_q - x + 1.0;
    let target_grad = if log_target { q * slope } else { slope };
    Point { target_grad, ..Point::new(q * (log_q - x), -q) }
}

fn gaussian_nll(x: f64, t: f64, v: f64, eps: f64, full: bool) -> Point {
    let u = v.max(eps);
    let slope = (x - t) / u;
    let square = slope * (x - t);
    let constant = if full { 0.5 * std::f64::consts::TAU.ln() } else { 0.0 };
    Point {
        target_grad: -slope,
        var_grad: (1.0 - square) / (2.0 * u),
        ..Point::new(0.5 * (u.ln() + square) + constant, slope)
    }
}

/// With `r = rate / t - 1`, the loss with Stirling's terms is `t (r - log(1 + r)) + log(2 pi t) / 2` (less `eps`, if
/// the input is the rate), and the gradient is a multiple of `rate - t`. Near the minimum this form keeps the digits
/// that would cancel in a difference with `t log t`.
fn poisson_nll(x: f64, t: f64, eps: f64, log_input: bool, full: bool) -> Point {
    // `beyond` is the rate less the count, and `log` the factor of the count in the loss. At an infinite input the
    // exponential, or the rate, outgrows the term that is subtracted.
    let (input, eps, beyond, log) = match log_input {
        true => (x.exp(), 0.0, x.exp() - t, x),
        false => (x, eps, (x - t) + eps, (x + eps).ln()),
    };
    let linear = if x == f64::INFINITY { 0.0 } else { weighed(t, log) };
    let r = beyond / t;
    let loss = if !full || t <= 1.0 {
        input - linear
    } else if r.abs() < 0.5 {
        t * less_log1p(r) - eps + half_log(t)
    } else {
        input - linear + (t * t.ln() - t) + half_log(t)
    };
    let grad = match log_input {
        true => beyond,
        false if t == 0.0 || x.is_infinite() => 1.0,
        false => beyond / (x + eps),
    };
    Point::new(loss, grad)
}

/// Returns `log(2 pi t) / 2`.
fn half_log(t: f64) -> f64 {
    0.5 * (std::f64::consts::TAU * t).ln()
}

/// Returns `r - log(1 + r)` for `|r| < 1/2`, to about 2^-50 of itself: with `z = r / (2 + r)`, at most 1/3 in size, it
/// is `r z - 2 (z^3 / 3 + z^5 / 5 + ...)`, and the sum in brackets is small compared with the first term.
fn less_log1p(r: f64) -> f64 {
    let z = r / (2.0 + r);
    let tail = (1..=16).rev().fold(0.0, |sum, k| z * z * (sum + 1.0 / f64::from(2 * k + 1)));
    z * (r - 2.0 * tail)
}
