//! The losses on the CPU in f64: the oracle of the tests, and the fallback where there is no GPU.
//!
//! Needs the feature `reference`.
//!
//! [`run`] takes the same losses and inputs as the GPU and gives the same [`Output`], in f64. Each
//! function has one file here with its formula. What they share is the state of a set of classes,
//!
//! ```text
//! top    = max x
//! excess = sum exp(x - top), over all classes but one at the top
//! ```
//!
//! from which every loss is a sum of nonnegative terms, `(top - x_t) + log(1 + excess)`, exact to
//! about 1e-15 of itself even where it is 1e-13. Where logits are scaled or capped first, that holds of
//! the distances between the outcomes.
//!
//! Rows are spread over the threads by rayon, in chunks that depend on the shape alone; the chunks'
//! sums are added in order, so a result is the same bits every time. Nothing is kept per row unless
//! the gradient, the distribution or unreduced losses ask for it.

mod cross_entropy;
mod entropy;
mod logits;
mod nll;
mod pointwise;
mod rows;
mod softmax;
mod state;
mod walk;

use crate::expand::stated;
use crate::io::BadValue;
use crate::loss::{Divisor, Function, Upstream};
use crate::{
    EmptyMean, Error, Floats, Inputs, Labels, Loss, Output, Outputs, Problem, Reduction, Summary,
};

/// Computes a loss in f64.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Reduction, Tensor, reference};
///
/// let logits = [3.5, -3.45, 0.23, 1.25, -2.14, 0.54, 2.67, -5.23];
/// let inputs = Inputs::new(Tensor::new(&logits, &[2, 4])).labels(&[0u8, 2], &[2]);
/// let loss = CrossEntropy::new().reduction(Reduction::None);
/// let output = reference::run(&loss, &inputs, Outputs::loss())?;
/// assert!((output.loss[0] - 0.13484927).abs() < 1e-7);
/// assert!((output.loss[1] - 0.11987498).abs() < 1e-7);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
///
/// # Errors
/// Shapes, lengths and options that do not fit, and [`Error::BadTargets`] for labels that are
/// neither a class nor `ignore_index`.
pub fn run(
    loss: &(impl Loss + ?Sized),
    inputs: &Inputs<'_>,
    outputs: Outputs,
) -> Result<Output<f64>, Error> {
    let mut room = None;
    let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
    let inputs = &inputs;
    inputs.check()?;
    match problem.function {
        Function::CrossEntropy => cross_entropy::run(&problem, inputs),
        Function::Nll => nll::run(&problem, inputs),
        Function::Softmax => softmax::run(&problem, inputs),
        Function::Entropy => entropy::run(&problem, inputs),
        Function::Bce
        | Function::BceWithLogits
        | Function::KlDiv
        | Function::GaussianNll
        | Function::PoissonNll => pointwise::run(&problem, inputs),
    }
}

/// What one row adds to the sums.
enum Seen {
    /// Nothing: its label is `ignore_index`, or its weight 0.
    Ignored,
    /// An error: its label is no class.
    Bad(i128),
    /// An error: the loss is not defined for its value.
    BadValue(BadValue),
    /// All that a row that counts has to give.
    Live(Live),
}

/// What a row that counts adds to the sums.
#[derive(Clone, Copy, Debug, Default)]
struct Live {
    loss: f64,
    z_loss: f64,
    /// Its weight in the mean.
    weight: f64,
    /// Whether its loss is NaN for the sake of its logits or its weights.
    nan: bool,
    /// Whether its label is predicted, where somebody asks.
    correct: bool,
    /// Whether its label is among the first k, where somebody asks.
    top_k: bool,
}

impl Seen {
    /// The row's own loss.
    fn loss(&self) -> f64 {
        match *self {
            Seen::Ignored => 0.0,
            Seen::Bad(_) | Seen::BadValue(_) => f64::NAN,
            Seen::Live(live) => live.loss,
        }
    }
}

/// The sums over a run of rows. What the GPU gives of pieces is merged and reduced here as well.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub loss: f64,
    pub z_loss: f64,
    pub summary: Summary,
}

