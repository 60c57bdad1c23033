//! The losses: one file for each, with its formula, its options and its checks. Nothing here depends on a GPU.
//!
//! Each loss turns the given shapes into a [`Problem`]: the checked, normalised statement from which both the f64
//! `reference` and the GPU [`plan`](crate::plan) work.

mod bce;
mod bce_with_logits;
mod class_shard;
mod cross_entropy;
mod entropy;
mod gaussian_nll;
mod kl_div;
mod nll;
mod options;
mod pointwise;
mod poisson_nll;
mod row_outputs;
mod shapes;
mod softmax;
mod tensors;

pub use bce::Bce;
pub use bce_with_logits::BceWithLogits;
pub use class_shard::{ClassShard, StateField};
pub use cross_entropy::CrossEntropy;
pub use entropy::Entropy;
pub use gaussian_nll::GaussianNll;
pub use kl_div::KlDiv;
pub use nll::Nll;
pub(crate) use options::Given;
pub use options::{EmptyMean, LargeOutput, Outputs, Reduction};
#[doc(hidden)]
pub use pointwise::Formula;
pub use pointwise::Pointwise;
pub(crate) use pointwise::{Operand, sum_view};
pub use poisson_nll::PoissonNll;
pub use row_outputs::{RowColumn, RowOutputs};
pub use shapes::Shapes;
pub use softmax::Softmax;
pub(crate) use tensors::CallTensor;

use crate::Error;
use crate::tensor::{ClassView, ElementType, TargetType};

/// A loss: it checks shapes and states the problem that they pose.
///
/// ```
/// use wgpu_loss::loss::{Function, Loss, Shapes};
/// use wgpu_loss::{Bce, BceWithLogits, ElementType, Outputs, TargetType};
///
/// /// Chooses a loss at run time.
/// fn loss(logits: bool) -> Box<dyn Loss> {
///     if logits { Box::new(BceWithLogits::new()) } else { Box::new(Bce::new()) }
/// }
///
/// let shapes = Shapes::new(&[8]).target(TargetType::Values(ElementType::F32), &[8]);
/// let problem = loss(true).problem(&shapes, Outputs::loss())?;
/// assert_eq!(problem.function, Function::BceWithLogits);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
pub trait Loss {
    /// Checks the shapes and options and states the problem.
    ///
    /// # Errors
    /// Shapes, types and options that do not fit, by name: see [`Error`].
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error>;
}

/// The function of the classes that is computed; a part of the [`Problem`].
///
/// ```
/// use wgpu_loss::loss::{Function, Problem};
///
/// /// A name for a log: "cross_entropy of 64 rows".
/// fn described(problem: &Problem) -> String {
///     format!("{} of {} rows", problem.function.name(), problem.view.rows())
/// }
///
/// assert_eq!(Function::PoissonNll.name(), "poisson_nll");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Function {
    /// Log-softmax and the expectation of its negative under the target, in one read of the logits.
    CrossEntropy,
    /// The gather: minus the input at the label.
    Nll,
    /// The distribution itself, without a target.
    Softmax,
    /// The entropy of the distribution, without a target.
    Entropy,
    /// Binary cross-entropy of probabilities.
    Bce,
    /// Binary cross-entropy of logits.
    BceWithLogits,
    /// The terms of the Kullback-Leibler divergence.
    KlDiv,
    /// Negative log-likelihood under a normal distribution.
    GaussianNll,
    /// Negative log-likelihood under a Poisson distribution.
    PoissonNll,
}

impl Function {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::CrossEntropy,
        Self::Nll,
        Self::Softmax,
        Self::Entropy,
        Self::Bce,
        Self::BceWithLogits,
        Self::KlDiv,
        Self::GaussianNll,
        Self::PoissonNll,
    ];

    /// Returns its name, in errors and debug labels.
    pub fn name(self) -> &'static str {
        match self {
            Function::CrossEntropy => "cross_entropy",
            Function::Nll => "nll",
            Function::Softmax => "softmax",
            Function::Entropy => "entropy",
            Function::Bce => "bce",
            Function::BceWithLogits => "bce_with_logits",
            Function::KlDiv => "kl_div",
            Function::GaussianNll => "gaussian_nll",
            Function::PoissonNll => "poisson_nll",
        }
    }
}

