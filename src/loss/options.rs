//! Options that several losses share.

use crate::Error;
use crate::tensor::{ElementType, TensorSlot};

/// The reduction of the rows' losses to one number, or none.
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
    /// The sum over rows, divided by the batch size: the extent of the first axis that is not the class axis (1 if
    /// there is none), whatever the weights.
    BatchMean,
}

impl Reduction {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Mean, Self::Sum, Self::BatchMean];

    /// Returns PyTorch's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::BatchMean => "batchmean",
        }
    }
}

/// The value of a mean over nothing: every row ignored, no rows, or weights that add up to zero. Its gradient is zero
/// either way.
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

impl EmptyMean {
    /// Both of them.
    pub(crate) const ALL: [Self; 2] = [Self::Nan, Self::Zero];

    /// Returns its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nan => "nan",
            Self::Zero => "zero",
        }
    }

    /// Returns a mean: of losses that add up to `sum`, over a divisor.
    pub(crate) fn of(self, sum: f64, divisor: f64) -> f64 {
        match self {
            // The result shows a NaN row, even if all weights are 0.
            _ if divisor != 0.0 || sum.is_nan() => sum / divisor,
            Self::Nan => f64::NAN,
            Self::Zero => 0.0,
        }
    }
}

/// The requested outputs other than the loss.
///
/// Gradient and distribution are in the input's shape, and of the input's element type unless f32 is requested. Outputs
/// of rows have the labels' shape: numbers are f32, classes and ranks u32. None of them takes a further pass over the
/// logits. A [`Loss`](super::Loss) returns an error for outputs that it does not have.
///
/// ```
/// use wgpu_loss::loss::{Loss, Shapes};
/// use wgpu_loss::{Bce, ElementType, Error, Outputs, TargetType};
///
/// let outputs = Outputs::loss().with_grad().with_lse().with_top_k(5);
/// assert!(outputs.grad && outputs.lse && !outputs.log_probs);
/// // Single elements have no log-sum-exp.
/// let shapes = Shapes::new(&[8]).target(TargetType::Values(ElementType::F32), &[8]);
/// assert!(matches!(Bce::new().problem(&shapes, outputs), Err(Error::Option { .. })));
/// assert!(Bce::new().problem(&shapes, Outputs::loss().with_grad()).is_ok());
/// ```
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
    /// The log-sum-exp of each row, `lse = log(sum_c exp z_c)`; `-inf` if there are no classes.
    pub lse: bool,
    /// For each row the class with the largest logit, the first one among equals; `u32::MAX` if the row has no
    /// distribution (NaN, `+inf`, only `-inf`, no classes).
    pub argmax: bool,
    /// The rank of each row's label: the number of classes that come before it, because their logits are larger, or
    /// equal and the class is lower. 0 is a right prediction; `u32::MAX` means that the row does not count or has no
    /// distribution.
    pub rank: bool,
    /// For each row the entropy `-sum_c p_c log p_c` of its distribution.
    pub entropy: bool,
    /// For each row the variance `sum_c p_c (log p_c)^2 - (sum_c p_c log p_c)^2` of its distribution's
    /// log-probabilities, the second moment of the surprise about the entropy.
    pub variance: bool,
    /// For each row its part of the mean's divisor: its class weight times its row weight, 0 if it does not count.
    pub row_weights: bool,
    /// The number of rows of rank 0: [`Summary::correct`](crate::Summary::correct).
    pub accuracy: bool,
    /// The number of rows with a rank below this: [`Summary::top_k`](crate::Summary::top_k). 0 requests nothing.
    pub top_k: u32,
    /// The losses and rows of each class: [`Output::classes`](crate::Output::classes).
    pub class_losses: bool,
    /// The states of the rows in place of everything else: [`RowStates`](crate::RowStates).
    pub states: bool,
}

impl Outputs {
    /// Returns a request for the loss alone.
    pub fn loss() -> Self {
        Self::default()
    }

    /// Adds the gradient.
    pub fn with_grad(mut self) -> Self {
        self.grad = true;
        self
    }

    /// Adds the log-probabilities.
    pub fn with_log_probs(mut self) -> Self {
        self.log_probs = true;
        self
    }

    /// Adds the gradient with respect to the target.
    pub fn with_target_grad(mut self) -> Self {
        self.target_grad = true;
        self
    }

