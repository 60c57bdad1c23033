//! The terms that losses of single elements and their gradients are differences of.
//!
//! With input `x`, target `t`, weights `w` and `p`, and variance `u`, not below its least:
//!
//! ```text
//!                   loss                                   gradients
//! bce-with-logits   w (p |t| log(1 + e^-x)                 w (|1 - t| s(x) + p |t| s(-x)),  s the sigmoid
//!                      + |1 - t| log(1 + e^x))
//! kl-div            |t| (|log t| + |x|)                    of t: |log t| + |x| + 1
//! gaussian-nll      (|log u| + (x - t)^2 / u) / 2          of v: (1 + (x - t)^2 / u) / (2 u)
//! poisson-nll       e^x + |t x|, or |x| + |t log x|        e^x + |t|, or 1 + |t / x|
//! ```
//!
//! What is not here is a product, or a sum of positive terms, and measured against itself. Where a power is among the
//! terms, `e^x`, or `e^-|x|` of logits, so far from 1 that it may be off by more than the tolerance, they count for as
//! much more.

use wgpu_loss::Floats;

use super::comparison::{ELEMENT, of_power};
use crate::data::{Cut, Role, Steps};
use crate::error::Failure;
use crate::formula::Formula;
use crate::twin::{Piece, Question};

/// The sizes of the terms of each element of a piece.
#[derive(Debug, Default)]
pub struct Floors {
    /// Of the losses.
    pub loss: Vec<f64>,
    /// What the powers of all losses may be off by together.
    pub powers: f64,
    /// Of the gradient.
    pub grad: Vec<f64>,
    /// Of the target's gradient.
    pub target_grad: Vec<f64>,
    /// Of the variance's gradient, summed over the elements that share a variance.
    pub var_grad: Vec<f64>,
}

/// Those of one element: loss, gradient, target's gradient, variance's gradient.
type Sizes = [f64; 4];

impl Floors {
    /// Of a piece. `scales` are what the elements' gradients are multiplied by.
    pub fn of(question: &Question<'_>, piece: &Piece<'_>, scales: &[f64]) -> Result<Self, Failure> {
        let problem = question.problem;
        let cut = Cut::of(problem);
        let count = piece.output.summary.rows as usize;
        let first = piece.row / cut.rows.max(1);
        let steps = question.data.steps(problem, first..first + count / cut.rows.max(1))?;
        let operand = |role| Operand::of(&steps, role);
        let Some(input) = operand(Role::Input) else { return Ok(Floors::default()) };
        let (target, var) = (operand(Role::Values), operand(Role::Var));
        let (weight, pos_weight) = (operand(Role::ElementWeight), operand(Role::PosWeight));
        let mut floors = Floors::default();
        floors.var_grad.resize(var.as_ref().map_or(0, |var| var.floats.len()), 0.0);
        let shape = input.shape;
        for (i, &scale) in scales.iter().enumerate().take(count) {
            let at = |operand: &Option<Operand<'_>>, other: f64| {
                operand.as_ref().map_or(other, |operand| operand.at(i, shape))
            };
            let (x, t, v) = (at(&Some(input), 0.0), at(&target, 0.0), at(&var, 0.0));
            let (w, p) = (at(&weight, 1.0), at(&pos_weight, 1.0));
            let number = |size: f64| if size.is_nan() { 0.0 } else { size };
            let sizes = sizes(question.formula, x, t, [w, p, v]).map(number);
            let power = number(power(question.formula, x, t, [w, p]));
            floors.powers += power;
            let [loss, grad, target_grad] = [0, 1, 2].map(|i| sizes[i].max(power / ELEMENT));
            let var_grad = sizes[3];
            floors.loss.push(loss);
            // They are scaled when they are f32 already.
            let grad = if grad > f64::from(f32::MAX) { f64::INFINITY } else { scale * grad };
            floors.grad.push(grad);
            floors.target_grad.push(scale * target_grad);
            if let Some(var) = &var {
                floors.var_grad[var.index(i, shape)] += scale * var_grad;
            }
        }
        Ok(floors)
    }
}

/// What the power among an element's terms may be off by.
fn power(formula: &Formula, x: f64, t: f64, [w, p]: [f64; 2]) -> f64 {
    match *formula {
        Formula::BceWithLogits(_) => {
            w.abs() * ((p * t).abs() + (1.0 - t).abs()) * of_power(-x.abs())
        }
        // Its slope is multiplied by log-probabilities.
        Formula::KlDiv { log_target: true, .. } => (t.abs() + x.abs() + 1.0) * of_power(t),
        Formula::PoissonNll { log_input: true, .. } => of_power(x),
        _ => 0.0,
    }
}

fn sizes(formula: &Formula, x: f64, t: f64, [w, p, v]: [f64; 3]) -> Sizes {
    match *formula {
        Formula::BceWithLogits(_) => {
            let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
            let sigmoid = |x: f64| (-softplus(-x)).exp();
            let (positive, negative) = ((w * p * t).abs(), (w * (1.0 - t)).abs());
            let loss = positive * softplus(-x) + negative * softplus(x);
            [loss, negative * sigmoid(x) + positive * sigmoid(-x), 0.0, 0.0]
        }
        Formula::KlDiv { log_target: false, .. } => {
            let size = t.ln().abs() + x.abs();
            [t.abs() * size, 0.0, size + 1.0, 0.0]
        }
        Formula::KlDiv { log_target: true, .. } => {
            let (size, t) = (t.abs() + x.abs(), t.exp());
            [t * size, 0.0, t * (size + 1.0), 0.0]
        }
        Formula::GaussianNll { eps, .. } => {
            let u = v.max(eps.into());
            let square = (x - t).powi(2) / u;
            [(u.ln().abs() + square) / 2.0, 0.0, 0.0, (1.0 + square) / (2.0 * u)]
        }
        Formula::PoissonNll { log_input, full, eps, .. } => {
            let stirling = t * t.ln() + t + (2.0 * std::f64::consts::PI * t).ln().abs() / 2.0;
            let stirling = if full && t > 1.0 { stirling } else { 0.0 };
            let [loss, grad] = match log_input {
                true => [x.exp() + (t * x).abs(), x.exp() + t.abs()],
                false => {
                    let rate = x + f64::from(eps);
                    [x.abs() + (t * rate.ln()).abs(), 1.0 + (t / rate).abs()]
                }
            };
            [loss + stirling, grad, 0.0, 0.0]
        }
        _ => [0.0; 4],
    }
}

/// A tensor that is broadcast.
#[derive(Clone, Copy)]
struct Operand<'a> {
    floats: Floats<'a>,
    shape: &'a [usize],
}

impl<'a> Operand<'a> {
    fn of(steps: &'a Steps<'_>, role: Role) -> Option<Self> {
        steps.floats(role).map(|(floats, shape)| Self { floats, shape })
    }

    fn at(&self, element: usize, shape: &[usize]) -> f64 {
        f64::from(self.floats.get(self.index(element, shape)))
    }

    /// The index that belongs to an element of the input, whose shape is given.
    fn index(&self, element: usize, shape: &[usize]) -> usize {
        if self.shape == shape {
            return element;
        }
        let (mut rest, mut index, mut stride) = (element, 0, 1);
        for (&extent, &own) in shape.iter().rev().zip(self.shape.iter().rev()) {
            if own != 1 {
                index += rest % extent * stride;
            }
            stride *= own;
            rest /= extent;
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_indices() {
        let index = |shape: &[usize], element| {
            let operand = Operand { floats: Floats::F32(&[]), shape };
            operand.index(element, &[2, 3, 4])
        };
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
