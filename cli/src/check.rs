//! `--check`: the result against the f64 reference, one largest relative difference per output.

use wgpu_loss::loss::Upstream;
use wgpu_loss::{ElementType, Floats, Problem, Reduction, Summary, TargetType};

use crate::data::Stop;
use crate::error::{Failure, position};
use crate::twin::{self, Piece, Question};

/// What the reduced loss may differ by. Every row is right to a few roundings and sums keep it so.
const REDUCED: f64 = 2e-6;
/// What any single element may differ by.
const ELEMENT: f64 = 1e-5;
/// Gradients and probabilities that are smaller than the largest by this much are measured against
/// what is left of it: they move nothing.
const SMALL: f64 = 1e-3;

/// One output compared.
#[derive(Debug)]
pub struct Compared {
    /// Which output, in words.
    pub what: &'static str,
    /// The largest relative difference. Infinite where only one of the two is a number.
    pub largest: f64,
    /// What it may be.
    pub tolerance: f64,
    /// Where it is, the value there and what the reference has there; `None` for an empty output.
    worst: Option<(String, f32, f64)>,
}

impl Compared {
    /// Whether it is right.
    pub fn passed(&self) -> bool {
        self.largest <= self.tolerance
    }

    /// What was found, for a person.
    pub fn verdict(&self) -> String {
        let Self { what, largest, tolerance, .. } = self;
        match *largest {
            // Half a unit of the smallest f16 is no difference, and that may be all of a number.
            0.0 if *tolerance > ELEMENT => format!("{what} as its type rounds"),
            0.0 => format!("{what} exact"),
            _ if self.passed() => format!("{what} off by {largest:.1e} (at most {tolerance:e})"),
            _ => format!("{what} off by {largest:.1e} (ABOVE {tolerance:e})"),
        }
    }

    /// What to say where it is not.
    pub fn complaint(&self, discarded: bool) -> String {
        let Self { what, largest, tolerance, .. } = self;
        let at = match &self.worst {
            Some((position, given, wanted)) => {
                format!(" at {position}, {given:e} where the reference has {wanted:e}")
            }
            None => String::new(),
        };
        let discarded = if discarded { "; nothing was saved" } else { "" };
        format!(
            "check failed: {what} off by {largest:.1e} where {tolerance:e} is allowed{at}{discarded}"
        )
    }
}

/// What was computed.
pub struct Given<'a> {
    /// The reduced loss.
    pub loss: Option<f32>,
    /// What was seen in the rows.
    pub summary: Summary,
    /// One loss per row, where it is not reduced.
    pub row_loss: Option<Floats<'a>>,
    /// The gradient.
    pub grad: Option<Floats<'a>>,
    /// The log-probabilities or probabilities.
    pub distribution: Option<Floats<'a>>,
}

/// Computes everything again in f64 and compares, a range of rows at a time.
pub fn run(
    question: &Question<'_>,
    given: &Given<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Compared>, Stop> {
    let problem = question.problem;
    let mut outputs = question.outputs();
    let spread = outputs.grad && cancels(problem);
    if spread {
        outputs = outputs.with_log_probs();
    }
    let logs = problem.outputs.log_probs;
    let (name, small) = if logs { ("log-probs", 0.0) } else { ("probs", SMALL) };
    let mut losses = Comparison::new("loss", given.row_loss, problem.loss_shape(), 0.0);
    let mut grads = Comparison::new("gradient", given.grad, &problem.input_shape, SMALL);
    let mut shares = Comparison::new(name, given.distribution, &problem.input_shape, small);
    let weights = question.data.weight.as_ref();
    let weights = weights.map(|w| w.part(0..problem.view.classes)).transpose()?;
    let heaviest = weights.map_or(1.0, |weights| largest(weights.floats().iter()));

    let unreduced = problem.target.is_some() && problem.reduction == Reduction::None;
    let mut compare = |piece: &Piece<'_>| {
        let output = piece.output;
        if unreduced {
            losses.add(piece.row, &output.loss, |_| 0.0);
        }
        if let Some(grad) = &output.grad {
            match output.log_probs.as_ref().filter(|_| spread) {
                None => grads.add(piece.element, grad, |_| 0.0),
                Some(log_probs) => {
                    let scales = scales(question, piece)?;
                    grads.add(piece.element, grad, |i| {
                        let row = problem.view.row_and_class(piece.element + i).0 - piece.row;
                        scales.of(row) * heaviest * log_probs[i].exp()
                    });
                }
            }
        }
        if let Some(log_probs) = output.log_probs.as_ref().filter(|_| logs) {
            shares.add(piece.element, log_probs, |_| 1e-30);
        }
        if let Some(probs) = &output.probs {
            shares.add(piece.element, probs, |_| 0.0);
        }
        Ok(())
    };
    let totals = twin::run(question, outputs, &mut compare, progress)?;

    let mut compared = vec![rows(&given.summary, &totals.summary)];
    if let Some(wanted) = totals.loss(problem) {
        let mut loss = Comparison::new("loss", None, &[], 0.0);
        loss.compared.tolerance = REDUCED;
        let given = [given.loss.unwrap_or(f32::NAN)];
        loss.given = Floats::F32(&given);
        loss.add(0, &[wanted], |_| 0.0);
        compared.push(loss.compared);
    } else if problem.target.is_some() {
        compared.push(losses.done(problem.view.rows()));
    }
    let elements = problem.view.elements();
    if outputs.grad {
        compared.push(grads.done(elements));
    }
    if logs || problem.target.is_none() {
        compared.push(shares.done(elements));
    }
    Ok(compared)
}

