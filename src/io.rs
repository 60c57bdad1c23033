//! What goes in and what comes out of a host call, on the GPU or on the CPU alike.

use std::time::Duration;

use crate::Error;
use crate::loss::Shapes;
use crate::tensor::{Floats, Labels, TargetType, Tensor};

/// The host data of one call, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub(crate) input: Tensor<'a>,
    pub(crate) labels: Option<(Labels<'a>, &'a [usize])>,
    pub(crate) probabilities: Option<Tensor<'a>>,
    pub(crate) weight: Option<Floats<'a>>,
    pub(crate) upstream: Option<Tensor<'a>>,
}

impl<'a> Inputs<'a> {
    /// Logits, or log-probabilities for [`Nll`](crate::Nll).
    pub fn new(input: Tensor<'a>) -> Self {
        Self { input, labels: None, probabilities: None, weight: None, upstream: None }
    }

    /// With class labels in the input's shape without the class axis. Replaces any target.
    pub fn labels(mut self, labels: impl Into<Labels<'a>>, shape: &'a [usize]) -> Self {
        self.labels = Some((labels.into(), shape));
        self.probabilities = None;
        self
    }

    /// With class probabilities in the input's shape. Replaces any target.
    pub fn probabilities(mut self, probabilities: Tensor<'a>) -> Self {
        self.probabilities = Some(probabilities);
        self.labels = None;
        self
    }

    /// With one weight per class.
    pub fn weight(mut self, weight: impl Into<Floats<'a>>) -> Self {
        self.weight = Some(weight.into());
        self
    }

    /// With the gradient with respect to the loss, f32: one number, or the loss's shape for reduction
    /// `none`. Without it, ones.
    pub fn upstream(mut self, upstream: Tensor<'a>) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// The shapes alone.
    pub fn shapes(&self) -> Shapes<'a> {
        let labels = self.labels.map(|(l, shape)| (TargetType::Labels(l.label_type()), shape));
        let probabilities =
            self.probabilities.map(|p| (TargetType::Probabilities(p.data.element_type()), p.shape));
        Shapes {
            input: self.input.shape,
            input_type: self.input.data.element_type(),
            target: labels.or(probabilities),
            weight: self.weight.map(|weight| (weight.len(), weight.element_type())),
            upstream: self.upstream.map(|u| u.shape),
        }
    }
}

/// The results of one call: `f32` from the GPU, `f64` from the reference.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output<T> {
    /// The loss: one number, or one per row for reduction `none`. Empty for
    /// [`Softmax`](crate::Softmax).
    pub loss: Vec<T>,
    /// The loss's shape: `[]`, or the input's without the class axis.
    pub loss_shape: Vec<usize>,
    /// The gradient with respect to the input, in the input's shape, where asked for.
    pub grad: Option<Vec<T>>,
    /// The log-probabilities, in the input's shape, where asked for.
    pub log_probs: Option<Vec<T>>,
    /// The probabilities, in the input's shape ([`Softmax::probs`](crate::Softmax::probs)).
    pub probs: Option<Vec<T>>,
    /// What was seen in the rows.
    pub summary: Summary,
    /// Where the time went; `None` on the CPU.
    pub timing: Option<Timing>,
}

/// What was seen in the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Rows in all.
    pub rows: u64,
    /// Rows that count: neither ignored nor with a bad label.
    pub live: u64,
    /// Sum of the labels' weights over live rows (their number, without weights).
    pub weight: f64,
    /// Rows whose label is neither a class nor `ignore_index`.
    pub bad: u64,
    /// The first of them and its label.
    pub first_bad: Option<(u64, i128)>,
    /// Live rows whose loss or distribution is NaN for their logits' sake.
    pub nonfinite: u64,
    /// The first of them.
    pub first_nonfinite: Option<u64>,
}

impl Summary {
    /// Rows left out by `ignore_index`.
    pub fn ignored(&self) -> u64 {
        self.rows - self.live - self.bad
    }

    /// Bad labels as the error that names them.
    pub(crate) fn check_labels(&self, classes: usize, ignore_index: i64) -> Result<(), Error> {
        match self.first_bad {
            None => Ok(()),
            Some((first, value)) => Err(Error::BadTargets {
                count: self.bad,
                rows: self.rows,
                first,
                value,
                classes,
                ignore_index,
            }),
        }
    }
}

/// Wall-clock times of one blocking or async call.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Timing {
    /// Making pipelines and bind groups; near zero once the pipelines are cached.
    pub prepare: Duration,
    /// From host memory to the device.
    pub upload: Duration,
    /// Recording, submitting and waiting for the kernels.
    pub kernel: Duration,
    /// From the device to host memory.
    pub read_back: Duration,
}
