//! What the pieces of a call have given so far.

use super::host::scatter_records;
use super::lane::Piece;
use super::merge::{add, of_piece};
use super::ring::Outputs;
use crate::Error;
use crate::bound::Decoded;
use crate::call::Timing;
use crate::classes::class_losses;
use crate::partial::Found;
use crate::stream::{Progress, Sink, VarianceSums, scatter, shared_variance};
use crate::tensor::TensorSlot;

/// Sums and progress. Large outputs are passed to a sink.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub found: Found,
    pub variance: VarianceSums,
    pub progress: Progress,
    pub timing: Timing,
}

impl Results {
    /// Takes the results of a piece.
    pub fn take(
        &mut self,
        piece: &Piece,
        decoded: &Decoded,
        outputs: &Outputs<'_>,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Piece { batch, rows, uploaded, .. } = piece;
        let (problem, before) = (&batch.problem, batch.rows_before);
        let sums = of_piece(problem, decoded, rows, before);
        let of_rows = outputs.tensors().find(|(slot, _)| *slot == TensorSlot::RowLoss);
        add(&mut self.found, &sums, of_rows.map(|(_, bytes)| bytes));
        let shared_variance = shared_variance(problem);
        for (slot, bytes) in outputs.tensors() {
            match (slot, shared_variance) {
                (TensorSlot::Classes, _) => self.found.classes.add(&class_losses(bytes)?),
                (TensorSlot::VarianceGrad, Some(var)) => {
                    let parts = bytes
                        .chunks_exact(4)
                        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into());
                    self.progress.bytes += 4 * self.variance.add(var, problem, rows, parts);
                }
                (TensorSlot::Record, _) => {
                    self.progress.bytes += scatter_records(problem, before, rows, bytes, sink)?;
                }
                _ => self.progress.bytes += scatter(slot, problem, before, rows, bytes, sink)?,
            }
        }
        self.progress.rows += decoded.summary.rows;
        self.progress.bytes += uploaded;
        Ok(())
    }
}
