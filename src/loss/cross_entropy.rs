//! Cross-entropy of logits against labels or class probabilities.

use super::options::shared_options;
use super::{
    ClassAxis, ClassShard, Divisor, EmptyMean, Function, Given, LogitMap, Loss, Outputs, Problem,
    Reduction, Shapes, Taken, check_shape,
};
use crate::{Error, TargetType};

/// Cross-entropy between logits and a target, PyTorch's `cross_entropy`.
///
/// For a row of logits `x` over classes `c`, with log-probabilities
/// `log p_c = x_c - log(sum_j exp x_j)`:
///
/// ```text
/// labels         loss = -w_t log p_t
/// probabilities  loss = -sum_c w_c q_c log p_c
/// smoothing e    q'_c = (1 - e) q_c + e / C        (q one-hot for labels)
/// gradient       dloss/dx_c = V p_c - w_c q'_c,    V = sum_c w_c q'_c
/// mean           sum_i r_i loss_i / sum_i r_i w_t  (labels), / sum_i r_i  (probabilities)
/// ```
///
/// Options for training language models and segmentation, all computed in the same pass and combinable:
///
/// ```text
/// logits         z_c = s cap tanh(x_c / cap)       softcap, then logit_scale s (1 / temperature)
/// z-loss         coefficient * log(sum_c exp z_c)^2, of each row, weighed as the row is in the mean
/// row weights    r_i multiplies all of row i; a row of weight 0 is left out
/// ```
///
/// The loss is then of `z` in place of `x`, the z-loss is separate in [`Output::z_loss`](crate::Output::z_loss), and
/// the gradient is that of their sum with respect to `x`. A soft cap makes infinities finite, as PyTorch's `tanh` does.
///
/// The class axis is axis 1 (0 for rank 1) unless [`class_axis`](Self::class_axis) says otherwise.
/// Labels have the input's shape without the class axis, probabilities the input's shape.
///
/// Beyond PyTorch: an ignored row has gradient 0 even if its logits are NaN, a class of weight `w_c q'_c = 0`
/// contributes 0 even at logit `-inf`, and if the mean's divisor is 0, the gradient is zero. A weight that is NaN or
/// infinite makes its own rows NaN, which the [`Summary`](crate::Summary) counts and names; it does not change a mean's
/// gradient at other rows. A row without classes is a sum over nothing: its losses are 0.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor, reference};
///
/// let logits = [3.5, -3.45, 0.23, -2.14, 0.54, 2.67];
/// let inputs = Inputs::new(Tensor::new(&logits, &[2, 3])).labels(&[0i64, 2], &[2]);
/// let output = reference::run(&CrossEntropy::new(), &inputs, Outputs::loss().with_grad())?;
/// assert!((output.loss[0] - 0.0792).abs() < 1e-3);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy {
    class_axis: Option<isize>,
    ignore_index: Option<i64>,
    label_smoothing: f32,
    logits: LogitMap,
    z_loss: f32,
    reduction: Reduction,
    empty_mean: EmptyMean,
    class_shard: Option<ClassShard>,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl CrossEntropy {
    shared_options!(class_axis, class_shard, ignore_index, reduction, empty_mean);

    /// Returns the mean over rows, no smoothing, `ignore_index` -100.
    pub fn new() -> Self {
        Self {
            class_axis: None,
            ignore_index: None,
            label_smoothing: 0.0,
            logits: LogitMap::IDENTITY,
            z_loss: 0.0,
            reduction: Reduction::Mean,
            empty_mean: EmptyMean::Nan,
            class_shard: None,
        }
    }

    /// Sets the part of the target that is spread evenly over all classes, in `[0, 1]`.
    pub fn label_smoothing(mut self, smoothing: f32) -> Self {
        self.label_smoothing = smoothing;
        self
    }

    /// Sets the factor of the logits before the softmax and after any soft cap: one over the temperature. Above 0.
    pub fn logit_scale(mut self, scale: f32) -> Self {
        self.logits.scale = scale;
        self
    }

    /// Bounds the logits smoothly: replaces them by `cap * tanh(x / cap)`. Above 0.
    pub fn softcap(mut self, cap: f32) -> Self {
        self.logits.softcap = Some(cap);
        self
    }

    /// Adds `coefficient * lse^2` of each row to the function whose gradient is computed, which keeps the log-sum-exp
    /// near 0.
    pub fn z_loss(mut self, coefficient: f32) -> Self {
        self.z_loss = coefficient;
        self
    }

    /// Checks the target's shape and the options that depend on its kind.
    fn check_target(&self, axis: &ClassAxis, shapes: &Shapes<'_>) -> Result<TargetType, Error> {
        let Some((target, shape)) = shapes.target else {
            return Err(Error::Target {
                loss: "cross_entropy",
                given: TargetType::described(None),
                wanted: "labels or class probabilities",
            });
        };
        match target {
            TargetType::Labels(_) => check_shape("labels", shape, &axis.row_shape)?,
            TargetType::Values(_) => {
                return Err(Error::Target {
                    loss: "cross_entropy",
                    given: TargetType::described(Some(target)),
                    wanted: "labels or class probabilities",
                });
            }
            TargetType::Probabilities(_) => {
                check_shape("class probabilities", shape, shapes.input)?;
                if let Some(label) = self.ignore_index {
                    return Err(Error::Option {
                        option: "ignore_index",
                        given: label.to_string(),
                        wanted: "class probabilities have no label to ignore",
                    });
                }
            }
        }
        Ok(target)
    }
}