impl Sums {
    /// The sums over rows that all count and have nothing in them: distributions over no classes.
    pub fn empty_rows(rows: usize) -> Sums {
        let summary = Summary {
            rows: rows as u64,
            live: rows as u64,
            weight: rows as f64,
            ..Summary::default()
        };
        Sums { loss: 0.0, z_loss: 0.0, summary }
    }

    /// Adds the next row.
    fn add(&mut self, row: usize, seen: &Seen) {
        let summary = &mut self.summary;
        summary.rows += 1;
        match *seen {
            Seen::Ignored => {}
            Seen::Bad(label) => {
                summary.bad += 1;
                summary.first_bad.get_or_insert((row as u64, label));
            }
            Seen::BadValue(value) => {
                summary.bad += 1;
                summary.first_bad_value.get_or_insert(value);
            }
            Seen::Live(live) => {
                self.loss += live.loss;
                self.z_loss += live.z_loss;
                summary.live += 1;
                summary.weight += live.weight;
                summary.correct += u64::from(live.correct);
                summary.top_k += u64::from(live.top_k);
                if live.nan {
                    summary.nonfinite += 1;
                    summary.first_nonfinite.get_or_insert(row as u64);
                }
            }
        }
    }

    /// The sums over these rows and the ones behind them.
    pub fn merge(self, behind: Sums) -> Sums {
        let (a, b) = (self.summary, behind.summary);
        let summary = Summary {
            rows: a.rows + b.rows,
            live: a.live + b.live,
            weight: a.weight + b.weight,
            bad: a.bad + b.bad,
            first_bad: a.first_bad.or(b.first_bad),
            // Pieces of single elements may come in another order than their elements.
            first_bad_value: [a.first_bad_value, b.first_bad_value]
                .into_iter()
                .flatten()
                .min_by_key(|value| value.position),
            nonfinite: a.nonfinite + b.nonfinite,
            first_nonfinite: [a.first_nonfinite, b.first_nonfinite].into_iter().flatten().min(),
            correct: a.correct + b.correct,
            top_k: a.top_k + b.top_k,
        };
        let (loss, z_loss) = (self.loss + behind.loss, self.z_loss + behind.z_loss);
        Sums { loss, z_loss, summary }
    }

    /// What the problem's reduction divides these sums by.
    pub fn divisor(&self, problem: &Problem) -> f64 {
        match problem.divisor {
            Divisor::Known(divisor) => divisor,
            Divisor::RowWeights => self.summary.weight,
        }
    }

    /// The losses as the problem's reduction leaves them.
    pub fn reduce(&self, problem: &Problem, losses: Vec<f64>) -> Vec<f64> {
        if problem.reduction == Reduction::None {
            return losses;
        }
        let divisor = self.divisor(problem);
        vec![reduced(self.loss, divisor, problem.empty_mean)]
    }

    /// The z-losses as the problem's reduction leaves them; nothing where there are none.
    pub fn reduce_z(&self, problem: &Problem, z_losses: Vec<f64>) -> Vec<f64> {
        match problem.reduction {
            _ if problem.z_loss == 0.0 => Vec::new(),
            Reduction::None => z_losses,
            _ => vec![reduced(self.z_loss, self.divisor(problem), problem.empty_mean)],
        }
    }
}

/// A sum as a mean over what it is divided by.
fn reduced(sum: f64, divisor: f64, empty_mean: EmptyMean) -> f64 {
    match empty_mean {
        // A NaN row shows, even where nothing has weight.
        _ if divisor != 0.0 || sum.is_nan() => sum / divisor,
        EmptyMean::Nan => f64::NAN,
        EmptyMean::Zero => 0.0,
    }
}

