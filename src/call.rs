//! The inputs and outputs of a host call, the same on the GPU and on the CPU.

use std::time::Duration;

use crate::classes::ClassLosses;
use crate::loss::{RowOutputs, Shapes, check_f32};
use crate::tensor::{ElementType, Floats, Labels, TargetType, Tensor, check_length};
use crate::{Error, Problem, RowStates};

/// The host data of one call, borrowed.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor, reference};
///
/// let (logits, labels, mask) = ([3.5, -3.45, -2.14, 0.54], [0u8, 1], [1.0f32, 0.0]);
/// let inputs = Inputs::new(Tensor::new(&logits, &[2, 2]))
///     .labels(&labels, &[2])
///     .row_weights(Tensor::new(&mask, &[2]));
/// let output = reference::run(&CrossEntropy::new(), &inputs, Outputs::loss())?;
/// assert_eq!((output.summary.live, output.summary.ignored()), (1, 1));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Inputs<'a> {
    /// Logits or log-probabilities.
    pub input: Tensor<'a>,
    /// Class labels and their shape.
    pub labels: Option<(Labels<'a>, &'a [usize])>,
    /// Class probabilities.
    pub probabilities: Option<Tensor<'a>>,
    /// Class weights.
    pub weight: Option<Floats<'a>>,
    /// A weight for each row.
    pub row_weights: Option<Tensor<'a>>,
    /// Values for the elements.
    pub target: Option<Tensor<'a>>,
    /// A weight for each element.
    pub element_weight: Option<Tensor<'a>>,
    /// A weight for the positive part of each element's loss.
    pub pos_weight: Option<Tensor<'a>>,
    /// The variance.
    pub var: Option<Tensor<'a>>,
    /// The upstream gradient.
    pub upstream: Option<Tensor<'a>>,
    /// The states of rows, and the number of shards that they are of.
    pub states: Option<(&'a [u32], usize)>,
}

impl<'a> Inputs<'a> {
    /// Returns inputs with logits, or with log-probabilities for [`Nll`](crate::Nll).
    pub fn new(input: Tensor<'a>) -> Self {
        Self {
            input,
            labels: None,
            probabilities: None,
            weight: None,
            row_weights: None,
            target: None,
            element_weight: None,
            pos_weight: None,
            var: None,
            upstream: None,
            states: None,
        }
    }

    /// Sets class labels, in the input's shape without the class axis. Replaces any target.
    pub fn labels(mut self, labels: impl Into<Labels<'a>>, shape: &'a [usize]) -> Self {
        self.labels = Some((labels.into(), shape));
        self.probabilities = None;
        self.target = None;
        self
    }

    /// Sets class probabilities, in the input's shape. Replaces any target.
    pub fn probabilities(mut self, probabilities: Tensor<'a>) -> Self {
        self.probabilities = Some(probabilities);
        self.labels = None;
        self.target = None;
        self
    }

    /// Sets a value for each element, in the input's shape or (where the loss documents it) one that broadcasts to it
    /// as in NumPy. Replaces any target.
    pub fn target(mut self, target: Tensor<'a>) -> Self {
        self.target = Some(target);
        self.labels = None;
        self.probabilities = None;
        self
    }

    /// Sets a weight for each element, in a shape that broadcasts to the input's as in NumPy: [`Bce`](crate::Bce) and
    /// [`BceWithLogits`](crate::BceWithLogits).
    pub fn element_weight(mut self, weight: Tensor<'a>) -> Self {
        self.element_weight = Some(weight);
        self
    }

    /// Sets a weight for the positive part of each element's loss, in a shape that broadcasts to the input's as in
    /// NumPy: [`BceWithLogits`](crate::BceWithLogits).
    pub fn pos_weight(mut self, pos_weight: Tensor<'a>) -> Self {
        self.pos_weight = Some(pos_weight);
        self
    }

    /// Sets a variance: [`GaussianNll`](crate::GaussianNll).
    pub fn var(mut self, var: Tensor<'a>) -> Self {
        self.var = Some(var);
        self
    }

    /// Sets one weight per class.
    pub fn weight(mut self, weight: impl Into<Floats<'a>>) -> Self {
        self.weight = Some(weight.into());
        self
    }

    /// Sets one weight per row, f32, in the shape of the labels. It multiplies the row's loss and its part of the
    /// mean's divisor; a row of weight 0 is left out like an ignored one, whatever its label.
    pub fn row_weights(mut self, weights: Tensor<'a>) -> Self {
        self.row_weights = Some(weights);
        self
    }

