//! Options that several losses share.

use crate::Error;
use crate::tensor::ElementType;

/// How the losses of the rows become one number, or stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Reduction {
    /// One loss per row.
    None,
    /// With labels: the weighted mean, `sum(w[t] * loss) / sum(w[t])` over the rows that are not
    /// ignored. With class probabilities: the sum over the number of rows.
    #[default]
    Mean,
    /// The sum over rows.
    Sum,
    /// The sum over rows, divided by the batch size: the extent of the first axis that is not the
    /// class axis (1 where there is none), whatever the weights.
    BatchMean,
}

/// What the mean of nothing is: every row ignored, no rows, or weights that add up to zero. Its
/// gradient is zero either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum EmptyMean {
    /// NaN, as in PyTorch.
    #[default]
    Nan,
    /// 0, so that a batch without labels does not poison a running average.
    Zero,
}

/// What is asked for beside the loss. Each is in the input's shape, and of the input's element type
/// unless f32 is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Outputs {
    /// The gradient with respect to the input.
    pub grad: bool,
    /// The log-softmax of the input ([`CrossEntropy`](super::CrossEntropy)).
    pub log_probs: bool,
    /// The softmax of the input; only [`Softmax`](super::Softmax) sets it.
    pub(crate) probs: bool,
    /// The gradient with respect to the target ([`KlDiv`](super::KlDiv) and
    /// [`GaussianNll`](super::GaussianNll)), in the target's shape and type.
    pub target_grad: bool,
    /// The gradient with respect to the variance ([`GaussianNll`](super::GaussianNll)), in the variance's
    /// shape and type.
    pub var_grad: bool,
    /// f32, whatever the input's element type.
    pub in_f32: bool,
}

impl Outputs {
    /// The loss alone.
    pub fn loss() -> Self {
        Self::default()
    }

    /// The gradient too.
    pub fn with_grad(mut self) -> Self {
        self.grad = true;
        self
    }

    /// The log-probabilities too.
    pub fn with_log_probs(mut self) -> Self {
        self.log_probs = true;
        self
    }

    /// The gradient with respect to the target too.
    pub fn with_target_grad(mut self) -> Self {
        self.target_grad = true;
        self
    }

    /// The gradient with respect to the variance too.
    pub fn with_var_grad(mut self) -> Self {
        self.var_grad = true;
        self
    }

    /// Whether any gradient is asked for.
    pub(crate) fn any_grad(self) -> bool {
        self.grad || self.target_grad || self.var_grad
    }

    /// Refuses what losses over a class axis cannot give.
    pub(super) fn check_class_axis(self) -> Result<(), Error> {
        if self.target_grad || self.var_grad {
            return Err(Error::Option {
                option: "outputs",
                given: "target_grad or var_grad".into(),
                wanted: "losses of single elements alone give it",
            });
        }
        Ok(())
    }

    /// Gradient and distribution in f32, whatever the input's element type.
    pub fn in_f32(mut self) -> Self {
        self.in_f32 = true;
        self
    }

    /// The element type of gradient and distribution.
    pub(crate) fn element_type(self, input_type: ElementType) -> ElementType {
        if self.in_f32 { ElementType::F32 } else { input_type }
    }
}

/// The options that several losses share, as builder methods of their own: fields of the same names.
macro_rules! shared_options {
    ($($option:ident),+) => { $($crate::loss::options::shared_options!(@$option);)+ };
    (@reduction) => {
        /// How the losses are reduced.
        pub fn reduction(mut self, reduction: $crate::Reduction) -> Self {
            self.reduction = reduction;
            self
        }
    };
    (@empty_mean) => {
        /// What a mean over nothing is.
        pub fn empty_mean(mut self, empty_mean: $crate::EmptyMean) -> Self {
            self.empty_mean = empty_mean;
            self
        }
    };
    (@class_axis) => {
        /// The axis of the classes; negative counts from the end.
        pub fn class_axis(mut self, axis: isize) -> Self {
            self.class_axis = Some(axis);
            self
        }
    };
    (@ignore_index) => {
        /// The label whose rows are left out; any value, a class or not. -100 by default.
        pub fn ignore_index(mut self, label: i64) -> Self {
            self.ignore_index = Some(label);
            self
        }
    };
}
pub(super) use shared_options;