/// How many rows count is a whole number and has to be the same.
fn rows(given: &Summary, wanted: &Summary) -> Compared {
    let tolerance = 0.0;
    let largest = given.live.abs_diff(wanted.live) as f64 / wanted.live.max(1) as f64;
    Compared { what: "live rows", largest, tolerance, worst: None }
}

/// Whether the gradient is a difference of two rounded numbers, `V p - w q'`: so it is for class
/// probabilities and for smoothed labels. Where the two are nearly equal their difference has few
/// digits in any arithmetic, and it is measured against `V p` instead. A plain label's gradient is a
/// product, and is measured against itself.
fn cancels(problem: &Problem) -> bool {
    matches!(problem.target, Some(TargetType::Probabilities(_))) || problem.label_smoothing > 0.0
}

/// What the gradients of rows are multiplied by.
enum Scales {
    Same(f64),
    PerRow(Vec<f64>),
}

impl Scales {
    fn of(&self, row: usize) -> f64 {
        match self {
            Scales::Same(scale) => *scale,
            Scales::PerRow(scales) => scales[row],
        }
    }
}

/// Those of a piece's rows.
fn scales(question: &Question<'_>, piece: &Piece<'_>) -> Result<Scales, Failure> {
    let divisor = piece.divisor;
    let scaled = |x: f32| if divisor == 0.0 { 0.0 } else { (f64::from(x) / divisor).abs() };
    let Some(upstream) = &question.data.upstream else { return Ok(Scales::Same(scaled(1.0))) };
    if question.problem.upstream != Upstream::PerRow {
        return Ok(Scales::Same(scaled(upstream.part(0..1)?.floats().get(0))));
    }
    let rows = piece.output.summary.rows as usize;
    let part = upstream.part(piece.row..piece.row + rows)?;
    Ok(Scales::PerRow(part.floats().iter().map(scaled).collect()))
}

/// One output, compared piece by piece.
struct Comparison<'a> {
    given: Floats<'a>,
    shape: &'a [usize],
    /// What differences are measured against at least.
    floor: f64,
    seen: usize,
    compared: Compared,
}

impl<'a> Comparison<'a> {
    /// Of numbers that are measured against themselves, or against `small` times the largest of them.
    /// That is the given's largest: where it is not the reference's too, the check fails anyway.
    fn new(what: &'static str, given: Option<Floats<'a>>, shape: &'a [usize], small: f64) -> Self {
        let given = given.unwrap_or(Floats::F32(&[]));
        let floor = if small == 0.0 { 0.0 } else { small * largest(given.iter()) };
        let tolerance = ELEMENT + Rounding::of(given.element_type()).relative;
        let compared = Compared { what, largest: 0.0, tolerance, worst: None };
        Self { given, shape, floor, seen: 0, compared }
    }

    /// The next numbers, with what each is measured against at least.
    fn add(&mut self, first: usize, wanted: &[f64], floor: impl Fn(usize) -> f64) {
        let Compared { largest, worst, .. } = &mut self.compared;
        let rounding = Rounding::of(self.given.element_type());
        self.seen += wanted.len();
        if first + wanted.len() > self.given.len() {
            *largest = f64::INFINITY;
            return;
        }
        for (i, &wanted) in wanted.iter().enumerate() {
            let given = self.given.get(first + i);
            let difference = rounding.difference(given, wanted, floor(i).max(self.floor));
            if difference > *largest || worst.is_none() {
                let at = position((first + i) as u64, self.shape);
                (*largest, *worst) = (difference, Some((at, given, wanted)));
            }
        }
    }

    /// What was found, where all elements should have been seen.
    fn done(mut self, elements: usize) -> Compared {
        if self.seen != elements || self.given.len() != elements {
            self.compared.largest = f64::INFINITY;
        }
        self.compared
    }
}

/// The size of the largest number that is finite.
fn largest(numbers: impl IntoIterator<Item = f32>) -> f64 {
    let sizes = numbers.into_iter().map(|x| f64::from(x.abs()));
    sizes.filter(|x| x.is_finite()).fold(0.0, f64::max)
}

