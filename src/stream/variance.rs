//! The gradient with respect to variances that several elements share: each piece has a part of the sum, and the parts
//! are added in f64.

use super::cut::RowRange;
use super::sink::Sink;
use crate::loss::Operand;
use crate::tensor::{OwnedFloats, TensorSlot};
use crate::{Error, LargeOutput, Problem};

/// Returns the variances whose gradients are sums over elements of several pieces, if a problem has any.
pub(crate) fn shared_variance(problem: &Problem) -> Option<Operand> {
    let pointwise = problem.pointwise.filter(|pointwise| pointwise.sums_var())?;
    pointwise.var.filter(|_| problem.outputs.var_grad)
}

/// The sums of one batch.
#[derive(Debug, Default)]
pub(crate) struct VarianceSums {
    sums: Vec<f64>,
    /// The number of variances in earlier batches.
    before: u64,
}

impl VarianceSums {
    /// Allocates the sums of a batch.
    pub fn open(&mut self, problem: &Problem) -> Result<(), Error> {
        self.sums.clear();
        let Some(var) = shared_variance(problem) else { return Ok(()) };
        self.sums.try_reserve_exact(var.elements).map_err(|_| Error::Limit {
            what: TensorSlot::VarianceGrad.name(),
            limit: "memory in bytes",
            needed: 8 * var.elements as u64,
            allowed: isize::MAX as u64,
        })?;
        self.sums.resize(var.elements, 0.0);
        Ok(())
    }

    /// Adds a piece's sums and returns their number.
    pub fn add(
        &mut self,
        var: Operand,
        problem: &Problem,
        piece: &RowRange,
        parts: impl Iterator<Item = f64>,
    ) -> u64 {
        let (mut parts, mut count) = (parts, 0);
        for run in piece.runs(&problem.view, var.axes, 1) {
            let sums = &mut self.sums[run.start as usize..run.end as usize];
            // `sums` comes first: `zip` must not take a part for which there is no sum.
            for (sum, part) in sums.iter_mut().zip(&mut parts) {
                *sum += part;
                count += 1;
            }
        }
        count
    }

    /// Passes the sums to a sink, in the gradient's type.
    pub fn close(
        &mut self,
        problem: &Problem,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Some(pointwise) = problem.pointwise.filter(|_| !self.sums.is_empty()) else {
            return Ok(());
        };
        let numbers = OwnedFloats::rounded(pointwise.var_grad, &self.sums);
        let offset = self.before * u64::from(pointwise.var_grad.bytes());
        self.before += self.sums.len() as u64;
        sink.write(LargeOutput::VarGrad, offset, numbers.borrow().bytes())
    }
}
