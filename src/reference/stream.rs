//! Calls on host data of any size, and batches that come one by one.

use super::piece::Piece;
use super::pieces::Pieces;
use crate::broadcast::stated;
use crate::stream::{
    Batches, Call, Progress, Sink, VarianceSums, Whole, check_partial, upstream_of,
};
use crate::{Error, Inputs, Loss, Output, Outputs, Partial, Problem};

/// Computes a loss in f64 as [`run`](super::run()) does, but in pieces, and passes large outputs to a sink. They are
/// empty or `None` in the returned output.
///
/// The sink takes bytes of the same element types as from a GPU, so that one sink serves both:
/// [`Problem::float_type_of`] returns them. The memory is that of a piece, some 100 MB, for tensors of any size. A row
/// is never cut, and operands that are broadcast along too many different axes ([`Error::Groups`]) are written out
/// first.
///
/// If the call returns an error, the sink may have received a part of the outputs: bad labels are counted to the end,
/// and the losses and gradients of their rows are NaN.
///
/// ```
/// use wgpu_loss::half::f16;
/// use wgpu_loss::{CrossEntropy, Error, Inputs, LargeOutput, Outputs, Sink, Tensor, reference};
///
/// /// Counts bytes, where another one would write them to a file.
/// struct Counted(usize);
///
/// impl Sink for Counted {
///     fn write(&mut self, _: LargeOutput, _: u64, bytes: &[u8]) -> Result<(), Error> {
///         self.0 += bytes.len();
///         Ok(())
///     }
/// }
///
/// // The gradient of halves is one of halves.
/// let logits = [f16::ONE; 30];
/// let inputs = Inputs::new(Tensor::new(&logits, &[3, 10])).labels(&[1u8, 2, 3], &[3]);
/// let mut counted = Counted(0);
/// let outputs = Outputs::loss().with_grad();
/// let output = reference::run_into(&CrossEntropy::new(), &inputs, outputs, &mut counted)?;
/// assert_eq!((counted.0, output.grad), (60, None));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As [`run`](super::run()), and the errors of the sink.
pub fn run_into(
    loss: &(impl Loss + ?Sized),
    inputs: &Inputs<'_>,
    outputs: Outputs,
    sink: &mut (impl Sink + ?Sized),
) -> Result<Output<f64>, Error> {
    whole(loss, inputs, outputs, |call, inputs, pieces| {
        let mut written = Written::default();
        written.progress.of = Some(call.problem.losses() as u64);
        written.push(pieces, &call.problem, inputs, call.scale, sink)
    })
}

