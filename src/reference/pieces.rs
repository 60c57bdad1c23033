//! Computes batches in pieces, one after another.

use super::piece::{Parts, Piece, Place};
use super::{Sums, compute};
use crate::partial::Found;
use crate::stream::{Cut, outer_bytes};
use crate::{Error, Inputs, Problem, Reduction};

/// Bytes of the tensors of a piece in all: about 4 Mi logits, enough for all cores.
const PIECE_BYTES: u64 = 16 << 20;

/// The sums over the pieces of all batches so far.
pub(super) struct Pieces {
    pub found: Found,
    /// Rows of the batches so far.
    rows: u64,
    /// Approximate bytes of the tensors of a piece in all.
    pub bytes: u64,
}

impl Pieces {
    pub fn new() -> Self {
        Self { found: Found::default(), rows: 0, bytes: PIECE_BYTES }
    }

    /// Computes a batch, whose gradient is multiplied by `scale`, and passes each piece to `take`.
    pub fn push(
        &mut self,
        batch: &Problem,
        inputs: &Inputs<'_>,
        scale: f64,
        mut take: impl FnMut(&Piece<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let rows = batch.losses();
        if rows > 0 && outer_bytes(batch) == 0 {
            // Distributions over no classes: there is nothing to read or write.
            self.found.add(&Sums::empty_rows(rows));
        } else if rows > 0 {
            for rows in Cut::about(batch, self.bytes).pieces() {
                let problem = &rows.problem(batch);
                let parts = Parts::of(batch, inputs, problem, &rows)?;
                let inputs = &parts.inputs();
                let output = &compute(problem, inputs, scale)?;
                let place = Place { batch, rows: &rows, rows_before: self.rows };
                let piece = Piece { problem, inputs, output, scale, place };
                self.add(&piece);
                take(&piece)?;
            }
        }
        self.rows += rows as u64;
        Ok(())
    }

    fn add(&mut self, piece: &Piece<'_>) {
        let sums = piece.sums();
        match piece.problem.reduction {
            Reduction::None => self.found.add_rows(&sums, piece.output.loss.iter().copied()),
            _ => self.found.add(&sums),
        }
        if let Some(of_piece) = &piece.output.classes {
            self.found.classes.add(of_piece);
        }
    }
}
