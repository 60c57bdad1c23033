//! The loss that an operation computes.

use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, EmptyMean, Error, Loss, Nll, Outputs, Problem, Reduction,
};

/// A loss and its options, as they are stored in Burn's queue of operations.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    pub(crate) kind: Kind,
    pub(crate) reduction: Reduction,
    pub(crate) empty_mean: EmptyMean,
    /// The label whose rows are left out.
    pub(crate) ignore_index: Option<i64>,
    pub(crate) smoothing: f32,
    /// The axis of the classes, if there are classes.
    pub(crate) class_axis: usize,
}

/// The kinds of losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Logits against labels.
    CrossEntropy,
    /// Log-probabilities against labels.
    Nll,
    /// Probabilities against targets of their shape.
    Bce,
    /// Logits against targets of their shape.
    BceWithLogits,
}

impl Criterion {
    /// Makes a criterion without options.
    pub(crate) fn new(kind: Kind, reduction: Reduction) -> Self {
        let (empty_mean, ignore_index) = (EmptyMean::Nan, None);
        Self { kind, reduction, empty_mean, ignore_index, smoothing: 0.0, class_axis: 1 }
    }

    /// Returns true if there is an axis of classes, and a label for each row.
    pub(crate) fn has_classes(&self) -> bool {
        matches!(self.kind, Kind::CrossEntropy | Kind::Nll)
    }

    /// Returns the number of losses of `count` rows or elements.
    #[cfg(feature = "fusion")]
    pub(crate) fn losses(&self, count: usize) -> usize {
        if self.reduction == Reduction::None { count } else { 1 }
    }
}

impl Loss for Criterion {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        let Self { reduction, empty_mean, ignore_index, .. } = *self;
        let axis = self.class_axis as isize;
        match self.kind {
            Kind::CrossEntropy => {
                let loss = CrossEntropy::new().label_smoothing(self.smoothing).class_axis(axis);
                let loss = loss.reduction(reduction).empty_mean(empty_mean);
                let loss = ignore_index.iter().fold(loss, |loss, &label| loss.ignore_index(label));
                loss.problem(shapes, outputs)
            }
            Kind::Nll => {
                let loss = Nll::new().class_axis(axis).reduction(reduction).empty_mean(empty_mean);
                let loss = ignore_index.iter().fold(loss, |loss, &label| loss.ignore_index(label));
                loss.problem(shapes, outputs)
            }
            Kind::Bce => {
                Bce::new().reduction(reduction).empty_mean(empty_mean).problem(shapes, outputs)
            }
            Kind::BceWithLogits => BceWithLogits::new()
                .reduction(reduction)
                .empty_mean(empty_mean)
                .problem(shapes, outputs),
        }
    }
}