/// The map of logits before the softmax: `z = scale * cap * tanh(x / cap)`, or `scale * x` without a cap. A part of the
/// [`Problem`].
///
/// ```
/// use wgpu_loss::loss::{LogitMap, Loss, Shapes};
/// use wgpu_loss::{CrossEntropy, LabelType, Outputs, TargetType};
///
/// let shapes = Shapes::new(&[8, 3]).target(TargetType::Labels(LabelType::U8), &[8]);
/// let mapped = |loss: CrossEntropy| loss.problem(&shapes, Outputs::loss()).map(|problem| problem.logits);
/// // A temperature of 2.
/// assert_eq!(mapped(CrossEntropy::new().logit_scale(0.5))?.scale, 0.5);
/// assert_eq!(mapped(CrossEntropy::new())?, LogitMap::IDENTITY);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogitMap {
    /// One over the temperature.
    pub scale: f32,
    /// The bound of the soft cap, if there is one.
    pub softcap: Option<f32>,
}

impl LogitMap {
    /// The map that leaves logits as they are.
    pub const IDENTITY: Self = Self { scale: 1.0, softcap: None };

    fn check(self) -> Result<(), Error> {
        let numbers = [("logit_scale", Some(self.scale)), ("softcap", self.softcap)];
        for (option, number) in numbers {
            if let Some(number) = number.filter(|number| !(number.is_finite() && *number > 0.0)) {
                let (given, wanted) = (number.to_string(), "it must be a finite number above 0");
                return Err(Error::Option { option, given, wanted });
            }
        }
        Ok(())
    }
}

/// The form of the upstream gradient; a part of the [`Problem`].
///
/// ```
/// use wgpu_loss::loss::{Loss, Shapes, Upstream};
/// use wgpu_loss::{CrossEntropy, LabelType, Outputs, Reduction, TargetType};
///
/// // The losses of 8 rows, and a gradient with respect to each.
/// let shapes = Shapes::new(&[8, 3]).target(TargetType::Labels(LabelType::U8), &[8]).upstream(&[8]);
/// let loss = CrossEntropy::new().reduction(Reduction::None);
/// let problem = loss.problem(&shapes, Outputs::loss().with_grad())?;
/// assert_eq!(problem.upstream, Upstream::PerRow);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Upstream {
    /// No upstream gradient: ones.
    Ones,
    /// One value for the reduced loss.
    Scalar,
    /// One value per row, for reduction `none`.
    PerRow,
    /// One value per element of the input, where the output is the distribution.
    PerElement(ElementType),
}

/// The divisor of the sum over rows; a part of the [`Problem`].
///
/// ```
/// use wgpu_loss::loss::{Divisor, Loss, Shapes};
/// use wgpu_loss::{CrossEntropy, ElementType, LabelType, Outputs, TargetType};
///
/// let loss = CrossEntropy::new();
/// let labels = Shapes::new(&[8, 3]).target(TargetType::Labels(LabelType::U8), &[8]);
/// // Some of the labels may be ignored.
/// assert_eq!(loss.problem(&labels, Outputs::loss())?.divisor, Divisor::RowWeights);
/// let probabilities = Shapes::new(&[8, 3]).target(TargetType::Probabilities(ElementType::F32), &[8, 3]);
/// assert_eq!(loss.problem(&probabilities, Outputs::loss())?.divisor, Divisor::Known(8.0));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divisor {
    /// A number known from the shapes alone.
    Known(f64),
    /// The sum of the weights of live rows, known only from labels and row weights.
    RowWeights,
}