    /// Sets the gradient with respect to the loss, f32: one number, or the loss's shape for reduction `none`. Without
    /// it, ones. For [`Softmax`](crate::Softmax) it is the gradient with respect to the result, in the input's shape
    /// and of any element type.
    pub fn upstream(mut self, upstream: Tensor<'a>) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// Sets the states of the rows over all classes, those of `shards` shards one after the other, from which losses and
    /// outputs of rows are computed: see [`RowStates`](crate::RowStates). No shard may be missing, and none be there
    /// twice.
    pub fn states(mut self, words: &'a [u32], shards: usize) -> Self {
        self.states = Some((words, shards));
        self
    }

    /// Returns an error for data whose lengths do not fit its shapes. Calls do this by themselves.
    ///
    /// # Errors
    /// [`Error::Length`], by the tensor's name; [`Error::Option`] for weights and gradients that must be f32.
    pub fn check(&self) -> Result<(), Error> {
        self.input.check("input")?;
        if let Some((labels, shape)) = &self.labels {
            check_length("labels", labels.len(), shape)?;
        }
        if let Some(probabilities) = &self.probabilities {
            probabilities.check("class probabilities")?;
        }
        for (what, operand) in [
            ("target", &self.target),
            ("element weight", &self.element_weight),
            ("pos_weight", &self.pos_weight),
            ("var", &self.var),
        ] {
            operand.map_or(Ok(()), |tensor| tensor.check(what))?;
        }
        if let Some(weights) = &self.row_weights {
            weights.check("row weights")?;
            check_f32("row weights", weights.data.element_type())?;
        }
        if let Some(upstream) = &self.upstream {
            upstream.check("upstream gradient")?;
        }
        Ok(())
    }

    /// Returns the shapes alone.
    pub fn shapes(&self) -> Shapes<'a> {
        let labels = self.labels.map(|(l, shape)| (TargetType::Labels(l.label_type()), shape));
        let probabilities =
            self.probabilities.map(|p| (TargetType::Probabilities(p.data.element_type()), p.shape));
        let typed = |tensor: Tensor<'a>| (tensor.data.element_type(), tensor.shape);
        let values = self.target.map(typed).map(|(t, shape)| (TargetType::Values(t), shape));
        Shapes {
            input: self.input.shape,
            input_type: self.input.data.element_type(),
            target: labels.or(probabilities).or(values),
            weight: self.weight.map(|weight| weight.len()),
            weight_type: self.weight.map_or(ElementType::F32, |weight| weight.element_type()),
            row_weights: self.row_weights.map(|weights| weights.shape),
            element_weight: self.element_weight.map(typed),
            pos_weight: self.pos_weight.map(typed),
            var: self.var.map(typed),
            upstream: self.upstream.map(|u| u.shape),
            upstream_type: self.upstream.map_or(ElementType::F32, |u| u.data.element_type()),
            states: self.states.map(|(_, shards)| shards),
        }
    }
}

/// The results of one call: `f32` from the GPU, `f64` from the reference.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Reduction, Tensor, reference};
///
/// let logits = [1.0, 2.0, 3.0, 3.0, 2.0, 1.0];
/// let inputs = Inputs::new(Tensor::new(&logits, &[2, 3])).labels(&[2u8, 1], &[2]);
/// let outputs = Outputs::loss().with_grad().with_argmax().with_accuracy().with_class_losses();
/// let loss = CrossEntropy::new().reduction(Reduction::None);
/// let output = reference::run(&loss, &inputs, outputs)?;
/// assert_eq!(output.loss_shape, [2]);
/// assert_eq!(output.grad.map(|grad| grad.len()), Some(6));
/// assert_eq!(output.rows.argmax, Some(vec![2, 0]));
/// assert_eq!(output.summary.correct, 1);
/// assert_eq!(output.classes.map(|classes| classes.rows), Some(vec![0, 1, 1]));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output<T> {
    /// The loss: one number, or one per row for reduction `none`. Empty for
    /// [`Softmax`](crate::Softmax).
    pub loss: Vec<T>,
    /// The z-loss, reduced like the loss but not part of it; empty if there is none.
    pub z_loss: Vec<T>,
    /// The loss's shape: `[]`, or the input's without the class axis.
    pub loss_shape: Vec<usize>,
    /// The gradient with respect to the input, in the input's shape, if requested.
    pub grad: Option<Vec<T>>,
    /// The gradient with respect to the target, in its shape, if requested.
    pub target_grad: Option<Vec<T>>,
    /// The gradient with respect to the variance, in its shape, if requested.
    pub var_grad: Option<Vec<T>>,
    /// The log-probabilities, in the input's shape, if requested.
    pub log_probs: Option<Vec<T>>,
    /// The probabilities, in the input's shape ([`Softmax::probs`](crate::Softmax::probs)).
    pub probs: Option<Vec<T>>,
    /// The other requested outputs of each row.
    pub rows: RowOutputs<T>,
    /// The losses of each class, if requested.
    pub classes: Option<ClassLosses>,
    /// The states of the rows, if requested: then losses and all other outputs are empty.
    pub states: Option<RowStates>,
    /// The counts and sums over the rows.
    pub summary: Summary,
    /// The times of the call's phases; `None` on the CPU.
    pub timing: Option<Timing>,
}

