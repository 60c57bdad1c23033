//! A piece of a call: its tensors, and its results.

use std::ops::Range;

use super::Sums;
use crate::stream::{
    Progress, RowRange, Sink, VarianceSums, is_of_pieces, scatter, shared_variance,
};
use crate::tensor::{Axes, OwnedFloats, TensorSlot};
use crate::{
    ElementType, Error, Floats, Inputs, Labels, LargeOutput, Output, Problem, Reduction, RowColumn,
    Tensor,
};

/// A piece of a call in f64, as [`run_pieces`](super::run_pieces()) and
/// [`Stream::push_pieces`](super::Stream::push_pieces) pass it on.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, LargeOutput, Outputs, Tensor, reference};
///
/// // The largest element of the gradient, and its place in the whole tensor.
/// let logits = [0.0, 1.0, 0.0, -4.0, 5.0, 0.5];
/// let inputs = Inputs::new(Tensor::new(&logits, &[3, 2])).labels(&[1u8, 1, 0], &[3]);
/// let mut largest = (0.0, 0);
/// let outputs = Outputs::loss().with_grad();
/// reference::run_pieces(&CrossEntropy::new(), &inputs, outputs, |piece| {
///     let grad = piece.output.grad.as_deref().unwrap_or_default();
///     let places = piece.runs(LargeOutput::Grad).flatten();
///     for (x, place) in grad.iter().zip(places) {
///         if x.abs() > largest.0 {
///             largest = (x.abs(), place);
///         }
///     }
///     assert_eq!(piece.scale, 1.0 / 3.0);
///     Ok(())
/// })?;
/// assert_eq!(largest.1, 2);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[non_exhaustive]
pub struct Piece<'a> {
    /// The piece as a problem of its own: the sum over its rows, or their losses. Its [`view`](Problem::view) is the
    /// piece's.
    pub problem: &'a Problem,
    /// Its tensors. Their shapes are `(outer, classes, inner)`, with an extent of 1 along an axis that they lack.
    pub inputs: &'a Inputs<'a>,
    /// Its results. A reduced loss is the sum over the piece's rows, undivided. Gradients are those of the whole. The
    /// gradient of a variance that elements of other pieces share is the piece's part of a sum.
    pub output: &'a Output<f64>,
    /// The factor of gradients, unless rows have an upstream gradient of their own: the upstream gradient of the loss
    /// over the divisor.
    pub scale: f64,
    pub(super) place: Place<'a>,
}

/// The position of a piece in its batch and in the whole.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The problem of its batch.
    pub batch: &'a Problem,
    pub rows: &'a RowRange,
    /// Rows of earlier batches.
    pub rows_before: u64,
}

