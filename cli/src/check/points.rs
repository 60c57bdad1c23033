//! Allowed errors of losses of single elements and of their gradients, beyond a share of
//! themselves.
//!
//! With input `x`, target `t`, weights `w` and `p`, variance `u` (at least `eps`), and half a unit `h` in the last
//! place of an f32, a loss or a gradient has an error of a few `h` of each term of its sum, and the error of its powers
//! (`8 + 2.5 d` units of `e^-d`):
//!
//! ```text
//!                   loss                                   gradients
//! bce-with-logits   w (p |t| log(1 + e^-x)                 w (|1 - t| s(x) + p |t| s(-x)),  s the sigmoid
//!                      + |1 - t| log(1 + e^x))
//! kl-div            |t| of (log t - x)                     of t: log t - x, + 1
//! gaussian-nll      (|log u| + (x - t)^2 / u) / 2          of v: (1 + (x - t)^2 / u) / (2 u)
//! poisson-nll       e^x + |t x|, or |x| + |t log x|        t |e^d - 1| and h t, or |x - t| / x
//!   full, t > 1     t (e^d - 1 - d) + log(2 pi t) / 2, and h t |e^d - 1|,  d = x - log t or log(x / t)
//! ```
//!
//! Where `log t - x` is near 0 both of its parts are exact, and its error is a few `h` and no more. A loss that is not
//! listed is a product, or a sum of positive terms, and compared relative to itself.

use wgpu_loss::Tensor;
use wgpu_loss::reference::Piece;

use super::comparison::{REDUCED, UNIT, of_power};
use super::terms::{Lost, scales};
use crate::formula::Formula;

/// Half a unit in the last place of an f32.
const HALF: f64 = UNIT / 2.0;
/// The error of a few roundings and a logarithm.
const FEW: f64 = 12.0 * HALF;

/// The allowed error of an element's number, and the size of its terms.
#[derive(Clone, Copy, Debug, Default)]
struct Term {
    size: f64,
    off: f64,
}

impl Term {
    /// Makes a term that has an error of a few roundings.
    fn of(size: f64) -> Self {
        Self { size, off: FEW * size }
    }

    fn and(self, off: f64) -> Self {
        Self { off: self.off + off, ..self }
    }
}

/// The terms of one element: loss, gradient, target's gradient, variance's gradient.
type Terms = [Term; 4];

/// Returns the allowed errors of the numbers of a piece. That of the variance's gradient is added
/// to `variance`.
pub fn lost(formula: &Formula, piece: &Piece<'_>, variance: &mut Vec<f64>) -> Lost {
    let inputs = piece.inputs;
    let (shape, input) = (inputs.input.shape, Some(inputs.input));
    let (target, var) = (inputs.target, inputs.var);
    let (weight, pos_weight) = (inputs.element_weight, inputs.pos_weight);
    variance.clear();
    variance.resize(var.map_or(0, |var| var.data.len()), 0.0);
    let mut lost = Lost::default();
    for (i, &scale) in scales(piece).iter().enumerate() {
        let at = |operand: Option<Tensor<'_>>, other: f64| {
            operand.map_or(other, |all| all.data.get(index(all.shape, i, shape)).into())
        };
        let (x, t, v) = (at(input, 0.0), at(target, 0.0), at(var, 0.0));
        let (w, p) = (at(weight, 1.0), at(pos_weight, 1.0));
        let terms = terms(formula, x, t, [w, p, v]);
        let number = |x: f64| if x.is_nan() { 0.0 } else { x };
        let [loss, grad, target_grad, var_grad] =
            terms.map(|Term { size, off }| Term { size: number(size), off: number(off) });
        lost.loss.push(loss.off);
        lost.sizes += loss.size;
        // The gradients are scaled when they are f32 already.
        let over = grad.size > f64::from(f32::MAX);
        lost.grad.push(if over { f64::INFINITY } else { scale * grad.off });
        lost.target_grad.push(scale * target_grad.off);
        if let Some(var) = &var {
            // The gradient is a sum over all elements that share the variance.
            variance[index(var.shape, i, shape)] +=
                scale * (var_grad.off + REDUCED * var_grad.size);
        }
    }
    lost
}