impl<T> Output<T> {
    /// Returns an output that has a summary alone.
    pub(crate) fn nothing(loss_shape: &[usize], summary: Summary) -> Self {
        Self {
            loss: Vec::new(),
            z_loss: Vec::new(),
            loss_shape: loss_shape.to_vec(),
            grad: None,
            log_probs: None,
            probs: None,
            target_grad: None,
            var_grad: None,
            rows: RowOutputs::default(),
            classes: None,
            states: None,
            summary,
            timing: None,
        }
    }
}

impl Output<f64> {
    /// Returns the output in f32, as a GPU returns it.
    pub(crate) fn narrowed(self) -> Output<f32> {
        let narrow = |wide: Vec<f64>| wide.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
        Output {
            loss: narrow(self.loss),
            z_loss: narrow(self.z_loss),
            loss_shape: self.loss_shape,
            grad: self.grad.map(narrow),
            target_grad: self.target_grad.map(narrow),
            var_grad: self.var_grad.map(narrow),
            log_probs: self.log_probs.map(narrow),
            probs: self.probs.map(narrow),
            rows: self.rows.map(|x| x as f32),
            classes: self.classes,
            states: self.states,
            summary: self.summary,
            timing: self.timing,
        }
    }
}

/// A value that a loss is not defined for.
///
/// ```
/// use wgpu_loss::Summary;
///
/// /// What to tell a user whose own kernels made the probabilities: `Reader` returns the summary.
/// fn fault(summary: &Summary) -> Option<String> {
///     let bad = summary.first_bad_value?;
///     Some(format!("{} elements; the first is {} at {} of {}", summary.bad, bad.value, bad.position, bad.what))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BadValue {
    /// The flat index of the input's element.
    pub position: u64,
    /// The tensor that has the value: `input`, `target` or `var`.
    pub what: &'static str,
    /// The value.
    pub value: f32,
}

/// Counts and sums over the rows. For losses of single elements every element is a row.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor, reference};
///
/// // The second of three rows does not count.
/// let inputs = Inputs::new(Tensor::new(&[0.0; 6], &[3, 2]))
///     .labels(&[0i64, -100, 1], &[3])
///     .weight(&[1.0, 0.5]);
/// let summary = reference::run(&CrossEntropy::new(), &inputs, Outputs::loss())?.summary;
/// assert_eq!((summary.rows, summary.live, summary.ignored()), (3, 2, 1));
/// assert_eq!(summary.weight, 1.5);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Number of all rows.
    pub rows: u64,
    /// Rows that count: neither ignored nor with a bad label.
    pub live: u64,
    /// Sum of the weights of live rows: class weights of their labels times row weights (the number of live rows,
    /// without weights).
    pub weight: f64,
    /// Rows whose label is neither a class nor `ignore_index`.
    pub bad: u64,
    /// The first bad row and its label.
    pub first_bad: Option<(u64, i128)>,
    /// The first element whose value the loss is not defined for: such elements count as `bad`.
    pub first_bad_value: Option<BadValue>,
    /// Live rows whose loss or distribution is NaN because of their logits, or because one of their weights is NaN or
    /// infinite. Such a weight is not part of [`weight`](Self::weight).
    pub nonfinite: u64,
    /// The first such row.
    pub first_nonfinite: Option<u64>,
    /// Live rows whose label has the largest logit, where [`Outputs::accuracy`](crate::Outputs::accuracy) is on.
    pub correct: u64,
    /// Live rows whose label is among the k largest logits, where [`Outputs::top_k`](crate::Outputs::top_k) is set.
    pub top_k: u64,
}

impl Summary {
    /// Returns the number of rows that are left out by `ignore_index`, or by a row weight of 0. In a summary whose
    /// counts contradict each other, because it was decoded from other bytes than a result's, the number is 0 rather
    /// than negative.
    pub fn ignored(&self) -> u64 {
        self.rows.saturating_sub(self.live).saturating_sub(self.bad)
    }

