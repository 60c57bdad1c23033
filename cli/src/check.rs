//! `--check`: the result against the f64 reference, one largest relative difference per output.

use wgpu_loss::loss::{Divisor, Upstream};
use wgpu_loss::{Error, Inputs, Loss, Problem, Summary, TargetType, reference};

use crate::compute::Computed;
use crate::error::position;

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
pub struct Question<'a> {
    /// The loss.
    pub loss: &'a dyn Loss,
    /// What went in.
    pub inputs: &'a Inputs<'a>,
    /// The class weights among them.
    pub weight: Option<&'a [f32]>,
    /// The upstream gradient among them.
    pub upstream: Option<&'a [f32]>,
    /// The loss over these inputs, stated.
    pub problem: &'a Problem,
}

/// Computes everything again in f64 and compares.
pub fn run(question: &Question<'_>, computed: &Computed) -> Result<Vec<Compared>, Error> {
    let problem = question.problem;
    let mut outputs = problem.outputs;
    let cancels = outputs.grad && cancels(problem);
    if cancels {
        outputs = outputs.with_log_probs();
    }
    // The softmaxes ask for what they give by themselves.
    if question.problem.target.is_none() {
        outputs = wgpu_loss::Outputs::loss();
    }
    let wanted = reference::run(question.loss, question.inputs, outputs)?;

    let mut compared = vec![rows(&computed.summary, &wanted.summary)];
    if !wanted.loss.is_empty() {
        let reduced = problem.loss_shape().is_empty();
        let tolerance = if reduced { REDUCED } else { ELEMENT };
        let (given, shape) = (&computed.loss[..], problem.loss_shape());
        compared.push(compare("loss", given, &wanted.loss, shape, tolerance, |_| 0.0));
    }
    let shape = &problem.input_shape[..];
    let element = |what, given: &Option<Vec<f32>>, wanted: &[f64], floor: &dyn Fn(usize) -> f64| {
        compare(what, given.as_deref().unwrap_or_default(), wanted, shape, ELEMENT, floor)
    };
    if let Some(grad) = &wanted.grad {
        let floor = SMALL * largest(grad.iter().copied());
        compared.push(match wanted.log_probs.as_ref().filter(|_| cancels) {
            None => element("gradient", &computed.grad, grad, &|_| floor),
            Some(log_probs) => {
                let heaviest = question.weight.map_or(1.0, |w| largest(w.iter().copied()));
                element("gradient", &computed.grad, grad, &|i| {
                    let scale = scale(question, &wanted.summary, i);
                    (scale * heaviest * log_probs[i].exp()).max(floor)
                })
            }
        });
    }
    if let Some(log_probs) = wanted.log_probs.as_ref().filter(|_| problem.outputs.log_probs) {
        compared.push(element("log-probs", &computed.log_probs, log_probs, &|_| 1e-30));
    }
    if let Some(probs) = &wanted.probs {
        let floor = SMALL * largest(probs.iter().copied());
        compared.push(element("probs", &computed.probs, probs, &|_| floor));
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

/// What the gradient of the row of an element is multiplied by.
fn scale(question: &Question<'_>, summary: &Summary, element: usize) -> f64 {
    let problem = question.problem;
    let upstream = question.upstream.unwrap_or_default();
    let upstream = match problem.upstream {
        Upstream::Ones => 1.0,
        Upstream::Scalar => f64::from(upstream[0]),
        Upstream::PerRow => f64::from(upstream[problem.view.row_and_class(element).0]),
    };
    let divisor = match problem.divisor {
        Divisor::Known(divisor) => divisor,
        Divisor::LabelWeights => summary.weight,
    };
    if divisor == 0.0 { 0.0 } else { (upstream / divisor).abs() }
}

fn compare(
    what: &'static str,
    given: &[f32],
    wanted: &[f64],
    shape: &[usize],
    tolerance: f64,
    floor: impl Fn(usize) -> f64,
) -> Compared {
    if given.len() != wanted.len() {
        return Compared { what, largest: f64::INFINITY, tolerance, worst: None };
    }
    let (mut largest, mut worst) = (0.0, None);
    for (i, (&given, &wanted)) in given.iter().zip(wanted).enumerate() {
        let difference = difference(given, wanted, floor(i));
        if difference > largest || worst.is_none() {
            (largest, worst) = (difference, Some((position(i as u64, shape), given, wanted)));
        }
    }
    Compared { what, largest, tolerance, worst }
}

/// The size of the largest number that is finite.
fn largest<T: Into<f64>>(numbers: impl IntoIterator<Item = T>) -> f64 {
    let sizes = numbers.into_iter().map(|x| x.into().abs());
    sizes.filter(|x| x.is_finite()).fold(0.0, f64::max)
}

/// The relative difference of two numbers; never NaN.
fn difference(given: f32, wanted: f64, floor: f64) -> f64 {
    let a = f64::from(given);
    // f32 ends earlier than f64: beyond its range infinity is right, and below its smallest normal
    // number a GPU may flush to zero, as WGSL allows.
    let overflowed = wanted.is_finite() && (wanted as f32).is_infinite();
    let b = if overflowed { f64::from(wanted as f32) } else { wanted };
    if a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < f64::from(f32::MIN_POSITIVE) {
        return 0.0;
    }
    if !a.is_finite() || !b.is_finite() {
        return f64::INFINITY;
    }
    let size = b.abs().max(floor);
    if size == 0.0 { a.abs() } else { (a - b).abs() / size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_and_never_nan() {
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
    fn the_worst_element_is_named() {
        let given = [1.0, 2.0, 3.3, 4.0];
        let compared = compare("gradient", &given, &[1.0, 2.0, 3.0, 4.0], &[2, 2], 1e-5, |_| 0.0);
        assert!(!compared.passed());
        assert!((compared.largest - 0.1).abs() < 1e-6);
        let complaint = compared.complaint(true);
        assert!(complaint.contains("gradient") && complaint.contains("at [1, 0]"), "{complaint}");
        let short = compare("loss", &given[..3], &[1.0; 4], &[4], 1e-5, |_| 0.0);
        assert!(!short.passed());
        let empty = compare("loss", &[], &[], &[0], 1e-5, |_| 0.0);
        assert!(empty.passed());
    }
}
