//! Options that several losses share.

use crate::Error;
use crate::tensor::{ElementType, Slot};

/// How the losses of the rows become one number, or stay as they are.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Reduction, Tensor, reference};
///
/// let inputs = Inputs::new(Tensor::new(&[0.0; 8], &[4, 2])).labels(&[0u8, 1, 1, 0], &[4]);
/// let loss = |reduction| {
///     let loss = CrossEntropy::new().reduction(reduction);
///     reference::run(&loss, &inputs, Outputs::loss()).map(|output| output.loss)
/// };
/// let (each, sum) = (loss(Reduction::None)?, loss(Reduction::Sum)?);
/// assert_eq!(each.len(), 4);
/// assert!((each.iter().sum::<f64>() - sum[0]).abs() < 1e-12);
/// assert!((loss(Reduction::Mean)?[0] - sum[0] / 4.0).abs() < 1e-12);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
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
///
/// ```
/// use wgpu_loss::{CrossEntropy, EmptyMean, Inputs, Outputs, Tensor, reference};
///
/// let inputs = Inputs::new(Tensor::new(&[0.5, 1.5], &[1, 2])).labels(&[255u8], &[1]);
/// let loss = CrossEntropy::new().ignore_index(255).empty_mean(EmptyMean::Zero);
/// assert_eq!(reference::run(&loss, &inputs, Outputs::loss())?.loss, [0.0]);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum EmptyMean {
    /// NaN, as in PyTorch.
    #[default]
    Nan,
    /// 0, so that a batch without labels does not poison a running average.
    Zero,
}

/// What is asked for beside the loss.
///
/// Gradient and distribution are in the input's shape, and of the input's element type unless f32 is
/// asked for. What there is for each row has the labels' shape: numbers are f32, classes and ranks u32.
/// None of it takes a further pass over the logits. [`Output`](crate::Output) has an example, and [`Loss`](super::Loss)
/// refuses what does not go with it.
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
    /// Gradient and distribution in f32, whatever the input's element type.
    pub in_f32: bool,
    /// For each row `lse = log(sum_c exp z_c)`; `-inf` of no classes.
    pub lse: bool,
    /// For each row the class with the largest logit, the first one among equals; `u32::MAX` where the
    /// row has no distribution (NaN, `+inf`, nothing but `-inf`, no classes).
    pub argmax: bool,
    /// For each row how many classes come before its label's: their logits are larger, or equal and the
    /// class is lower. 0 is a right prediction; `u32::MAX` stands where the row does not count or has no
    /// distribution.
    pub rank: bool,
    /// For each row the entropy `-sum_c p_c log p_c` of its distribution.
    pub entropy: bool,
    /// For each row the variance `sum_c p_c (log p_c)^2 - (sum_c p_c log p_c)^2` of its distribution's
    /// log-probabilities, the second moment of the surprise about the entropy.
    pub variance: bool,
    /// For each row what it adds to the mean's divisor: its class weight times its row weight, 0 where it
    /// does not count.
    pub row_weights: bool,
    /// How many rows have rank 0: [`Summary::correct`](crate::Summary::correct).
    pub accuracy: bool,
    /// How many rows have a rank below this: [`Summary::top_k`](crate::Summary::top_k). 0 asks for
    /// nothing.
    pub top_k: u32,
    /// The losses and rows of each class: [`Output::classes`](crate::Output::classes).
    pub class_losses: bool,
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

    /// Gradient and distribution in f32, whatever the input's element type.
    pub fn in_f32(mut self) -> Self {
        self.in_f32 = true;
        self
    }

    /// The log-sum-exp of each row too: see [`Outputs::lse`](Self#structfield.lse).
    pub fn with_lse(mut self) -> Self {
        self.lse = true;
        self
    }

    /// The predicted class of each row too: see [`Outputs::argmax`](Self#structfield.argmax).
    pub fn with_argmax(mut self) -> Self {
        self.argmax = true;
        self
    }

    /// The rank of each row's label too: see [`Outputs::rank`](Self#structfield.rank).
    pub fn with_rank(mut self) -> Self {
        self.rank = true;
        self
    }

    /// The entropy of each row too: see [`Outputs::entropy`](Self#structfield.entropy).
    pub fn with_entropy(mut self) -> Self {
        self.entropy = true;
        self
    }

    /// The variance of each row's log-probabilities too: see [`Outputs::variance`](Self#structfield.variance).
    pub fn with_variance(mut self) -> Self {
        self.variance = true;
        self
    }

    /// The weight of each row too: see [`Outputs::row_weights`](Self#structfield.row_weights).
    pub fn with_row_weights(mut self) -> Self {
        self.row_weights = true;
        self
    }

    /// The number of rows predicted right too.
    pub fn with_accuracy(mut self) -> Self {
        self.accuracy = true;
        self
    }

    /// The number of rows whose label is among the `k` largest logits too.
    pub fn with_top_k(mut self, k: u32) -> Self {
        self.top_k = k;
        self
    }

    /// The losses of each class too.
    pub fn with_class_losses(mut self) -> Self {
        self.class_losses = true;
        self
    }

    /// Returns the outputs that have an element for each row, in the order of a row's record.
    pub(super) fn of_rows(self) -> [RowOutput; 6] {
        let output = |asked, what, option, needs| RowOutput { asked, what, option, needs };
        [
            output(self.lse, LargeOutput::Lse, "lse", Needs::Distribution),
            output(self.argmax, LargeOutput::Argmax, "argmax", Needs::Distribution),
            output(self.rank, LargeOutput::Rank, "rank", Needs::Label),
            output(self.entropy, LargeOutput::Entropy, "entropy", Needs::Distribution),
            output(self.variance, LargeOutput::Variance, "variance", Needs::Distribution),
            output(self.row_weights, LargeOutput::RowWeights, "row_weights", Needs::Weight),
        ]
    }

    /// Refuses what a loss cannot give.
    pub(crate) fn check(self, given: Given) -> Result<(), Error> {
        let there = |needs| match needs {
            Needs::Distribution => given.distribution,
            Needs::Label => given.distribution && given.labels,
            Needs::Weight => given.rows,
        };
        let of_rows = self.of_rows();
        let of_rows = of_rows.iter().map(|row| (row.asked, there(row.needs), row.option));
        let others = [
            (self.accuracy, given.distribution && given.labels, "accuracy"),
            (self.top_k > 0, given.distribution && given.labels, "top_k"),
            (self.class_losses, given.labels, "class_losses"),
            // Losses of single elements alone have these, and a check of their own.
            (self.target_grad, false, "target_grad"),
            (self.var_grad, false, "var_grad"),
        ];
        let numbered = self.argmax || self.rank || self.accuracy || self.top_k > 0;
        if (numbered || self.class_losses) && given.classes >= u32::MAX as usize {
            return Err(Error::Limit {
                what: "the number of a class",
                limit: "range of a u32",
                needed: given.classes as u64,
                allowed: u32::MAX.into(),
            });
        }
        match of_rows.chain(others).find(|&(asked, there, _)| asked && !there) {
            None => Ok(()),
            Some((.., option)) => {
                Err(Error::Option { option, given: "asked for".into(), wanted: given.instead })
            }
        }
    }

    /// Whether rows that do not count are looked at too.
    pub(crate) fn of_every_row(self) -> bool {
        let of_distribution =
            |output: RowOutput| output.asked && output.needs == Needs::Distribution;
        self.log_probs || self.probs || self.of_rows().into_iter().any(of_distribution)
    }

    /// The element type of gradient and distribution.
    pub(crate) fn element_type(self, input_type: ElementType) -> ElementType {
        if self.in_f32 { ElementType::F32 } else { input_type }
    }
}