/// What storing a number in a type costs.
struct Rounding {
    element_type: ElementType,
    /// Half a unit in the last place, relative to the number.
    relative: f64,
    /// Numbers may be off by this much.
    smallest: f64,
}

impl Rounding {
    fn of(element_type: ElementType) -> Self {
        let (relative, smallest) = match element_type {
            // Half of the smallest number there is, and a little for what is rounded before.
            ElementType::F16 => (2f64.powi(-11), 0.51 * 2f64.powi(-24)),
            ElementType::BF16 => (2f64.powi(-8), f64::from(f32::MIN_POSITIVE)),
            // Below its smallest normal number a GPU may flush to zero, as WGSL allows.
            _ => (0.0, f64::from(f32::MIN_POSITIVE)),
        };
        Self { element_type, relative, smallest }
    }

    /// A number as the type has it.
    fn rounded(&self, x: f64) -> f64 {
        match self.element_type {
            ElementType::F16 => half::f16::from_f64(x).to_f64(),
            ElementType::BF16 => half::bf16::from_f64(x).to_f64(),
            _ => f64::from(x as f32),
        }
    }

    /// The relative difference of two numbers; never NaN.
    fn difference(&self, given: f32, wanted: f64, floor: f64) -> f64 {
        let a = f64::from(given);
        // Every type ends earlier than f64, and beyond its range infinity is right.
        let overflowed =
            given.is_infinite() && wanted.is_finite() && self.rounded(wanted).is_infinite();
        let b = if overflowed { self.rounded(wanted) } else { wanted };
        if a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < self.smallest {
            return 0.0;
        }
        if !a.is_finite() || !b.is_finite() {
            return f64::INFINITY;
        }
        let size = b.abs().max(floor);
        if size == 0.0 { a.abs() } else { (a - b).abs() / size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_and_never_nan() {
        let difference =
            |given, wanted, floor| Rounding::of(ElementType::F32).difference(given, wanted, floor);
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        assert_eq!(difference(1.0, 1.0, 0.0), 0.0);
        assert_eq!(difference(1.5, 1.0, 0.0), 0.5);
        assert_eq!(difference(0.5, 0.0, 0.0), 0.5);
        assert_eq!(difference(0.5, 0.0, 2.0), 0.25);
        assert_eq!(difference(f32::NAN, nan, 0.0), 0.0);
        assert_eq!(difference(f32::INFINITY, inf, 0.0), 0.0);
        assert_eq!(difference(f32::INFINITY, 1e39, 0.0), 0.0);
        assert_eq!(difference(0.0, 1e-39, 0.0), 0.0);
        assert_eq!(difference(f32::INFINITY, -inf, 0.0), inf);
        assert_eq!(difference(f32::NAN, 1.0, 0.0), inf);
        assert_eq!(difference(1.0, nan, 0.0), inf);
        assert_eq!(difference(f32::MAX, inf, 0.0), inf);
    }

    #[test]
    fn halves_end_and_round_earlier() {
        let half = Rounding::of(ElementType::F16);
        assert_eq!(half.difference(f32::INFINITY, 1e5, 0.0), 0.0);
        assert_eq!(half.difference(f32::INFINITY, 60_000.0, 0.0), f64::INFINITY);
        // Half of the smallest f16 rounds to 0, and more of it does not.
        assert_eq!(half.difference(0.0, 2f64.powi(-25), 0.0), 0.0);
        assert_eq!(half.difference(0.0, 2f64.powi(-24), 0.0), 1.0);
        assert!(half.difference(1.0, 1.0 + 2f64.powi(-11), 0.0) <= half.relative);
        let upper = Rounding::of(ElementType::BF16);
        assert_eq!(upper.difference(f32::INFINITY, 3.4e38, 0.0), 0.0);
        assert!(upper.difference(1.0, 1.0 + 2f64.powi(-8), 0.0) <= upper.relative);
    }

    #[test]
    fn the_worst_element_is_named() {
        let given = [1.0, 2.0, 3.3, 4.0];
        let compare = |given: &[f32], wanted: &[&[f64]], shape: &[usize]| {
            let mut comparison = Comparison::new("gradient", Some(given.into()), shape, 0.0);
            let mut first = 0;
            for wanted in wanted {
                comparison.add(first, wanted, |_| 0.0);
                first += wanted.len();
            }
            comparison.done(shape.iter().product())
        };
        let compared = compare(&given, &[&[1.0, 2.0], &[3.0, 4.0]], &[2, 2]);
        assert!(!compared.passed());
        assert!((compared.largest - 0.1).abs() < 1e-6);
        let complaint = compared.complaint(true);
        assert!(complaint.contains("gradient") && complaint.contains("at [1, 0]"), "{complaint}");
        assert!(!compare(&given[..3], &[&[1.0; 4]], &[4]).passed());
        assert!(!compare(&given, &[&[1.0, 2.0, 3.3f32.into()]], &[4]).passed());
        assert!(compare(&[], &[&[]], &[0]).passed());
    }
}
