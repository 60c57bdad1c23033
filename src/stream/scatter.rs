//! Passes pieces of outputs to a sink.

use super::cut::RowRange;
use super::sink::Sink;
use crate::tensor::TensorSlot;
use crate::{Error, LargeOutput, Problem};

/// Passes a piece of an output to a sink and returns its number of bytes. `rows_before` are the rows of earlier
/// batches.
pub(crate) fn scatter(
    slot: TensorSlot,
    problem: &Problem,
    rows_before: u64,
    piece: &RowRange,
    from: &[u8],
    sink: &mut (impl Sink + ?Sized),
) -> Result<u64, Error> {
    let (Some(tensor), Some(what)) = (problem.tensor(slot), LargeOutput::of(slot)) else {
        return Ok(0);
    };
    // Without classes, each element is a row.
    let of_row =
        if problem.pointwise.is_none() && tensor.has_classes() { problem.view.classes } else { 1 };
    let base = rows_before * of_row as u64 * tensor.element_bytes;
    let mut done = 0;
    for run in piece.runs(&problem.view, tensor.axes, tensor.element_bytes) {
        let length = (run.end - run.start) as usize;
        if length > 0 {
            sink.write(what, base + run.start, &from[done..done + length])?;
        }
        done += length;
    }
    Ok(done as u64)
}