/// One of the outputs that have an element for each row.
#[derive(Clone, Copy)]
pub(super) struct RowOutput {
    pub asked: bool,
    pub what: LargeOutput,
    /// What errors call it: the field of [`Outputs`].
    option: &'static str,
    needs: Needs,
}

/// What a row needs to have an output.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    /// A distribution: rows that do not count have one too.
    Distribution,
    /// A distribution and a label.
    Label,
    /// A weight.
    Weight,
}

/// What a loss can give beside itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    /// Classes of a row.
    pub classes: usize,
    /// It makes a distribution of the input.
    pub distribution: bool,
    /// Its rows have labels.
    pub labels: bool,
    /// Its rows have weights.
    pub rows: bool,
    /// What errors say instead.
    pub instead: &'static str,
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

/// An output that has as many elements as rows, or as the input.
///
/// ```
/// use wgpu_loss::loss::{Loss, Shapes};
/// use wgpu_loss::{CrossEntropy, LabelType, LargeOutput, Outputs, TargetType};
///
/// // What a row's record has, and in which order.
/// let shapes = Shapes::new(&[8, 3]).target(TargetType::Labels(LabelType::U8), &[8]);
/// let problem = CrossEntropy::new().problem(&shapes, Outputs::loss().with_rank().with_lse())?;
/// assert_eq!(problem.record(), [LargeOutput::Lse, LargeOutput::Rank]);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LargeOutput {
    /// The loss of each row, for reduction `none`: f32.
    RowLoss,
    /// The gradient, of [`Problem::output_type`](super::Problem::output_type).
    Grad,
    /// The log-probabilities or probabilities, of [`Problem::output_type`](super::Problem::output_type).
    Distribution,
    /// The log-sum-exp of each row: f32.
    Lse,
    /// The predicted class of each row: u32.
    Argmax,
    /// The rank of each row's label: u32.
    Rank,
    /// The entropy of each row: f32.
    Entropy,
    /// The variance of each row's log-probabilities: f32.
    Variance,
    /// What each row adds to the mean's divisor: f32.
    RowWeights,
    /// The z-loss of each row, for reduction `none`: f32.
    ZLoss,
    /// The gradient with respect to the target, of the target's type or f32.
    TargetGrad,
    /// The gradient with respect to the variance, of the variance's type or f32. In a stream each batch's
    /// variance is a tensor of its own, and their gradients follow each other.
    VarGrad,
}

impl LargeOutput {
    pub(crate) fn of(slot: Slot) -> Option<Self> {
        match slot {
            Slot::RowLoss => Some(Self::RowLoss),
            Slot::Grad => Some(Self::Grad),
            Slot::Elements => Some(Self::Distribution),
            Slot::TargetGrad => Some(Self::TargetGrad),
            Slot::VarianceGrad => Some(Self::VarGrad),
            _ => None,
        }
    }

    /// What errors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RowLoss => Slot::RowLoss.name(),
            Self::Grad => Slot::Grad.name(),
            Self::Distribution => Slot::Elements.name(),
            Self::Lse => "log-sum-exp",
            Self::Argmax => "predicted classes",
            Self::Rank => "ranks",
            Self::Entropy => "entropy",
            Self::Variance => "variance of log-probabilities",
            Self::RowWeights => "row weights",
            Self::ZLoss => "z-loss",
            Self::TargetGrad => Slot::TargetGrad.name(),
            Self::VarGrad => Slot::VarianceGrad.name(),
        }
    }
}
