//! `--check`: the result against the f64 reference, one largest relative difference per output.
//!
//! ```text
//! comparison  one output, element by element     words   predicted classes and ranks
//! terms       what numbers are measured against that are differences of larger ones
//! points      the same for losses of single elements
//! ```

mod comparison;
mod points;
mod terms;
mod words;

use wgpu_loss::loss::Function;
use wgpu_loss::{ClassLosses, Floats, LargeOutput, Problem, Reduction, Summary};

pub use self::comparison::Compared;
use self::comparison::{Comparison, ELEMENT, of_power};
use self::points::Floors;
use self::terms::Terms;
use self::words::Words;
use crate::data::{Role, Stop};
use crate::error::Failure;
use crate::twin::{self, Piece, Question, has_loss};

/// What the reduced loss may differ by. Every row is right to a few roundings and sums keep it so.
const REDUCED: f64 = 2e-6;
/// Gradients and probabilities that are smaller than the largest by this much are measured against
/// what is left of it: they move nothing.
const SMALL: f64 = 1e-3;
/// An entropy is measured against this at least: what is left of it is of probabilities that f32 has not.
const ENTROPY: f64 = 1e-30;
/// A log-sum-exp is measured against this at least: it is the sum of the largest logit and a logarithm, and
/// may be next to nothing.
const LSE: f64 = 1.0;

