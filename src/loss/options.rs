//! Options that several losses share.

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