impl Piece<'_> {
    /// Returns the ranges of an output's elements in the whole tensor: one, or one for each class if the piece has only
    /// some positions of an image. The variance's gradient is counted from its batch's first variance.
    pub fn runs(&self, what: LargeOutput) -> impl Iterator<Item = Range<u64>> + use<> {
        let Place { batch, rows, rows_before } = self.place;
        let axes = batch.axes_of(what).unwrap_or(Axes::One);
        let base = match (what, axes) {
            (LargeOutput::VarGrad, _) => 0,
            (_, Axes::Elements) if batch.pointwise.is_none() => {
                rows_before * batch.view.classes as u64
            }
            _ => rows_before,
        };
        rows.runs(&batch.view, axes, 1).map(move |run| base + run.start..base + run.end)
    }

    /// Returns the sums over its rows, with positions in the whole.
    pub(super) fn sums(&self) -> Sums {
        let Place { batch, rows, rows_before } = self.place;
        let summary = rows.placed(batch, self.output.summary, rows_before);
        // Reduced losses are one number each.
        let sum = |losses: &[f64]| losses.iter().sum();
        let Output { loss, z_loss, .. } = self.output;
        Sums::new(sum(loss), sum(z_loss), summary)
    }

    /// Passes large outputs to a sink, and reports the progress of the call.
    pub(super) fn write(
        &self,
        variance: &mut VarianceSums,
        progress: &mut Progress,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Place { batch, rows, rows_before } = self.place;
        let output = self.output;
        let of_rows = batch.reduction == Reduction::None && !batch.outputs.states;
        let unreduced = |losses| Some(losses).filter(|_| of_rows);
        let distribution = output.log_probs.as_ref().or(output.probs.as_ref());
        for (slot, what, numbers) in [
            (TensorSlot::RowLoss, LargeOutput::RowLoss, unreduced(&output.loss)),
            (TensorSlot::Grad, LargeOutput::Grad, output.grad.as_ref()),
            (TensorSlot::Distribution, LargeOutput::Distribution, distribution),
            (TensorSlot::TargetGrad, LargeOutput::TargetGrad, output.target_grad.as_ref()),
            (TensorSlot::VarianceGrad, LargeOutput::VarGrad, output.var_grad.as_ref()),
        ] {
            let Some(numbers) = numbers else { continue };
            progress.bytes += match shared_variance(batch) {
                Some(var) if slot == TensorSlot::VarianceGrad => {
                    let parts = numbers.iter().copied();
                    variance.add(var, batch, rows, parts) * u64::from(var.element_type.bytes())
                }
                _ => {
                    let element_type = batch.float_type_of(what).unwrap_or(ElementType::F32);
                    let numbers = OwnedFloats::rounded(element_type, numbers);
                    let bytes = numbers.borrow().bytes();
                    scatter(slot, batch, rows_before, rows, bytes, sink)?
                }
            };
        }
        self.write_rows(progress, sink)?;
        self.write_states(progress, sink)?;
        let read = self.problem.tensors().filter(|tensor| !tensor.slot.is_output());
        progress.bytes += read.filter(is_of_pieces).map(|tensor| tensor.bytes()).sum::<u64>();
        progress.rows += output.summary.rows;
        sink.progress(progress)
    }

    /// Passes the rows' states to a sink.
    fn write_states(
        &self,
        progress: &mut Progress,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Place { batch, rows, rows_before } = self.place;
        let Some(states) = &self.output.states else { return Ok(()) };
        let bytes = bytemuck::cast_slice(states.words());
        progress.bytes += scatter(TensorSlot::States, batch, rows_before, rows, bytes, sink)?;
        Ok(())
    }

    /// Passes the requested outputs of each row to a sink.
    fn write_rows(
        &self,
        progress: &mut Progress,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Place { batch, rows, rows_before } = self.place;
        let offset = 4 * (rows_before + rows.first_row(&batch.view));
        let output = self.output;
        let of_z_loss =
            batch.z_loss != 0.0 && batch.reduction == Reduction::None && !batch.outputs.states;
        let z_losses = RowColumn::Numbers(&output.z_loss);
        let z_losses = of_z_loss.then_some((LargeOutput::ZLoss, z_losses));
        for (what, column) in output.rows.columns().chain(z_losses) {
            let numbers;
            let bytes = match column {
                RowColumn::Words(words) => bytemuck::cast_slice(words),
                RowColumn::Numbers(wide) => {
                    numbers = OwnedFloats::rounded(ElementType::F32, wide);
                    numbers.borrow().bytes()
                }
            };
            sink.write(what, offset, bytes)?;
            progress.bytes += bytes.len() as u64;
        }
        Ok(())
    }
}

/// The tensors of a piece: slices of the batch's, or copies if a piece's elements are not contiguous.
pub(super) struct Parts<'a> {
    input: Part<'a>,
    labels: Option<(Labels<'a>, [usize; 3])>,
    weight: Option<Floats<'a>>,
    probabilities: Option<Part<'a>>,
    row_weights: Option<Part<'a>>,
    target: Option<Part<'a>>,
    element_weight: Option<Part<'a>>,
    pos_weight: Option<Part<'a>>,
    var: Option<Part<'a>>,
    upstream: Option<Part<'a>>,
    states: Option<&'a [u32]>,
}