/// A checked loss over a tensor with a class axis.
///
/// ```
/// use wgpu_loss::loss::{Divisor, Function, Loss, Shapes, Upstream};
/// use wgpu_loss::{CrossEntropy, Error, LabelType, Outputs, TargetType};
///
/// let labels = TargetType::Labels(LabelType::I64);
/// let shapes = Shapes::new(&[8, 3, 5]).target(labels, &[8, 5]);
/// let problem = CrossEntropy::new().softcap(30.0).problem(&shapes, Outputs::loss())?;
/// assert_eq!((problem.function, problem.divisor), (Function::CrossEntropy, Divisor::RowWeights));
/// assert_eq!((problem.view.rows(), problem.loss_shape()), (40, &[][..]));
/// assert_eq!((problem.logits.softcap, problem.upstream), (Some(30.0), Upstream::Ones));
///
/// let turned = CrossEntropy::new().class_axis(-1).problem(&shapes, Outputs::loss());
/// assert!(matches!(turned, Err(Error::Shape { what: "labels", .. })));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Problem {
    /// The function that is computed.
    pub function: Function,
    /// The input seen along its class axis.
    pub view: ClassView,
    /// The input's shape, which gradient and log-probabilities share.
    pub input_shape: Vec<usize>,
    /// The axis of the classes in that shape.
    pub class_axis: usize,
    /// The input's element type.
    pub input_type: ElementType,
    /// The element type of gradient and distribution.
    pub output_type: ElementType,
    /// The input's shape without the class axis: that of labels and unreduced loss.
    pub row_shape: Vec<usize>,
    /// The target's type.
    pub target: Option<TargetType>,
    /// The class weights' type, if there are any.
    pub weight_type: Option<ElementType>,
    /// The label that excludes its row.
    pub ignore_index: i64,
    /// Label smoothing, in `[0, 1]`.
    pub label_smoothing: f32,
    /// True if each row has a weight.
    pub row_weights: bool,
    /// The map of the logits, before anything else.
    pub logits: LogitMap,
    /// The coefficient of the square of each row's log-sum-exp; 0 for none.
    pub z_loss: f32,
    /// The reduction of the rows' losses.
    pub reduction: Reduction,
    /// The value of a mean over nothing.
    pub empty_mean: EmptyMean,
    /// The divisor of the reduction.
    pub divisor: Divisor,
    /// The upstream gradient's form.
    pub upstream: Upstream,
    /// The requested outputs other than the loss.
    pub outputs: Outputs,
    /// For losses of single elements: the formula and its operands.
    pub pointwise: Option<Pointwise>,
    /// The classes of the input, if states are computed, or given.
    pub class_shard: Option<ClassShard>,
    /// The number of shards whose states are given, if any are.
    pub states: Option<usize>,
}

impl Problem {
    /// Returns the shape of the loss: `row_shape` for reduction `none`, `[]` otherwise.
    pub fn loss_shape(&self) -> &[usize] {
        if self.reduction == Reduction::None { &self.row_shape } else { &[] }
    }

    /// Returns the divisor of sums over rows whose weights add up to `weight`.
    pub fn divisor_of(&self, weight: f64) -> f64 {
        match self.divisor {
            Divisor::Known(divisor) => divisor,
            Divisor::RowWeights => weight,
        }
    }

    /// Returns the loss, or z-loss, of rows whose losses add up to `sum` and whose weights to `weight`.
    pub fn reduced(&self, sum: f64, weight: f64) -> f64 {
        self.empty_mean.of(sum, self.divisor_of(weight))
    }

    /// Returns true if a tensor with an element for each class is written.
    pub(crate) fn writes_elements(&self) -> bool {
        let Outputs { grad, log_probs, probs, states, .. } = self.outputs;
        !states && (grad || log_probs || probs)
    }

    /// Returns true if no axis follows the class axis.
    pub(crate) fn classes_are_last(&self) -> bool {
        self.class_axis + 1 == self.input_shape.len()
    }

    /// Returns true if there are class weights.
    pub fn is_weighted(&self) -> bool {
        self.weight_type.is_some()
    }

    /// Returns true if every class may have a share: class probabilities, label smoothing, or the upstream gradient of
    /// a distribution.
    pub(crate) fn has_dense_target(&self) -> bool {
        let probabilities = matches!(self.target, Some(TargetType::Probabilities(_)));
        let jacobian = self.function == Function::Softmax && self.outputs.grad;
        probabilities || jacobian || self.label_smoothing > 0.0
    }

    /// Returns true if rows may differ in their parts of the mean's divisor.
    pub(crate) fn weighs_rows(&self) -> bool {
        self.row_weights || (self.is_weighted() && self.label_type().is_some())
    }

    /// Returns the words of a row's record, in their order: the requested outputs of each row other than its loss.
    pub fn record(&self) -> Vec<LargeOutput> {
        let asked = self.outputs.of_rows().into_iter().filter(|output| output.asked);
        let z_loss = self.z_loss != 0.0 && self.reduction == Reduction::None;
        asked.map(|output| output.what).chain(z_loss.then_some(LargeOutput::ZLoss)).collect()
    }

