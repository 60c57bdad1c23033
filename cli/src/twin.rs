//! The f64 reference over tensors of any size: a range of steps at a time.
//!
//! The library's reference wants whole tensors and keeps gradients in f64, which takes several times
//! the memory of the tensors. Here it is asked for sums over ranges, which are added up and divided
//! at the end. A mean over labels is divided by their weights, so a gradient of several ranges takes
//! a pass over the losses first.

use std::ops::Range;

use wgpu_loss::loss::{Divisor, Function};
use wgpu_loss::{
    ClassLosses, EmptyMean, Error, Output, Outputs, Problem, Reduction, Summary, reference,
};

use crate::data::{Cut, Data, Role, Stop};
use crate::formula::Formula;

/// About as many elements are taken at a time: enough for all cores.
const ELEMENTS: usize = 1 << 22;

/// Whether there is a loss: the softmaxes give their distribution alone.
pub fn has_loss(problem: &Problem) -> bool {
    problem.function != Function::Softmax
}

/// What is computed, and over what.
pub struct Question<'a> {
    /// The loss.
    pub formula: &'a Formula,
    /// What is asked for beside it.
    pub outputs: Outputs,
    /// What goes in.
    pub data: &'a Data<'a>,
    /// The loss over this data, stated.
    pub problem: &'a Problem,
}

/// The results for a range of steps, divided by what the whole is divided by.
pub struct Piece<'a> {
    /// The first row, and with it the place of row losses.
    pub row: usize,
    /// The first element.
    pub element: usize,
    /// The first variance. Where all pieces share the variance, its gradient comes with the last one.
    pub variance: usize,
    /// What the sum over rows, and so the gradient, is divided by.
    pub divisor: f64,
    /// The results. The loss is one per row where it is not reduced, and means nothing otherwise.
    pub output: &'a Output<f64>,
}

/// The results for the whole.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    sum: f64,
    z_sum: f64,
    /// What was seen in the rows.
    pub summary: Summary,
    /// The losses of each class, where they were asked for.
    pub classes: Option<ClassLosses>,
}

impl Totals {
    /// Of rows whose losses and z-losses add up to this.
    pub fn new(sum: f64, z_sum: f64, summary: Summary) -> Self {
        Self { sum, z_sum, summary, classes: None }
    }

    /// Adds the next range.
    fn add(&mut self, problem: &Problem, output: &Output<f64>) {
        if problem.reduction != Reduction::None {
            self.sum += output.loss.iter().sum::<f64>();
            self.z_sum += output.z_loss.iter().sum::<f64>();
        }
        self.summary.append(&output.summary);
        if let Some(classes) = &output.classes {
            self.classes.get_or_insert_default().append(classes);
        }
    }

    fn divisor(&self, problem: &Problem) -> f64 {
        match problem.divisor {
            Divisor::Known(divisor) => divisor,
            Divisor::RowWeights => self.summary.weight,
        }
    }

    /// The reduced loss; `None` where it is not reduced, or where there is no loss.
    pub fn loss(&self, problem: &Problem) -> Option<f64> {
        self.reduced(problem, self.sum)
    }

    /// The loss of a row that counts, on average.
    pub fn mean(&self) -> f64 {
        self.sum / self.summary.weight
    }

    /// As [`Totals::loss`], for the z-loss.
    pub fn z_loss(&self, problem: &Problem) -> Option<f64> {
        self.reduced(problem, self.z_sum).filter(|_| problem.z_loss != 0.0)
    }

    fn reduced(&self, problem: &Problem, sum: f64) -> Option<f64> {
        if !has_loss(problem) || problem.reduction == Reduction::None {
            return None;
        }
        let divisor = self.divisor(problem);
        Some(match problem.empty_mean {
            // A NaN row shows, even where nothing has weight.
            _ if divisor != 0.0 || sum.is_nan() => sum / divisor,
            EmptyMean::Nan => f64::NAN,
            EmptyMean::Zero => 0.0,
        })
    }
}