/// Computes a loss in f64 as [`run_into`] does, but passes on each piece with all its numbers in f64.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, LargeOutput, Outputs, Tensor, reference};
///
/// let logits = vec![0.5f32; 1 << 16];
/// let inputs = Inputs::new(Tensor::new(&logits, &[1 << 12, 16])).labels(&[3u8; 1 << 12], &[1 << 12]);
/// let mut norm = 0.0;
/// let loss = CrossEntropy::new();
/// reference::run_pieces(&loss, &inputs, Outputs::loss().with_grad(), |piece| {
///     let grad = piece.output.grad.as_deref().unwrap_or_default();
///     norm += grad.iter().map(|x| x * x).sum::<f64>();
///     assert_eq!(piece.runs(LargeOutput::Grad).next(), Some(0..1 << 16));
///     Ok(())
/// })?;
/// assert!((norm - (15.0 / 16.0) / 4096.0).abs() < 1e-15);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
///
/// # Errors
/// As [`run`](super::run()), and the errors of `take`.
pub fn run_pieces(
    loss: &(impl Loss + ?Sized),
    inputs: &Inputs<'_>,
    outputs: Outputs,
    take: impl FnMut(&Piece<'_>) -> Result<(), Error>,
) -> Result<Output<f64>, Error> {
    whole(loss, inputs, outputs, |call, inputs, pieces| {
        pieces.push(&call.problem, inputs, call.scale, take)
    })
}

/// Computes a loss over some of the rows of a whole: [`Device::partial`](crate::stream::Device::partial).
pub(super) fn partial(
    loss: &(impl Loss + ?Sized),
    inputs: &Inputs<'_>,
    outputs: Outputs,
    sink: &mut (impl Sink + ?Sized),
) -> Result<Partial, Error> {
    let mut room = None;
    let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
    inputs.check()?;
    check_partial(&problem)?;
    let (mut pieces, mut written) = (Pieces::new(), Written::default());
    written.progress.of = Some(problem.losses() as u64);
    written.push(&mut pieces, &problem, &inputs, upstream_of(&problem, &inputs), sink)?;
    Ok(Partial::new(&problem, None, pieces.found))
}

/// Computes a call on complete data by `compute`.
fn whole(
    loss: &(impl Loss + ?Sized),
    inputs: &Inputs<'_>,
    outputs: Outputs,
    compute: impl FnOnce(&Call, &Inputs<'_>, &mut Pieces) -> Result<(), Error>,
) -> Result<Output<f64>, Error> {
    let mut room = None;
    let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
    inputs.check()?;
    let call = Call::new(problem, &inputs)?;
    let mut pieces = Pieces::new();
    compute(&call, &inputs, &mut pieces)?;
    call.output(pieces.found)
}

/// Computes `loss` in f64 over batches that come one by one, as if they were one tensor, batch after batch along the
/// first axis.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor, reference};
///
/// let loss = CrossEntropy::new();
/// let mut stream = reference::stream(&loss, Outputs::loss());
/// for label in [3u8, 5, 7] {
///     let labels = [label; 2];
///     let inputs = Inputs::new(Tensor::new(&[0.0; 20], &[2, 10])).labels(&labels, &[2]);
///     stream.push(&inputs, &mut ())?;
/// }
/// assert_eq!(stream.finish()?.loss, [10f64.ln()]);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
pub fn stream(loss: &dyn Loss, outputs: Outputs) -> Stream<'_> {
    Stream { whole: Whole::new(loss, outputs), pieces: Pieces::new(), written: Written::default() }
}

/// A loss in f64 over batches that come one by one: see [`stream`].
///
/// Batches follow each other along the first axis. Their other axes and their kinds of tensors are all the same. Each
/// batch may have its own extent along the first axis; a large one is cut into pieces. Large outputs go to a sink at
/// offsets within the whole, with the element types that a GPU gives them.
///
/// The divisor of the reduction is known at the end, which is early enough for the loss. A gradient of a mean
/// (reductions `mean` and `batchmean`) needs it from the first batch on, so the caller must set it:
/// [`Stream::divisor`].
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor, reference};
///
/// // Batches of 2 and 3 rows, and the gradient of the mean over all five.
/// let loss = CrossEntropy::new();
/// let mut stream = reference::stream(&loss, Outputs::loss().with_grad()).divisor(5.0);
/// for rows in [2, 3] {
///     let (logits, labels) = (vec![0.0; 4 * rows], vec![1u8; rows]);
///     let (shape, of_labels) = ([rows, 4], [rows]);
///     let inputs = Inputs::new(Tensor::new(&logits, &shape)).labels(&labels, &of_labels);
///     stream.push_pieces(&inputs, |piece| {
///         // (1 / 4) / 5 for a class that is not the label.
///         assert_eq!(piece.output.grad.as_deref().unwrap_or_default()[0], 0.05);
///         Ok(())
///     })?;
/// }
/// assert!((stream.finish()?.loss[0] - 4f64.ln()).abs() < 1e-15);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
pub struct Stream<'a> {
    whole: Whole<'a>,
    pieces: Pieces,
    written: Written,
}