/// A piece's part of a tensor of floats.
struct Part<'a> {
    floats: PartFloats<'a>,
    shape: [usize; 3],
}

enum PartFloats<'a> {
    Slice(Floats<'a>),
    Copy(OwnedFloats),
}

impl Part<'_> {
    fn tensor(&self) -> Tensor<'_> {
        let floats = match &self.floats {
            PartFloats::Slice(floats) => *floats,
            PartFloats::Copy(floats) => floats.borrow(),
        };
        Tensor { data: floats, shape: &self.shape }
    }
}

impl<'a> Parts<'a> {
    /// Cuts the tensors of a batch. `piece` is the problem that the rows pose.
    pub fn of(
        batch: &Problem,
        inputs: &Inputs<'a>,
        piece: &Problem,
        rows: &RowRange,
    ) -> Result<Self, Error> {
        let part = |slot, given: Option<Tensor<'a>>| {
            let (Some(tensor), Some(given)) = (batch.tensor(slot), given) else { return Ok(None) };
            let shape = tensor.axes.extents(&piece.view);
            let runs = rows.runs(&batch.view, tensor.axes, 1);
            let mut runs = runs.map(|run| run.start as usize..run.end as usize);
            let floats = match (runs.next(), runs.next()) {
                (Some(run), None) => PartFloats::Slice(given.data.slice(run)),
                (first, second) => {
                    let runs = first.into_iter().chain(second).chain(runs);
                    let count = shape.iter().product();
                    let floats = OwnedFloats::gathered(slot.name(), given.data, runs, count)?;
                    PartFloats::Copy(floats)
                }
            };
            Ok::<_, Error>(Some(Part { floats, shape }))
        };
        let labels = inputs.labels.map(|(labels, _)| {
            let view = &batch.view;
            let first = rows.first_row(view) as usize;
            let count = rows.outer.len() * rows.inner.len();
            let shape = [rows.outer.len(), 1, rows.inner.len()];
            (labels.slice(first..first + count), shape)
        });
        let none = Part { floats: PartFloats::Slice(Floats::F32(&[])), shape: [0; 3] };
        Ok(Self {
            input: part(TensorSlot::Logits, Some(inputs.input))?.unwrap_or(none),
            labels,
            weight: inputs.weight,
            probabilities: part(TensorSlot::Target, inputs.probabilities)?,
            row_weights: part(TensorSlot::RowWeights, inputs.row_weights)?,
            target: part(TensorSlot::Target, inputs.target)?,
            element_weight: part(TensorSlot::ElementWeight, inputs.element_weight)?,
            pos_weight: part(TensorSlot::PosWeight, inputs.pos_weight)?,
            var: part(TensorSlot::Variance, inputs.var)?,
            upstream: part(TensorSlot::Upstream, inputs.upstream)?,
            states: inputs.states.map(|(words, _)| {
                let size = batch.state_fields().len();
                &words[rows.first_row(&batch.view) as usize * size..][..piece.view.rows() * size]
            }),
        })
    }

    /// Returns the parts as inputs of a loss.
    pub fn inputs(&self) -> Inputs<'_> {
        fn tensor<'b>(part: &'b Option<Part<'_>>) -> Option<Tensor<'b>> {
            part.as_ref().map(Part::tensor)
        }
        Inputs {
            input: self.input.tensor(),
            labels: self.labels.as_ref().map(|(labels, shape)| (*labels, &shape[..])),
            weight: self.weight,
            probabilities: tensor(&self.probabilities),
            row_weights: tensor(&self.row_weights),
            target: tensor(&self.target),
            element_weight: tensor(&self.element_weight),
            pos_weight: tensor(&self.pos_weight),
            var: tensor(&self.var),
            upstream: tensor(&self.upstream),
            states: self.states.map(|words| (words, 1)),
        }
    }
}