/// What labels and weights say of the rows without a look at the logits: how many there are of each kind,
/// and their weights. The losses are zero.
pub(crate) fn weight_sums(problem: &Problem, inputs: &Inputs<'_>) -> Sums {
    walk::sum_rows(&problem.view, None, &mut [], &mut [], |row, _| {
        let row_weight = row_weight_of(inputs, row);
        let label = inputs.labels.map(|(labels, _)| label_of(problem, inputs, &labels, row));
        let live = |weight| Seen::Live(Live { weight: counted(weight), ..Live::default() });
        let seen = match label {
            None if row_weight == 0.0 => Seen::Ignored,
            None => live(row_weight),
            Some(Label::Ignored) => Seen::Ignored,
            Some(Label::Bad(label)) => Seen::Bad(label),
            Some(Label::Class(class)) => live(row_weight * weight_of(inputs.weight, class)),
        };
        (seen, ())
    })
}

/// The weight of a row: 1 without row weights.
fn row_weight_of(inputs: &Inputs<'_>, row: usize) -> f64 {
    inputs.row_weights.map_or(1.0, |weights| f64::from(weights.data.get(row)))
}

/// What the gradient of a reduced loss is multiplied by: the upstream gradient over the divisor.
pub(crate) fn gradient_scale(upstream: f64, divisor: f64) -> f64 {
    // A mean over nothing moves nothing.
    if divisor == 0.0 { 0.0 } else { upstream / divisor }
}

/// What the gradient of a row's loss is multiplied by: the upstream gradient over the divisor.
enum Scale<'a> {
    /// The same for every row.
    Same(f64),
    /// The row's upstream gradient, undivided.
    PerRow(Floats<'a>),
}

impl<'a> Scale<'a> {
    fn new(problem: &Problem, inputs: &Inputs<'a>, sums: &Sums) -> Self {
        let given = inputs.upstream.map_or(Floats::F32(&[]), |upstream| upstream.data);
        let upstream = match problem.upstream {
            Upstream::PerRow => return Scale::PerRow(given),
            Upstream::Scalar => given.iter().map(f64::from).sum(),
            Upstream::Ones | Upstream::PerElement(_) => 1.0,
        };
        Scale::Same(gradient_scale(upstream, sums.divisor(problem)))
    }

    fn of(&self, row: usize) -> f64 {
        match self {
            Scale::Same(scale) => *scale,
            Scale::PerRow(upstream) => f64::from(upstream.get(row)),
        }
    }
}

/// What a row's label says.
enum Label {
    /// Leave the row out.
    Ignored,
    /// Neither a class nor `ignore_index`.
    Bad(i128),
    /// A class.
    Class(usize),
}

/// A row's label, which nobody looks at where the row has no weight.
fn label_of(problem: &Problem, inputs: &Inputs<'_>, labels: &Labels<'_>, row: usize) -> Label {
    let label = labels.get(row);
    if label == i128::from(problem.ignore_index) || row_weight_of(inputs, row) == 0.0 {
        return Label::Ignored;
    }
    match usize::try_from(label) {
        Ok(class) if class < problem.view.classes => Label::Class(class),
        _ => Label::Bad(label),
    }
}

/// The weight of a class: 1 without weights.
fn weight_of(weight: Option<Floats<'_>>, class: usize) -> f64 {
    weight.map_or(1.0, |weight| f64::from(weight.get(class)))
}

/// What a row of this weight adds to the divisor. One whose weight is no number has a loss of NaN, and leaves the divisor
/// to the others.
fn counted(weight: f64) -> f64 {
    if weight.is_finite() { weight } else { 0.0 }
}

/// `weight * value`, where a weight of 0 leaves nothing of an infinity (but does not hide a NaN).
fn weighed(weight: f64, value: f64) -> f64 {
    if weight == 0.0 && value.is_infinite() { 0.0 } else { weight * value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_weight_leaves_no_infinity_but_a_nan() {
        assert_eq!(weighed(0.0, f64::INFINITY), 0.0);
        assert_eq!(weighed(0.0, f64::NEG_INFINITY), 0.0);
        assert_eq!(weighed(0.5, f64::INFINITY), f64::INFINITY);
        assert_eq!(weighed(-0.5, f64::INFINITY), f64::NEG_INFINITY);
        assert_eq!(weighed(0.5, 3.0), 1.5);
        assert!(weighed(0.0, f64::NAN).is_nan());
    }
}
