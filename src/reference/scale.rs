//! The factors of gradients.

use crate::loss::Upstream;
use crate::{Floats, Inputs, Problem};

/// Returns the factor of a reduced loss's gradient: the upstream gradient over the divisor.
pub(crate) fn gradient_scale(upstream: f64, divisor: f64) -> f64 {
    // The gradient of a mean over nothing is 0.
    if divisor == 0.0 { 0.0 } else { upstream / divisor }
}

/// The factor of the gradient of a row's loss: the upstream gradient over the divisor.
pub(super) enum Scale<'a> {
    /// The same for every row.
    Same(f64),
    /// The row's upstream gradient, undivided.
    PerRow(Floats<'a>),
}

impl<'a> Scale<'a> {
    /// Returns each row's own factor, if there is an upstream gradient per row, and `scale` for all rows otherwise.
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