impl Loss for CrossEntropy {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        let smoothing = self.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::Option {
                option: "label_smoothing",
                given: smoothing.to_string(),
                wanted: "it must be a number in [0, 1]",
            });
        }
        self.logits.check()?;
        if !self.z_loss.is_finite() {
            return Err(Error::Option {
                option: "z_loss",
                given: self.z_loss.to_string(),
                wanted: "it must be a finite number",
            });
        }
        let axis = ClassAxis::new(shapes.input, self.class_axis)?;
        let target = self.check_target(&axis, shapes)?;
        let class_shard = ClassShard::of_call(self.class_shard, &axis.view, shapes, outputs)?;
        let classes = axis.all_classes(class_shard);
        axis.check_weight(shapes.weight, classes)?;
        let taken = Taken { class_weights: true, row_weights: true, states: true };
        shapes.check_class_axis("cross_entropy", taken)?;
        let labels = matches!(target, TargetType::Labels(_));
        let instead = "it needs labels, not class probabilities";
        let given = Given { classes, distribution: true, labels, rows: true, instead };
        let outputs = outputs.checked_but_for_states(given)?;
        let row_weights = axis.row_weights(shapes.row_weights)?;
        Ok(Problem {
            divisor: self.reduction.divisor(target, &axis, row_weights),
            upstream: axis.upstream(self.reduction, shapes)?,
            target: Some(target),
            weight_type: shapes.given_weight_type(),
            ignore_index: self.ignore_index.unwrap_or(-100),
            label_smoothing: smoothing,
            row_weights,
            logits: self.logits,
            z_loss: self.z_loss,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
            class_shard,
            states: shapes.states,
            ..axis.problem(Function::CrossEntropy, shapes, outputs)
        })
    }
}

impl Reduction {
    /// Returns the divisor of this reduction, given the target's type.
    pub(super) fn divisor(
        self,
        target: TargetType,
        axis: &ClassAxis,
        row_weights: bool,
    ) -> Divisor {
        match (self, target) {
            (Reduction::None | Reduction::Sum, _) => Divisor::Known(1.0),
            (Reduction::BatchMean, _) => Divisor::Known(axis.batch as f64),
            (Reduction::Mean, TargetType::Probabilities(_)) if !row_weights => {
                Divisor::Known(axis.view.rows() as f64)
            }
            (Reduction::Mean, _) => Divisor::RowWeights,
        }
    }
}
