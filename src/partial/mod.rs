//! Sums that travel: what a call over some of the rows found, to be merged with what others found.

mod asked;
mod exact;
mod form;
mod found;

pub(crate) use self::found::Found;

use self::asked::Asked;
use self::exact::ExactSum;
use crate::loss::Function;
use crate::{Error, Output, Outputs, Problem, Reduction, Summary};

/// The findings of a call over some of the rows: sums, counts, sums of classes, and the first row of each kind of fault.
///
/// Partials of the same question add up, from other threads, other GPUs, other machines, or a run of yesterday. Sums are exact from the results of pieces on (a piece is a run of rows that passes through a device at
/// once), so merging in any grouping gives the same bits. The order matters for the positions of bad labels alone: they
/// are counted as if the rows followed each other in the order of the merges.
///
/// A partial comes from [`Device::partial`](crate::stream::Device::partial), or from
/// [`Batches::partial`](crate::stream::Batches::partial) at the end of a stream. It is
/// [serialised](https://docs.rs/serde) as an object with names, whose sums are lists of numbers: the nearest f64, and
/// what it rounds off. [`to_bytes`](Self::to_bytes) is a smaller form with a checksum.
///
/// ```
/// use wgpu_loss::reference::Cpu;
/// use wgpu_loss::stream::Device;
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Partial, Tensor};
///
/// let loss = CrossEntropy::new();
/// let shard = |labels: [u8; 2]| {
///     let inputs = Inputs::new(Tensor::new(&[0.0; 20], &[2, 10])).labels(&labels, &[2]);
///     Cpu.partial(&loss, &inputs, Outputs::loss(), &mut ())
/// };
/// // On one machine, and on another.
/// let mut all = shard([3, 5])?;
/// let sent: Vec<u8> = shard([7, 9])?.to_bytes();
/// all.merge(&Partial::from_bytes(&sent)?)?;
/// let output = all.finish()?;
/// assert_eq!((output.loss[0], output.summary.rows), (10f64.ln(), 4));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    asked: Asked,
    /// The extent of the first axis, by which the reduction `batchmean` divides.
    batch: u64,
    found: Found,
}

impl Partial {
    /// Returns what was found about the rows of a problem; `divisor`: the divisor of its mean, if the caller has set it.
    pub(crate) fn new(problem: &Problem, divisor: Option<f64>, mut found: Found) -> Self {
        let batch = problem.row_shape.first().map_or(1, |&extent| extent as u64);
        let asked = Asked::of(problem, divisor);
        if asked.class_losses {
            // There is no piece without a row; a partial that was sent has the sums of all classes.
            found.classes = found.classes.extended_to(asked.classes as usize);
        }
        Self { asked, batch, found }
    }

    /// Adds the rows that follow these.
    ///
    /// # Errors
    /// [`Error::Merge`] where the loss, an option, the number of classes or the requested sums differ; this partial is
    /// unchanged then.
    pub fn merge(&mut self, later: &Partial) -> Result<(), Error> {
        self.asked.check_same(&later.asked)?;
        self.batch = self.batch.saturating_add(later.batch);
        self.found.append(&later.found);
        Ok(())
    }

    /// Sets the reduction that [`finish`](Self::finish) applies to the sums. A stream of reduction
    /// [`None`](Reduction::None) passes every row's loss to its sink, and has a mean as well. A divisor that was given for
    /// another reduction is forgotten.
    pub fn reduced(mut self, reduction: Reduction) -> Self {
        if reduction != self.asked.reduction {
            self.asked.divisor = None;
        }
        self.asked.reduction = reduction;
        self
    }

    /// Returns the counts and sums over the rows. Rows with bad labels are counted; [`finish`](Self::finish) refuses
    /// them.
    pub fn summary(&self) -> Summary {
        self.found.summary()
    }

    /// Returns the name of the loss.
    pub fn loss(&self) -> &'static str {
        self.asked.function.name()
    }

    /// Returns the number of classes; 0 for losses of single elements.
    pub fn classes(&self) -> u64 {
        self.asked.classes
    }

    /// Returns the outputs that are sums over rows and were requested.
    pub fn outputs(&self) -> Outputs {
        let Asked { accuracy, top_k, class_losses, .. } = self.asked;
        Outputs { accuracy, top_k, class_losses, ..Outputs::loss() }
    }

    /// Returns the standard error of the mean, `sqrt(sum (loss_i - mean)^2 / (n (n - 1)))` over the `n` rows that
    /// count: about how far the mean of as many other rows of the same kind would be from this one.
    ///
    /// `None` if the rows' losses did not come one by one (reduction [`None`](Reduction::None)), if rows or classes have
    /// weights, or if there are fewer than two rows. NaN if a loss is infinite or NaN.
    pub fn standard_error(&self) -> Option<f64> {
        let live = self.summary().live;
        let squares = self.found.squares.as_ref()?.value();
        if live < 2 || self.asked.weighs_rows {
            return None;
        }
        if !squares.is_finite() {
            return Some(f64::NAN);
        }
        let rows = live as f64;
        let sum = self.found.loss.value();
        // Both sums are of f32 numbers and have 53 digits: the difference is right unless the losses are equal in their
        // first seven or so, and then it is about 0.
        let about_mean = (squares - sum * (sum / rows)).max(0.0);
        Some((about_mean / (rows * (rows - 1.0))).sqrt())
    }

    /// Returns the loss over all rows, as one call would have returned it: reduced, or empty for the reduction `none`,
    /// whose losses went to a sink.
    ///
    /// # Errors
    /// [`Error::BadTargets`] and [`Error::BadValues`] for labels and values out of range, by their positions in the
    /// whole. A bad variance is named by the position of the input's element that it belongs to.
    pub fn finish(&self) -> Result<Output<f64>, Error> {
        let summary = self.summary();
        summary.check_values(|element| element)?;
        summary.check_labels_of(self.asked.classes, self.asked.ignore_index)?;
        Ok(self.output(summary))
    }

    /// Returns the output of the call or stream over `problem`, without its large outputs.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub(crate) fn output_of(&self, problem: &Problem) -> Result<Output<f64>, Error> {
        let summary = self.summary();
        summary.check(problem)?;
        let mut output = self.output(summary);
        if problem.outputs.states {
            // The states are in place of the losses.
            (output.loss, output.z_loss) = (Vec::new(), Vec::new());
        }
        Ok(Output { loss_shape: problem.loss_shape().to_vec(), ..output })
    }

    fn output(&self, summary: Summary) -> Output<f64> {
        let Self { asked, batch, found } = self;
        let by_reduction = match asked.reduction {
            Reduction::None | Reduction::Sum => 1.0,
            // Rows without labels and weights all count, so their weight is their number.
            Reduction::Mean => summary.weight,
            Reduction::BatchMean => *batch as f64,
        };
        let divisor = asked.divisor.unwrap_or(by_reduction);
        let has_loss = asked.function != Function::Softmax && asked.reduction != Reduction::None;
        let reduced = |sum: &ExactSum, there: bool| {
            let loss = there.then(|| asked.empty_mean.of(sum.value(), divisor));
            loss.into_iter().collect()
        };
        let classes = || found.classes.clone().losses(asked.classes as usize);
        Output {
            loss: reduced(&found.loss, has_loss),
            z_loss: reduced(&found.z_loss, has_loss && asked.has_z_loss),
            classes: asked.class_losses.then(classes),
            ..Output::nothing(&[], summary)
        }
    }
}