/// Computes everything, giving results piece by piece. `progress` is told the rows that are done.
pub fn run(
    question: &Question<'_>,
    outputs: Outputs,
    take: &mut dyn FnMut(&Piece<'_>) -> Result<(), Stop>,
    progress: &mut dyn FnMut(u64),
) -> Result<Totals, Stop> {
    let Question { problem, .. } = *question;
    let pieces = pieces(problem);
    let mut weights = Totals::default();
    let unknown = problem.divisor == Divisor::RowWeights;
    if unknown && outputs.grad && pieces.len() > 1 {
        for piece in pieces.iter().cloned() {
            weights.add(problem, &compute(question, piece, Outputs::loss())?);
        }
    }
    let mut totals = Totals::default();
    let mut variance = Variance::of(question, &pieces);
    for piece in pieces {
        let (first, cut) = (piece.start, Cut::of(problem));
        let mut output = compute(question, piece, outputs)?;
        totals.add(problem, &output);
        let known = if weights.summary.rows > 0 { &weights } else { &totals };
        let divisor = known.divisor(problem);
        let factor = if divisor == 0.0 { 0.0 } else { 1.0 / divisor };
        let grads = [&mut output.grad, &mut output.target_grad, &mut output.var_grad];
        if problem.reduction != Reduction::None {
            grads.into_iter().flatten().flatten().for_each(|x| *x *= factor);
        }
        variance.merge(&mut output.var_grad);
        let (row, element) = (first * cut.rows, first * cut.elements);
        let variance = first * variance.per_step;
        take(&Piece { row, element, variance, divisor, output: &output })?;
        progress(totals.summary.rows);
    }
    Ok(totals)
}

/// The variance's gradient, which may be a sum over all pieces.
struct Variance {
    /// How many variances there are for each step; 0 where all steps share them.
    per_step: usize,
    /// Pieces that are still to come.
    left: usize,
    sum: Vec<f64>,
}

impl Variance {
    fn of(question: &Question<'_>, pieces: &[Range<usize>]) -> Self {
        let (problem, given) = (question.problem, question.data.get(Role::Var));
        let per_step = given.map_or(0, |given| Cut::of(problem).per_step(problem, given));
        Self { per_step, left: pieces.len(), sum: Vec::new() }
    }

    /// Keeps the gradient of a piece until the last one, where the pieces share it.
    fn merge(&mut self, grad: &mut Option<Vec<f64>>) {
        self.left -= 1;
        let Some(part) = grad.as_mut().filter(|_| self.per_step == 0) else { return };
        self.sum.resize(part.len(), 0.0);
        self.sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += *part);
        *grad = (self.left == 0).then(|| std::mem::take(&mut self.sum));
    }
}

/// The steps, in ranges.
fn pieces(problem: &Problem) -> Vec<Range<usize>> {
    let cut = Cut::of(problem);
    let many = (ELEMENTS / cut.elements.max(1)).max(1);
    let ends = (0..cut.steps.max(1)).step_by(many);
    ends.map(|first| first..cut.steps.min(first.saturating_add(many))).collect()
}

/// One range, summed up or not reduced at all.
fn compute(
    question: &Question<'_>,
    outer: Range<usize>,
    outputs: Outputs,
) -> Result<Output<f64>, Stop> {
    let Question { formula, data, problem, .. } = question;
    let reduction = match problem.reduction {
        Reduction::None => Reduction::None,
        _ => Reduction::Sum,
    };
    let formula = formula.reduced(reduction).of_steps();
    let of = |outer| -> Result<_, Stop> {
        let steps = data.steps(problem, outer)?;
        Ok(reference::run(formula.loss(), &steps.inputs(), outputs)?)
    };
    match of(outer.clone()) {
        Err(Stop::Library(error @ (Error::BadTargets { .. } | Error::BadValues { .. }))) => {
            Err(refused(question, of, outer, error))
        }
        result => result,
    }
}

/// All that is refused, where a range has some of it and those before it have none: bad labels, or values
/// that the loss is not defined for.
fn refused(
    question: &Question<'_>,
    of: impl Fn(Range<usize>) -> Result<Output<f64>, Stop>,
    first_range: Range<usize>,
    mut found: Error,
) -> Stop {
    let (problem, cut) = (question.problem, Cut::of(question.problem));
    let before = |what: &str| match question.data.get(Role::Var).filter(|_| what == "var") {
        Some(given) => first_range.start * cut.per_step(problem, given),
        None => first_range.start * cut.elements,
    };
    match &mut found {
        Error::BadTargets { first, .. } => *first += (first_range.start * cut.rows) as u64,
        Error::BadValues { first, what, .. } => *first += before(what) as u64,
        _ => {}
    }
    let later = pieces(problem).into_iter().filter(|range| range.start > first_range.start);
    for range in later {
        match of(range) {
            Err(Stop::Library(
                Error::BadTargets { count: more, .. } | Error::BadValues { count: more, .. },
            )) => match &mut found {
                Error::BadTargets { count, .. } | Error::BadValues { count, .. } => *count += more,
                _ => {}
            },
            Ok(_) => {}
            Err(stop) => return stop,
        }
    }
    match &mut found {
        Error::BadTargets { rows: all, .. } | Error::BadValues { of: all, .. } => {
            *all = cut.all_rows() as u64;
        }
        _ => {}
    }
    Stop::Library(found)
}
