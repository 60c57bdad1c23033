//! The host's side of a piece: tensors it is gathered from and scattered to.

use super::cut::Piece;
use super::{LargeOutput, Sink};
use crate::kernels::Slot;
use crate::plan::Extent;
use crate::tensor::ClassView;
use crate::{Error, Inputs, Problem};

/// The host bytes of an input.
pub(in crate::gpu) fn host_bytes<'a>(slot: Slot, inputs: &Inputs<'a>) -> Option<&'a [u8]> {
    match slot {
        Slot::Logits => Some(inputs.input.data.bytes()),
        Slot::Target => match (inputs.labels, inputs.probabilities) {
            (Some((labels, _)), _) => Some(labels.bytes()),
            (None, probabilities) => probabilities.map(|p| p.data.bytes()),
        },
        Slot::Weight => inputs.weight.map(|w| w.bytes()),
        Slot::Upstream => inputs.upstream.map(|u| u.data.bytes()),
        _ => None,
    }
}

/// Copies a piece of a tensor into mapped memory and tells how many bytes it had.
pub(super) fn gather(
    slot: Slot,
    problem: &Problem,
    inputs: &Inputs<'_>,
    piece: &Piece,
    mut to: wgpu::WriteOnly<'_, [u8]>,
) -> u64 {
    let Some(bytes) = host_bytes(slot, inputs) else { return 0 };
    let (classes, element_bytes) = kind(slot, problem);
    let mut done = 0;
    for run in piece.runs(&problem.view, classes, element_bytes) {
        let run = &bytes[run.start as usize..run.end as usize];
        to.slice(done..done + run.len()).copy_from_slice(run);
        done += run.len();
    }
    done as u64
}

/// Hands a piece of an output to a sink. `rows_before` are those of earlier batches.
pub(super) fn scatter(
    slot: Slot,
    problem: &Problem,
    rows_before: u64,
    piece: &Piece,
    from: &[u8],
    sink: &mut (impl Sink + ?Sized),
) -> Result<u64, Error> {
    let Some(what) = LargeOutput::of(slot) else { return Ok(0) };
    let (classes, element_bytes) = kind(slot, problem);
    let base = rows_before * classes as u64 * element_bytes;
    let mut done = 0;
    for run in piece.runs(&problem.view, classes, element_bytes) {
        let length = (run.end - run.start) as usize;
        if length > 0 {
            sink.write(what, base + run.start, &from[done..done + length])?;
        }
        done += length;
    }
    Ok(done as u64)
}

/// Elements of a slot's tensor for each row, and the bytes of one.
fn kind(slot: Slot, problem: &Problem) -> (usize, u64) {
    // One row of the tensor tells.
    let one = ClassView { outer: 1, inner: 1, ..problem.view };
    let extent = Extent::of(slot, &Problem { view: one, ..problem.clone() });
    let bytes = extent.outer_bytes().unwrap_or(0);
    ((bytes / extent.element_bytes) as usize, extent.element_bytes)
}