    /// Adds the summary of the rows that follow these, as in the next batch. Positions in `next` are counted from its
    /// own first row; here they continue after these rows.
    ///
    /// ```
    /// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Summary, Tensor, reference};
    ///
    /// let mut all = Summary::default();
    /// for (logits, labels) in [([0.5, 1.5], [1u8]), ([f32::NAN, 1.0], [0])] {
    ///     let inputs = Inputs::new(Tensor::new(&logits, &[1, 2])).labels(&labels, &[1]);
    ///     let output = reference::run(&CrossEntropy::new(), &inputs, Outputs::loss())?;
    ///     all.append(&output.summary);
    /// }
    /// assert_eq!((all.rows, all.first_nonfinite), (2, Some(1)));
    /// # Ok::<(), wgpu_loss::Error>(())
    /// ```
    pub fn append(&mut self, next: &Summary) {
        // All fields are named, so that the compiler reports a new one that is missing here.
        let Summary {
            rows,
            live,
            weight,
            bad,
            first_bad,
            first_bad_value,
            nonfinite,
            first_nonfinite,
            correct,
            top_k,
        } = *next;
        let before = self.rows;
        let bad_value = |value: BadValue| BadValue { position: before + value.position, ..value };
        self.rows += rows;
        self.live += live;
        self.weight += weight;
        self.bad += bad;
        self.first_bad = self.first_bad.or(first_bad.map(|(row, label)| (before + row, label)));
        self.first_bad_value = self.first_bad_value.or(first_bad_value.map(bad_value));
        self.nonfinite += nonfinite;
        self.first_nonfinite = self.first_nonfinite.or(first_nonfinite.map(|row| before + row));
        self.correct += correct;
        self.top_k += top_k;
    }

    /// Returns the error for bad labels or values that the device found. Calls on host data do this by themselves; a
    /// host that [embeds](crate::Bound) the library decides whether and when to check.
    ///
    /// # Errors
    /// [`Error::BadTargets`] for labels out of range, [`Error::BadValues`] for values that a loss is not
    /// defined for.
    pub fn check(&self, problem: &Problem) -> Result<(), Error> {
        self.check_values(|element| problem.var_position(element))?;
        self.check_labels(problem)
    }

    /// Returns the error for bad values; `place` gives the index in the variance of the value that an element of the
    /// input uses.
    pub(crate) fn check_values(&self, place: impl Fn(u64) -> u64) -> Result<(), Error> {
        let Some(BadValue { position, what, value }) = self.first_bad_value else { return Ok(()) };
        let of_var = what == "var";
        Err(Error::BadValues {
            what,
            count: self.bad,
            of: self.rows,
            first: if of_var { place(position) } else { position },
            value,
            wanted: if of_var { "a variance of 0 or more" } else { "a probability from 0 to 1" },
        })
    }

    /// Returns the error for bad labels.
    pub(crate) fn check_labels(&self, problem: &Problem) -> Result<(), Error> {
        self.check_labels_of(problem.all_classes(), problem.ignore_index)
    }

    /// Returns the error for labels that are not among so many classes.
    pub(crate) fn check_labels_of(&self, classes: u64, ignore_index: i64) -> Result<(), Error> {
        match self.first_bad {
            None => Ok(()),
            Some((first, value)) => Err(Error::BadTargets {
                count: self.bad,
                rows: self.rows,
                first,
                value,
                classes: usize::try_from(classes).unwrap_or(usize::MAX),
                ignore_index,
            }),
        }
    }
}

/// Wall-clock times of one blocking or async call.
///
/// ```
/// fn tell(output: &wgpu_loss::Output<f32>) {
///     if let Some(timing) = output.timing {
///         println!("{:?} to upload, {:?} to compute", timing.upload, timing.kernel);
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Timing {
    /// Creating pipelines and bind groups; near zero once the pipelines are cached.
    pub prepare: Duration,
    /// Transfer from host memory to the device.
    pub upload: Duration,
    /// Recording, submitting and waiting for the kernels.
    pub kernel: Duration,
    /// Transfer from the device to host memory.
    pub read_back: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_appended_field_by_field() {
        let value = |position| BadValue { position, what: "input", value: 2.0 };
        let batch = |at: u64| Summary {
            rows: 10,
            live: 5,
            weight: 2.5,
            bad: 3,
            first_bad: Some((at, -1)),
            first_bad_value: Some(value(at)),
            nonfinite: 2,
            first_nonfinite: Some(at),
            correct: 4,
            top_k: 5,
        };
        let mut all = Summary { rows: 7, ..Summary::default() };
        all.append(&batch(6));
        let seen = (all.rows, all.first_bad, all.first_bad_value, all.first_nonfinite);
        assert_eq!(seen, (17, Some((13, -1)), Some(value(13)), Some(13)));
        all.append(&batch(1));
        let first = Summary { rows: 27, live: 10, weight: 5.0, bad: 6, ..batch(13) };
        assert_eq!(all, Summary { nonfinite: 4, correct: 8, top_k: 10, ..first });
    }
}