    /// Adds the gradient with respect to the variance.
    pub fn with_var_grad(mut self) -> Self {
        self.var_grad = true;
        self
    }

    /// Returns true if any gradient is requested.
    pub(crate) fn any_grad(self) -> bool {
        self.grad || self.target_grad || self.var_grad
    }

    /// Requests gradient and distribution in f32, whatever the input's element type.
    pub fn in_f32(mut self) -> Self {
        self.in_f32 = true;
        self
    }

    /// Adds the log-sum-exp of each row: see [`Outputs::lse`](Self#structfield.lse).
    pub fn with_lse(mut self) -> Self {
        self.lse = true;
        self
    }

    /// Adds the predicted class of each row: see [`Outputs::argmax`](Self#structfield.argmax).
    pub fn with_argmax(mut self) -> Self {
        self.argmax = true;
        self
    }

    /// Adds the rank of each row's label: see [`Outputs::rank`](Self#structfield.rank).
    pub fn with_rank(mut self) -> Self {
        self.rank = true;
        self
    }

    /// Adds the entropy of each row: see [`Outputs::entropy`](Self#structfield.entropy).
    pub fn with_entropy(mut self) -> Self {
        self.entropy = true;
        self
    }

    /// Adds the variance of each row's log-probabilities: see [`Outputs::variance`](Self#structfield.variance).
    pub fn with_variance(mut self) -> Self {
        self.variance = true;
        self
    }

    /// Adds the weight of each row: see [`Outputs::row_weights`](Self#structfield.row_weights).
    pub fn with_row_weights(mut self) -> Self {
        self.row_weights = true;
        self
    }

    /// Adds the number of rows predicted right.
    pub fn with_accuracy(mut self) -> Self {
        self.accuracy = true;
        self
    }

    /// Adds the number of rows whose label is among the `k` largest logits.
    pub fn with_top_k(mut self, k: u32) -> Self {
        self.top_k = k;
        self
    }

    /// Adds the losses of each class.
    pub fn with_class_losses(mut self) -> Self {
        self.class_losses = true;
        self
    }

    /// Requests the states of the rows, in place of the loss and of everything else that is requested. A later call
    /// computes those from the states of all classes: see [`RowStates`](crate::RowStates).
    ///
    /// The other requests say which fields a state has, and whether rows that do not count have one.
    pub fn only_states(mut self) -> Self {
        self.states = true;
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

    /// Returns an error for an output that a loss does not have.
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
            // Only losses of single elements have these, and they have a check of their own.
            (self.target_grad, false, "target_grad"),
            (self.var_grad, false, "var_grad"),
            // Losses that have states check this themselves.
            (self.states, false, "states"),
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
            Some((.., option @ ("target_grad" | "var_grad"))) => {
                let wanted = "losses of single elements have it";
                Err(Error::Option { option, given: "asked for".into(), wanted })
            }
            Some((.., option)) => {
                Err(Error::Option { option, given: "asked for".into(), wanted: given.instead })
            }
        }
    }

    /// Returns the outputs of a loss that has states: without the gradient, if states alone are requested, which are the same
    /// with and without it.
    pub(super) fn checked_but_for_states(self, given: Given) -> Result<Self, Error> {
        Self { states: false, ..self }.check(given)?;
        Ok(Self { grad: self.grad && !self.states, ..self })
    }

    /// Returns true if rows that do not count are read too.
    pub(crate) fn of_every_row(self) -> bool {
        let of_distribution =
            |output: RowOutput| output.asked && output.needs == Needs::Distribution;
        self.log_probs || self.probs || self.of_rows().into_iter().any(of_distribution)
    }

    /// Returns the element type of gradient and distribution.
    pub(crate) fn element_type(self, input_type: ElementType) -> ElementType {
        if self.in_f32 { ElementType::F32 } else { input_type }
    }
}

/// One of the outputs that have an element for each row.
#[derive(Clone, Copy)]
pub(super) struct RowOutput {
    pub asked: bool,
    pub what: LargeOutput,
    /// Its name in errors: the field of [`Outputs`].
    option: &'static str,
    needs: Needs,
}

/// The requirement of an output on its row.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    /// A distribution, which rows that do not count have too.
    Distribution,
    /// A distribution and a label.
    Label,
    /// A weight.
    Weight,
}