impl Stream<'_> {
    /// Sets the divisor of a mean over all batches, in loss and gradient: for labels the sum of the weights of all
    /// labels that are not ignored (their number, without weights; [`weight_in_divisor`](super::weight_in_divisor) is a
    /// row's part), for class probabilities the number of rows, for `batchmean` the extent of the first axis.
    pub fn divisor(mut self, divisor: f64) -> Self {
        self.whole.set_divisor(divisor);
        self
    }

    /// Sets the approximate bytes of a piece's tensors in all, 16 MiB by default. The numbers of a piece, in f64, take
    /// some eight times as much. A row is never cut.
    pub fn piece_bytes(mut self, bytes: u64) -> Self {
        self.pieces.bytes = bytes;
        self
    }

    /// Computes the next batch. All of its large outputs have been passed to the sink when this returns.
    ///
    /// # Errors
    /// The errors of [`run`](super::run()) for a single batch, except bad labels and values, which [`Stream::finish`]
    /// reports; [`Error::Shape`] and [`Error::Option`] for a batch that does not fit the earlier ones, or if the
    /// classes are the first axis; [`Error::Option`] for a gradient whose divisor was not set. After these errors the
    /// stream is unchanged.
    ///
    /// The errors of the sink: after these the stream is unusable, and every later call returns the same error.
    pub fn push(
        &mut self,
        inputs: &Inputs<'_>,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Self { whole, pieces, written } = self;
        whole.push(inputs, |problem, inputs, scale| {
            written.push(pieces, problem, inputs, scale, sink)
        })
    }

    /// Computes the next batch and passes on each piece of it with all its numbers in f64.
    ///
    /// # Errors
    /// As [`push`](Self::push), and the errors of `take`.
    pub fn push_pieces(
        &mut self,
        inputs: &Inputs<'_>,
        take: impl FnMut(&Piece<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { whole, pieces, .. } = self;
        whole.push(inputs, |problem, inputs, scale| pieces.push(problem, inputs, scale, take))
    }

    /// Returns the loss over all batches, as [`run_into`] does.
    ///
    /// # Errors
    /// [`Error::BadTargets`] and [`Error::BadValues`], with positions counted over all batches; [`Error::Option`] if
    /// there was no batch; the error of a push that failed.
    pub fn finish(self) -> Result<Output<f64>, Error> {
        let (whole, divisor) = self.whole.finish()?;
        Partial::new(&whole, divisor, self.pieces.found).output_of(&whole)
    }

    /// Returns what was found about all batches, to be merged with what others found. Bad labels and values are a part of
    /// it.
    ///
    /// # Errors
    /// [`Error::Option`] if there was no batch; the error of a push that failed.
    pub fn partial(self) -> Result<Partial, Error> {
        let (whole, divisor) = self.whole.finish()?;
        Ok(Partial::new(&whole, divisor, self.pieces.found))
    }
}

impl Batches for Stream<'_> {
    fn set_divisor(&mut self, divisor: f64) {
        self.whole.set_divisor(divisor);
    }

    fn push(&mut self, inputs: &Inputs<'_>, sink: &mut dyn Sink) -> Result<(), Error> {
        Stream::push(self, inputs, sink)
    }

    fn finish(self: Box<Self>) -> Result<Output<f32>, Error> {
        Stream::finish(*self).map(Output::narrowed)
    }

    fn partial(self: Box<Self>) -> Result<Partial, Error> {
        Stream::partial(*self)
    }
}

/// The parts of all batches that have been written so far.
#[derive(Default)]
struct Written {
    variance: VarianceSums,
    progress: Progress,
}

impl Written {
    /// Computes a batch and passes its large outputs to a sink.
    fn push(
        &mut self,
        pieces: &mut Pieces,
        batch: &Problem,
        inputs: &Inputs<'_>,
        scale: f64,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Self { variance, progress } = self;
        variance.open(batch)?;
        pieces.push(batch, inputs, scale, |piece| piece.write(variance, progress, sink))?;
        variance.close(batch, sink)
    }
}