/// What was computed.
#[derive(Debug, Default)]
pub struct Answer<'a> {
    /// The reduced loss.
    pub loss: Option<f32>,
    /// The reduced z-loss.
    pub z_loss: Option<f32>,
    /// What was seen in the rows.
    pub summary: Summary,
    /// The losses of each class.
    pub classes: Option<&'a ClassLosses>,
    /// What there is for each row or element.
    pub floats: Vec<(LargeOutput, Floats<'a>)>,
    /// The same in whole numbers.
    pub words: Vec<(LargeOutput, &'a [u32])>,
}

/// Computes everything again in f64 and compares, a range of rows at a time.
pub fn run(
    question: &Question<'_>,
    computed: &Answer<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Compared>, Stop> {
    let problem = question.problem;
    let terms = Terms::of(question)?;
    let outputs = terms.outputs(problem, question.outputs);
    let mut all = Comparisons::new(question, computed, &terms);
    let mut compare = |piece: &Piece<'_>| all.add(question, piece, &terms);
    let totals = twin::run(question, outputs, &mut compare, progress)?;
    let summed = all.terms;
    let loss = totals.loss(problem);
    let confident = loss.map_or(0.0, |loss| {
        let mean = totals.mean();
        loss.abs() * confident(problem, mean, REDUCED) / mean
    });

    let mut compared = vec![rows(&computed.summary, &totals.summary)];
    for (what, given, wanted, floor) in [
        ("loss", computed.loss, loss, summed.max(confident)),
        ("z-loss", computed.z_loss, totals.z_loss(problem), summed),
    ] {
        if let Some(wanted) = wanted {
            let mut reduced = reduced(what, given, wanted, floor);
            reduced.tolerance += terms.rounding;
            compared.push(reduced);
        }
    }
    compared.extend(all.done());
    compared.extend(right(question, &computed.summary, &totals.summary)?);
    if let Some(wanted) = &totals.classes {
        let given = computed.classes.cloned().unwrap_or_default();
        let mut classes = classes(&given, wanted, words::mapped(problem));
        classes.tolerance += terms.rounding;
        compared.push(classes);
    }
    Ok(compared)
}

/// What the loss of a row, or the mean of several, is measured against at least. A small one is a sum of powers
/// `e^-d` of distances `d` that are about minus its logarithm, and the mean of many is off by no more than one of
/// their mean.
fn confident(problem: &Problem, loss: f64, tolerance: f64) -> f64 {
    let softmax = problem.function == Function::CrossEntropy;
    if softmax && loss > 0.0 && loss < 1.0 { of_power(loss.ln()) / tolerance } else { 0.0 }
}

/// A reduced loss, and what it is measured against at least.
fn reduced(what: &'static str, given: Option<f32>, wanted: f64, terms: f64) -> Compared {
    let given = [given.unwrap_or(f32::NAN)];
    let mut loss = Comparison::new(what, Some(Floats::F32(&given)), &[], 0.0);
    loss.compared.tolerance = REDUCED;
    loss.add(0, &[wanted], |_| terms);
    loss.compared
}

/// How many rows count is a whole number and has to be the same.
fn rows(given: &Summary, wanted: &Summary) -> Compared {
    count("live rows", given.live, wanted.live)
}

fn count(what: &'static str, given: u64, wanted: u64) -> Compared {
    let largest = given.abs_diff(wanted) as f64 / wanted.max(1) as f64;
    Compared { what, largest, tolerance: 0.0, coarse: false, worst: None }
}

/// How many rows are predicted right. Logits that are scaled or capped are rounded, and unequal ones may
/// become equal.
fn right(
    question: &Question<'_>,
    given: &Summary,
    wanted: &Summary,
) -> Result<Vec<Compared>, Failure> {
    let mut compared = Vec::new();
    let counts = [
        ("right rows", question.outputs.accuracy, given.correct, wanted.correct),
        ("top rows", question.outputs.top_k > 0, given.top_k, wanted.top_k),
    ];
    for (what, asked, given, wanted) in counts {
        let as_good = || words::doubtful(question, given.abs_diff(wanted));
        match asked && given != wanted && as_good()? {
            true => compared.push(count(what, wanted, wanted)),
            false if asked => compared.push(count(what, given, wanted)),
            false => {}
        }
    }
    Ok(compared)
}

fn found<T: Copy>(all: &[(LargeOutput, T)], what: LargeOutput) -> Option<T> {
    all.iter().find(|(other, _)| *other == what).map(|(_, found)| *found)
}

/// The losses of each class. A GPU adds them in units of 2^-56, and cuts off the rest of each.
fn classes(given: &ClassLosses, wanted: &ClassLosses, mapped: bool) -> Compared {
    let losses: Vec<f32> = given.loss.iter().map(|&loss| loss as f32).collect();
    let shape = [wanted.loss.len()];
    let mut compared = Comparison::new("class losses", Some(Floats::F32(&losses)), &shape, 0.0);
    let unit = 2f64.powi(-56) / ELEMENT;
    compared.add(0, &wanted.loss, |class| unit * wanted.rows[class] as f64);
    let mut compared = compared.done();
    // Of logits that are rounded, as many as there are in all.
    let right = mapped || given.correct == wanted.correct;
    if given.rows != wanted.rows || !right {
        (compared.largest, compared.worst) = (f64::INFINITY, None);
    }
    compared
}

/// All outputs that there is something for each row or element of.
struct Comparisons<'a> {
    floats: Vec<(LargeOutput, Comparison<'a>)>,
    words: Vec<(LargeOutput, Words<'a>)>,
    /// The size of what the reduced loss is a sum of, where its terms have either sign.
    terms: f64,
    /// That of the variance's gradient, over the pieces so far that share the variance.
    variance: Vec<f64>,
}

impl<'a> Comparisons<'a> {
    fn new(question: &Question<'a>, answer: &Answer<'a>, terms: &Terms) -> Self {
        let problem = question.problem;
        let logs = problem.outputs.log_probs;
        let (name, small) = if logs { ("log-probs", 0.0) } else { ("probs", SMALL) };
        let var = question.data.get(Role::Var).map_or(&[][..], |given| given.shape);
        let (elements, rows) = (&problem.input_shape[..], &problem.row_shape[..]);
        let unreduced = has_loss(problem) && problem.reduction == Reduction::None;
        let all = [
            (LargeOutput::RowLoss, "loss", rows, 0.0, unreduced),
            (LargeOutput::ZLoss, "z-loss", rows, 0.0, unreduced),
            (LargeOutput::Grad, "gradient", elements, SMALL, true),
            (LargeOutput::TargetGrad, "target's gradient", elements, SMALL, true),
            (LargeOutput::VarGrad, "variance's gradient", var, SMALL, true),
            (LargeOutput::Distribution, name, elements, small, true),
            (LargeOutput::Lse, "lse", rows, 0.0, true),
            (LargeOutput::Entropy, "entropy", rows, 0.0, true),
            (LargeOutput::RowWeights, "row weights", rows, 0.0, true),
        ];
        let floats = all.into_iter().filter(|(.., wanted)| *wanted).filter_map(
            |(what, name, shape, small, _)| {
                let mut comparison =
                    Comparison::new(name, Some(found(&answer.floats, what)?), shape, small);
                comparison.compared.tolerance += terms.rounding;
                Some((what, comparison))
            },
        );
        let words = [(LargeOutput::Argmax, "argmax"), (LargeOutput::Rank, "rank")];
        let words = words.into_iter().filter_map(|(what, name)| {
            Some((what, Words::new(name, found(&answer.words, what)?, problem)))
        });
        Self { floats: floats.collect(), words: words.collect(), terms: 0.0, variance: Vec::new() }
    }

    /// The reference's next rows.
    fn add(
        &mut self,
        question: &Question<'_>,
        piece: &Piece<'_>,
        terms: &Terms,
    ) -> Result<(), Stop> {
        let (problem, output, rows) = (question.problem, piece.output, &piece.output.rows);
        let points = match problem.pointwise {
            Some(_) => Some(Floors::of(question, piece, &terms::scales(question, piece)?)?),
            None => None,
        };
        let of = |floors: Option<&Vec<f64>>, i: usize| floors.map_or(0.0, |floors| floors[i]);
        if let Some(points) = &points {
            self.terms +=
                (points.loss.iter().sum::<f64>() + points.powers / REDUCED) / piece.divisor;
            self.variance.resize(points.var_grad.len(), 0.0);
            self.variance.iter_mut().zip(&points.var_grad).for_each(|(all, more)| *all += more);
        }
        for (what, comparison) in &mut self.floats {
            match what {
                LargeOutput::RowLoss => {
                    let floors = points.as_ref().map(|points| &points.loss);
                    let confident = |i: usize| match points {
                        None => confident(problem, output.loss[i], ELEMENT),
                        Some(_) => of(floors, i),
                    };
                    comparison.add(piece.row, &output.loss, confident);
                }
                LargeOutput::TargetGrad => {
                    let floors = points.as_ref().map(|points| &points.target_grad);
                    let wanted = output.target_grad.as_ref();
                    comparison.add_some(piece.element, wanted, |i| of(floors, i));
                }
                LargeOutput::VarGrad => {
                    let floors = Some(&self.variance);
                    let wanted = output.var_grad.as_ref();
                    comparison.add_some(piece.variance, wanted, |i| of(floors, i));
                }
                LargeOutput::ZLoss => {
                    let floor = LSE * f64::from(problem.z_loss).abs();
                    comparison.add(piece.row, &output.z_loss, |_| floor);
                }
                LargeOutput::Grad => {
                    let of_classes = terms.of_gradient(question, piece)?;
                    let of_points = points.as_ref().map(|points| &points.grad);
                    let floors = of_classes.as_ref().or(of_points);
                    comparison.add_some(piece.element, output.grad.as_ref(), |i| of(floors, i));
                }
                LargeOutput::Distribution => {
                    let wanted = output.probs.as_ref().or(output.log_probs.as_ref());
                    comparison.add_some(piece.element, wanted, |_| 1e-30);
                }
                LargeOutput::Lse => comparison.add_some(piece.row, rows.lse.as_ref(), |_| LSE),
                LargeOutput::Entropy => {
                    comparison.add_some(piece.row, rows.entropy.as_ref(), |_| ENTROPY)
                }
                _ => comparison.add_some(piece.row, rows.weights.as_ref(), |_| 0.0),
            }
        }
        if output.var_grad.is_some() {
            self.variance.clear();
        }
        for (what, words) in &mut self.words {
            let wanted = if *what == LargeOutput::Argmax { &rows.argmax } else { &rows.rank };
            words.add(question, piece.row, wanted.as_deref().unwrap_or(&[]))?;
        }
        Ok(())
    }

    fn done(self) -> impl Iterator<Item = Compared> {
        let floats = self.floats.into_iter().map(|(_, comparison)| comparison.done());
        floats.chain(self.words.into_iter().map(|(_, words)| words.done()))
    }
}

#[cfg(test)]
mod tests {
    use wgpu_loss::loss::Shapes;
    use wgpu_loss::{CrossEntropy, LabelType, Loss, Outputs, TargetType};

    use super::*;

    /// What WGSL grants `exp` is passed, and several times as much is not.
    #[test]
    fn confident_losses_are_as_exact_as_powers() {
        let target = TargetType::Labels(LabelType::U8);
        let shapes = Shapes::new(&[1, 2]).target(target, &[1]);
        let problem = CrossEntropy::new().problem(&shapes, Outputs::loss()).unwrap();
        for d in 1..70 {
            let d = f64::from(d);
            let wanted = (-d).exp().ln_1p();
            let floor = confident(&problem, wanted, REDUCED);
            let passed = |units: f64| {
                let given = wanted * (1.0 + units * f64::from(f32::EPSILON));
                reduced("loss", Some(given as f32), wanted, floor).passed()
            };
            assert!(passed(3.0 + 2.0 * d), "{d}");
            assert!(!passed(4.0 * (8.0 + 2.0 * d)), "{d}");
        }
    }
}
