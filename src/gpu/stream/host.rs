//! Copies between a piece and the host's tensors.

use std::borrow::Cow;
use std::ops::Range;

use crate::gpu::parallel_copy::fill;
use crate::stream::{RowRange, Sink};
use crate::tensor::{Axes, TensorSlot};
use crate::{Error, Inputs, Problem};

/// Returns the host bytes of an input.
pub(in crate::gpu) fn host_bytes<'a>(slot: TensorSlot, inputs: &Inputs<'a>) -> Option<&'a [u8]> {
    match slot {
        TensorSlot::Logits => Some(inputs.input.data.bytes()),
        TensorSlot::Target => match (inputs.labels, inputs.probabilities) {
            (Some((labels, _)), _) => Some(labels.bytes()),
            (None, probabilities) => probabilities.or(inputs.target).map(|p| p.data.bytes()),
        },
        TensorSlot::ElementWeight => inputs.element_weight.map(|w| w.data.bytes()),
        TensorSlot::PosWeight => inputs.pos_weight.map(|w| w.data.bytes()),
        TensorSlot::Variance => inputs.var.map(|v| v.data.bytes()),
        TensorSlot::Weight => inputs.weight.map(|w| w.bytes()),
        TensorSlot::RowWeights => inputs.row_weights.map(|w| w.data.bytes()),
        TensorSlot::Upstream => inputs.upstream.map(|u| u.data.bytes()),
        TensorSlot::GivenStates => inputs.states.map(|(words, _)| bytemuck::cast_slice(words)),
        TensorSlot::Params | TensorSlot::Workspace | TensorSlot::Result => None,
        TensorSlot::RowLoss
        | TensorSlot::Grad
        | TensorSlot::Distribution
        | TensorSlot::Record
        | TensorSlot::States
        | TensorSlot::Classes => None,
        TensorSlot::TargetGrad | TensorSlot::VarianceGrad => None,
    }
}

/// Copies a piece of a tensor into mapped memory and returns its number of bytes.
pub(super) fn gather(
    slot: TensorSlot,
    problem: &Problem,
    inputs: &Inputs<'_>,
    piece: &RowRange,
    mut to: wgpu::WriteOnly<'_, [u8]>,
) -> u64 {
    let (Some(tensor), Some(bytes)) = (problem.tensor(slot), host_bytes(slot, inputs)) else {
        return 0;
    };
    let mut done = 0;
    for run in piece.runs(&problem.view, tensor.axes, tensor.element_bytes) {
        let run = &bytes[run.start as usize..run.end as usize];
        fill(to.slice(done..done + run.len()), run);
        done += run.len();
    }
    done as u64
}

/// Returns the bytes of some classes of the one row of a piece, or of its one element of a tensor without classes; all
/// bytes of a tensor that all rows share.
pub(super) fn row_bytes<'a>(
    slot: TensorSlot,
    problem: &Problem,
    inputs: &Inputs<'a>,
    row: &RowRange,
    classes: Range<usize>,
) -> Cow<'a, [u8]> {
    let (Some(tensor), Some(bytes)) = (problem.tensor(slot), host_bytes(slot, inputs)) else {
        return Cow::Borrowed(&[]);
    };
    let size = tensor.element_bytes as usize;
    if tensor.axes == Axes::One {
        return Cow::Borrowed(&bytes[..tensor.elements as usize * size]);
    }
    let at = |class| tensor.offset([row.outer.start, class, row.inner.start]) as usize;
    let classes = if tensor.has_classes() { classes } else { 0..1 };
    let [_, _, inner] = tensor.axes.extents(&problem.view);
    if inner == 1 || !tensor.has_classes() {
        return Cow::Borrowed(&bytes[at(classes.start)..][..classes.len() * size]);
    }
    let element = |class| &bytes[at(class)..][..size];
    Cow::Owned(classes.flat_map(element).copied().collect())
}

/// Passes the words of a piece's records to a sink, each output by itself.
pub(super) fn scatter_records(
    problem: &Problem,
    rows_before: u64,
    piece: &RowRange,
    from: &[u8],
    sink: &mut (impl Sink + ?Sized),
) -> Result<u64, Error> {
    let record = problem.record();
    let rows = piece.outer.len() * piece.inner.len();
    let first = rows_before + piece.first_row(&problem.view);
    let mut column = vec![0; 4 * rows];
    for (number, &what) in record.iter().enumerate() {
        let words = from[4 * number..].chunks(4 * record.len());
        for (place, word) in column.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word[..4]);
        }
        sink.write(what, 4 * first, &column)?;
    }
    Ok((column.len() * record.len()) as u64)
}