/// The optional outputs of a loss.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    /// Classes of a row.
    pub classes: usize,
    /// True if it makes a distribution of the input.
    pub distribution: bool,
    /// True if its rows have labels.
    pub labels: bool,
    /// True if its rows have weights.
    pub rows: bool,
    /// The alternative that errors advise.
    pub instead: &'static str,
}
/// The options that several losses share, as builder methods of their own: fields of the same names.
macro_rules! shared_options {
    ($($option:ident),+) => { $($crate::loss::options::shared_options!(@$option);)+ };
    (@reduction) => {
        /// Sets the reduction of the losses.
        pub fn reduction(mut self, reduction: $crate::Reduction) -> Self {
            self.reduction = reduction;
            self
        }
    };
    (@empty_mean) => {
        /// Sets the value of a mean over nothing.
        pub fn empty_mean(mut self, empty_mean: $crate::EmptyMean) -> Self {
            self.empty_mean = empty_mean;
            self
        }
    };
    (@class_axis) => {
        /// Sets the axis of the classes; negative counts from the end.
        pub fn class_axis(mut self, axis: isize) -> Self {
            self.class_axis = Some(axis);
            self
        }
    };
    (@class_shard) => {
        /// Marks the input as the classes from `first` on of `of` classes in all, for rows whose classes are split over
        /// several devices or machines. [`RowStates`](crate::RowStates) has the two calls of each, and an example.
        ///
        /// The shard ends within the classes, and may have none. What is of all classes (labels, class weights, smoothing)
        /// counts all of them; what is of elements (probabilities, gradients) has the input's shape.
        pub fn class_shard(mut self, first: u64, of: u64) -> Self {
            self.class_shard = Some($crate::loss::ClassShard { first, of });
            self
        }
    };
    (@ignore_index) => {
        /// Sets the label whose rows are excluded; any value, a class or not. -100 by default.
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
/// // The outputs in a row's record, in their order.
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
    /// The part of each row in the mean's divisor: f32.
    RowWeights,
    /// The z-loss of each row, for reduction `none`: f32.
    ZLoss,
    /// The states of rows, in place of all other outputs: u32, a word for each of
    /// [`Problem::state_fields`](super::Problem::state_fields), row by row.
    States,
    /// The gradient with respect to the target, of the target's type or f32.
    TargetGrad,
    /// The gradient with respect to the variance, of the variance's type or f32. In a stream each batch's
    /// variance is a tensor of its own, and their gradients follow each other.
    VarGrad,
}

impl LargeOutput {
    pub(crate) fn of(slot: TensorSlot) -> Option<Self> {
        match slot {
            TensorSlot::RowLoss => Some(Self::RowLoss),
            TensorSlot::Grad => Some(Self::Grad),
            TensorSlot::Distribution => Some(Self::Distribution),
            TensorSlot::TargetGrad => Some(Self::TargetGrad),
            TensorSlot::VarianceGrad => Some(Self::VarGrad),
            TensorSlot::States => Some(Self::States),
            // Rows' records and sums of classes are outputs in forms of their own.
            TensorSlot::Record | TensorSlot::Classes | TensorSlot::Result => None,
            TensorSlot::Params
            | TensorSlot::Logits
            | TensorSlot::Target
            | TensorSlot::Weight
            | TensorSlot::Upstream
            | TensorSlot::ElementWeight
            | TensorSlot::PosWeight
            | TensorSlot::Variance
            | TensorSlot::Workspace
            | TensorSlot::RowWeights
            | TensorSlot::GivenStates => None,
        }
    }

    /// Returns the name by which errors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RowLoss => TensorSlot::RowLoss.name(),
            Self::Grad => TensorSlot::Grad.name(),
            Self::Distribution => TensorSlot::Distribution.name(),
            Self::Lse => "log-sum-exp",
            Self::Argmax => "predicted classes",
            Self::Rank => "ranks",
            Self::Entropy => "entropy",
            Self::Variance => "variance of log-probabilities",
            Self::RowWeights => "row weights",
            Self::ZLoss => "z-loss",
            Self::States => TensorSlot::States.name(),
            Self::TargetGrad => TensorSlot::TargetGrad.name(),
            Self::VarGrad => TensorSlot::VarianceGrad.name(),
        }
    }
}
