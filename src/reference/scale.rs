//! What gradients are multiplied by.

use crate::loss::Upstream;
use crate::{Floats, Inputs, Problem};

/// Returns what the gradient of a reduced loss is multiplied by: the upstream gradient over the divisor.
pub(crate) fn gradient_scale(upstream: f64, divisor: f64) -> f64 {
    // A mean over nothing moves nothing.
    if divisor == 0.0 { 0.0 } else { upstream / divisor }
}

/// What the gradient of a row's loss is multiplied by: the upstream gradient over the divisor.
pub(super) enum Scale<'a> {
    /// The same for every row.
    Same(f64),
    /// The row's upstream gradient, undivided.
    PerRow(Floats<'a>),
}

impl<'a> Scale<'a> {
    /// Takes what is given for each row, and `scale` for all of them otherwise.
    pub fn new(problem: &Problem, inputs: &Inputs<'a>, scale: f64) -> Self {
        match inputs.upstream {
            Some(upstream) if problem.upstream == Upstream::PerRow => Scale::PerRow(upstream.data),
            _ => Scale::Same(scale),
        }
    }

    pub fn of(&self, row: usize) -> f64 {
        match self {
            Scale::Same(scale) => *scale,
            Scale::PerRow(upstream) => f64::from(upstream.get(row)),
        }
    }
}
