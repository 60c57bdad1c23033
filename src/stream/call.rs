//! The common part of calls on complete data, and the results of calls and streams.

use crate::call::Summary;
use crate::loss::{Divisor, Upstream};
use crate::partial::{Found, Partial};
use crate::reference::{gradient_scale, weight_sums};
use crate::{Error, Inputs, Output, Problem};

/// A call on complete data, whose divisor is known before its gradient is computed.
pub(crate) struct Call {
    pub problem: Problem,
    /// The factor of the gradient.
    pub scale: f64,
    /// The sum of the weights of live rows, if it was computed.
    weight: Option<f64>,
}

impl Call {
    /// Computes the divisor from labels and weights, if a gradient needs it.
    ///
    /// # Errors
    /// [`Error::BadTargets`], if it reads labels.
    pub fn new(mut problem: Problem, inputs: &Inputs<'_>) -> Result<Self, Error> {
        let mut weight = None;
        // The gradient of the first piece needs the weights of all rows. Of shards, some may compute no gradient, and all
        // have the same loss.
        let early = problem.outputs.grad || problem.states.is_some() && !problem.outputs.states;
        if early && problem.divisor == Divisor::RowWeights {
            let seen = weight_sums(&problem, inputs).summary;
            seen.check_labels(&problem)?;
            problem.divisor = Divisor::Known(seen.weight);
            weight = Some(seen.weight);
        }
        let scale = match problem.divisor {
            Divisor::Known(divisor) => gradient_scale(upstream_of(&problem, inputs), divisor),
            Divisor::RowWeights => 1.0,
        };
        Ok(Self { problem, scale, weight })
    }

    /// Sets a summary's weight to the gradient's divisor: sums of the same weights differ by their order.
    pub fn set_weight(&self, summary: &mut Summary) {
        summary.weight = self.weight.unwrap_or(summary.weight);
    }

    /// Returns the output, without large outputs, of what was found.
    ///
    /// # Errors
    /// Bad labels and values.
    pub fn output(&self, found: Found) -> Result<Output<f64>, Error> {
        let mut output =
            Partial::new(&self.problem, self.weight, found).output_of(&self.problem)?;
        self.set_weight(&mut output.summary);
        Ok(output)
    }
}

/// Returns the gradient with respect to the reduced loss.
pub(crate) fn upstream_of(problem: &Problem, inputs: &Inputs<'_>) -> f64 {
    match (problem.upstream, inputs.upstream) {
        (Upstream::Scalar, Some(upstream)) => upstream.data.iter().map(f64::from).sum(),
        _ => 1.0,
    }
}