fn terms(formula: &Formula, x: f64, t: f64, [w, p, v]: [f64; 3]) -> Terms {
    let none = Term::default();
    match *formula {
        Formula::BceWithLogits(_) => {
            let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
            let sigmoid = |x: f64| (-softplus(-x)).exp();
            let (positive, negative) = ((w * p * t).abs(), (w * (1.0 - t)).abs());
            let power = (positive + negative) * of_power(-x.abs());
            let loss = Term::of(positive * softplus(-x) + negative * softplus(x));
            let grad = Term::of(negative * sigmoid(x) + positive * sigmoid(-x));
            [loss.and(power), grad.and(power), none, none]
        }
        Formula::KlDiv { log_target, .. } => {
            let (q, log_q) = if log_target { (t.exp(), t) } else { (t.abs(), t.ln()) };
            if q == 0.0 {
                return [none; 4];
            }
            let apart = (log_q - x).abs();
            let power = if log_target { of_power(t) } else { 0.0 };
            let few = if log_target { 0.0 } else { 4.0 * HALF };
            let factor = if log_target { q } else { 1.0 };
            let loss = Term::of(q * apart).and(q * few + apart * power);
            let grad = Term::default().and(power);
            let target = Term::of(factor * (apart + 1.0)).and(factor * few + power * (apart + 1.0));
            [loss, grad, target, none]
        }
        Formula::GaussianNll { eps, .. } => {
            let u = v.max(eps.into());
            let square = (x - t).powi(2) / u;
            let var = Term::of((1.0 + square) / (2.0 * u));
            [Term::of((u.ln().abs() + square) / 2.0 + 1.0), none, none, var]
        }
        Formula::PoissonNll { log_input, full, eps, .. } => {
            let eps = if log_input { 0.0 } else { f64::from(eps) };
            poisson(x, t, eps, log_input, full && t > 1.0)
        }
        _ => [none; 4],
    }
}

/// Returns the terms of Poisson's loss, with Stirling's terms or without.
fn poisson(x: f64, t: f64, eps: f64, log_input: bool, stirling: bool) -> Terms {
    let none = Term::default();
    let rate = if log_input { x.exp() } else { x + eps };
    let d = if log_input { x - t.ln() } else { (rate / t).ln() };
    let loss = match (stirling, log_input) {
        (true, _) => {
            let beyond = (rate - t).abs();
            let size = t * (d.exp_m1() - d) + (7.0 * t).ln() + eps;
            let power = if log_input && d.abs() > 1.0 { t * of_power(d) } else { 0.0 };
            Term::of(size).and(UNIT * beyond * (1.0 + d.abs()) + power)
        }
        (false, true) => Term::of(rate + (t * x).abs()).and(of_power(x)),
        (false, false) => Term::of(x.abs() + (t * rate.ln()).abs()),
    };
    let grad = match log_input {
        true if t > 0.0 && d.abs() <= 1.0 => Term::default().and(UNIT * rate),
        true => Term::of(rate + t.abs()).and(of_power(x)),
        // The error of x - t if eps is lost against it.
        false => Term::default().and(eps.min(UNIT * x.abs().max(t.abs())) / rate.abs()),
    };
    [loss, grad, none, none]
}

/// Returns the index of a broadcast tensor's element that belongs to an element of the input of shape `input`.
fn index(own: &[usize], element: usize, input: &[usize]) -> usize {
    if own == input {
        return element;
    }
    let (mut rest, mut index, mut stride) = (element, 0, 1);
    for (&extent, &own) in input.iter().rev().zip(own.iter().rev()) {
        if own != 1 {
            index += rest % extent * stride;
        }
        stride *= own;
        rest /= extent;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_indices() {
        let index = |shape: &[usize], element| index(shape, element, &[2, 3, 4]);
        // Element 17 is [1, 1, 1].
        assert_eq!(index(&[2, 3, 4], 17), 17);
        assert_eq!(index(&[4], 17), 1);
        assert_eq!(index(&[3, 1], 17), 1);
        assert_eq!(index(&[2, 1, 4], 17), 5);
        assert_eq!(index(&[1, 1, 1], 17), 0);
        assert_eq!(index(&[], 17), 0);
        assert_eq!(index(&[2, 1, 1], 17), 1);
    }
}