    /// Returns the labels' type, if the target is labels.
    pub fn label_type(&self) -> Option<crate::LabelType> {
        match self.target {
            Some(TargetType::Labels(label_type)) => Some(label_type),
            _ => None,
        }
    }
}

/// The operands that a loss over a class axis takes in addition to input and target.
#[derive(Clone, Copy)]
struct Taken {
    class_weights: bool,
    row_weights: bool,
    states: bool,
}

/// The checks that all losses over a class axis share.
struct ClassAxis {
    view: ClassView,
    axis: usize,
    row_shape: Vec<usize>,
    /// Extent of the first axis that is not the class axis; 1 if there is none.
    batch: usize,
}

impl ClassAxis {
    fn new(shape: &[usize], axis: Option<isize>) -> Result<Self, Error> {
        let (view, axis) = ClassView::new(shape, axis)?;
        let mut row_shape = shape.to_vec();
        row_shape.remove(axis);
        let batch = row_shape.first().copied().unwrap_or(1);
        Ok(Self { view, axis, row_shape, batch })
    }

    /// Returns the problem of a function of the classes without target, weights, options or reduction.
    fn problem(self, function: Function, shapes: &Shapes<'_>, outputs: Outputs) -> Problem {
        Problem {
            function,
            view: self.view,
            input_shape: shapes.input.to_vec(),
            class_axis: self.axis,
            input_type: shapes.input_type,
            output_type: outputs.element_type(shapes.input_type),
            row_shape: self.row_shape,
            target: None,
            weight_type: None,
            ignore_index: -100,
            label_smoothing: 0.0,
            row_weights: false,
            logits: LogitMap::IDENTITY,
            z_loss: 0.0,
            reduction: Reduction::Sum,
            empty_mean: EmptyMean::Nan,
            divisor: Divisor::Known(1.0),
            upstream: Upstream::Ones,
            outputs,
            pointwise: None,
            class_shard: None,
            states: None,
        }
    }

    /// Returns the number of all classes.
    fn all_classes(&self, shard: Option<ClassShard>) -> usize {
        let of = shard.map(|shard| usize::try_from(shard.of).unwrap_or(usize::MAX));
        of.unwrap_or(self.view.classes)
    }

    /// Checks the number of class weights: one for each of all classes.
    fn check_weight(&self, weight: Option<usize>, classes: usize) -> Result<(), Error> {
        match weight {
            Some(given) if given != classes => {
                Err(Error::Shape { what: "weight", given: vec![given], wanted: vec![classes] })
            }
            _ => Ok(()),
        }
    }

    /// Checks the row weights' shape; returns true if there are any.
    fn row_weights(&self, given: Option<&[usize]>) -> Result<bool, Error> {
        if let Some(shape) = given {
            check_shape("row weights", shape, &self.row_shape)?;
        }
        Ok(given.is_some())
    }

    /// Checks the upstream gradient's shape against the loss's.
    fn upstream(&self, reduction: Reduction, shapes: &Shapes<'_>) -> Result<Upstream, Error> {
        let Some(given) = shapes.upstream else { return Ok(Upstream::Ones) };
        check_f32("upstream gradient", shapes.upstream_type)?;
        let (wanted, upstream) = match reduction {
            Reduction::None => (self.row_shape.as_slice(), Upstream::PerRow),
            _ => (&[][..], Upstream::Scalar),
        };
        // A single number is a scalar, even in a shape of several axes of extent 1.
        let scalar = upstream == Upstream::Scalar && given.iter().all(|&d| d == 1);
        if given != wanted && !scalar {
            return Err(Error::Shape {
                what: "upstream gradient",
                given: given.to_vec(),
                wanted: wanted.to_vec(),
            });
        }
        Ok(upstream)
    }
}

/// Returns an error for a shape other than the wanted one.
fn check_shape(what: &'static str, given: &[usize], wanted: &[usize]) -> Result<(), Error> {
    if given == wanted {
        return Ok(());
    }
    Err(Error::Shape { what, given: given.to_vec(), wanted: wanted.to_vec() })
}

/// Returns an error for a type other than f32 in tensors that belong to the loss, not to the logits.
pub(crate) fn check_f32(option: &'static str, given: ElementType) -> Result<(), Error> {
    match given {
        ElementType::F32 => Ok(()),
        _ => Err(Error::Option {
            option,
            given: given.name().into(),
            wanted: "it is f32 whatever the input's type, as the loss is",
        }),
    }
}
