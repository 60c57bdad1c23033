//! Compares one output with the reference's, element by element.

use wgpu_loss::{ElementType, Floats};

use crate::position::position;

/// The allowed relative difference of any single element.
pub const ELEMENT: f64 = 1e-5;

/// The allowed relative difference of the reduced loss. Every row is right to a few roundings, and
/// sums keep it so.
pub const REDUCED: f64 = 2e-6;

/// A unit in the last place of an f32, relative to the number, at most.
pub const UNIT: f64 = f32::EPSILON as f64;

/// A number is judged if its allowed error is no more than this part of itself.
const JUDGED: f64 = 0.01;

/// Returns the allowed error of `e^x` computed on a GPU, and of numbers made of it: WGSL grants `exp` 3 + 2 |x| units
/// in the last place, and its argument is rounded.
pub fn of_power(x: f64) -> f64 {
    x.exp() * (8.0 + 2.5 * x.abs()) * UNIT
}

/// The result of comparing one output.
#[derive(Debug)]
pub struct Compared {
    /// The output's name, in words.
    pub what: &'static str,
    /// The largest relative difference. Infinite if only one of the two is a number.
    pub largest: f64,
    /// The allowed relative difference.
    pub tolerance: f64,
    /// Its type has fewer digits than an f32.
    pub coarse: bool,
    /// The position of the largest difference, the value there and the reference's; `None` for an
    /// empty output.
    pub worst: Option<(String, String, String)>,
    /// The number of numbers compared.
    pub numbers: u64,
    /// The number of those whose allowed error is more than a hundredth of themselves, so that
    /// comparing them proves little.
    pub unjudged: u64,
    /// The number of those that are NaN in both.
    pub nan: u64,
}

impl Compared {
    /// Returns true if the output is right.
    pub fn passed(&self) -> bool {
        self.largest <= self.tolerance
    }

    /// Begins a comparison of numbers that must be equal, whole or counted.
    pub fn exact(what: &'static str, numbers: u64) -> Self {
        Self {
            what,
            largest: 0.0,
            tolerance: 0.0,
            coarse: false,
            worst: None,
            numbers,
            unjudged: 0,
            nan: 0,
        }
    }

    /// Returns the result, for a person.
    pub fn verdict(&self) -> String {
        let Self { what, largest, tolerance, numbers, unjudged, nan, .. } = self;
        let mut notes = Vec::new();
        let found = match *largest {
            _ if *nan > 0 && nan == numbers => format!("{what} NaN in both"),
            // Half a unit of the smallest f16 counts as no difference, and a number may be as small
            // as that.
            0.0 if self.coarse => format!("{what} as its type rounds"),
            0.0 => format!("{what} exact"),
            _ if self.passed() => {
                notes.push(format!("at most {}", short(*tolerance)));
                format!("{what} off by {largest:.1e}")
            }
            _ => {
                notes.push(format!("ABOVE {}", short(*tolerance)));
                format!("{what} off by {largest:.1e}")
            }
        };
        if *nan > 0 && nan < numbers {
            notes.push(format!("{nan} of {numbers} NaN in both"));
        }
        if *unjudged > 0 {
            notes.push(format!("{unjudged} of {numbers} not judged"));
        }
        if notes.is_empty() { found } else { format!("{found} ({})", notes.join("; ")) }
    }

    /// Returns the error if the output is wrong.
    pub fn complaint(&self, discarded: bool) -> String {
        let Self { what, largest, tolerance, .. } = self;
        let at = match &self.worst {
            Some((position, given, wanted)) => {
                format!(" at {position}, {given} where the reference has {wanted}")
            }
            None => String::new(),
        };
        let discarded = if discarded { "; nothing was saved" } else { "" };
        format!(
            "check failed: {what} off by {largest:.1e} where {} is allowed{at}{discarded}",
            short(*tolerance)
        )
    }
}

/// A comparison of one output, piece by piece.
pub struct Comparison<'a> {
    pub given: Floats<'a>,
    shape: &'a [usize],
    seen: usize,
    pub compared: Compared,
}

impl<'a> Comparison<'a> {
    /// Compares numbers whose allowed error is [`ELEMENT`] of themselves, and what their type
    /// rounds.
    pub fn new(what: &'static str, given: Option<Floats<'a>>, shape: &'a [usize]) -> Self {
        let given = given.unwrap_or(Floats::F32(&[]));
        let tolerance = ELEMENT + Rounding::of(given.element_type()).relative;
        let coarse = given.element_type() != ElementType::F32;
        let compared = Compared { tolerance, coarse, ..Compared::exact(what, 0) };
        Self { given, shape, seen: 0, compared }
    }

    /// Compares the next numbers; `off` gives each one's allowed error in addition to the tolerance. Differences are
    /// reported relative to the size for which the tolerance alone would allow as much: the number itself, if `off` is
    /// 0.
    pub fn add(&mut self, first: usize, wanted: &[f64], off: impl Fn(usize) -> f64) {
        let Compared { largest, worst, tolerance, numbers, unjudged, nan, .. } = &mut self.compared;
        let rounding = Rounding::of(self.given.element_type());
        self.seen += wanted.len();
        if first + wanted.len() > self.given.len() {
            *largest = f64::INFINITY;
            return;
        }
        *numbers += wanted.len() as u64;
        for (i, &wanted) in wanted.iter().enumerate() {
            let (given, off) = (self.given.get(first + i), off(i));
            let difference = rounding.difference(given, wanted, wanted.abs() + off / *tolerance);
            let allowed = *tolerance * wanted.abs() + off;
            let sized = wanted.is_finite() && wanted.abs() >= rounding.least;
            let judged = allowed <= JUDGED * wanted.abs() || off.is_infinite();
            *unjudged += u64::from(sized && !judged);
            *nan += u64::from(given.is_nan() && wanted.is_nan());
            if difference > *largest || worst.is_none() {
                let at = position((first + i) as u64, self.shape);
                let (given, wanted) = (format!("{given:e}"), format!("{wanted:e}"));
                (*largest, *worst) = (difference, Some((at, given, wanted)));
            }
        }
    }

    /// Returns the result. All elements should have been compared.
    pub fn done(mut self) -> Compared {
        let elements = self.shape.iter().product::<usize>();
        if self.seen != elements || self.given.len() != elements {
            self.compared.largest = f64::INFINITY;
        }
        self.compared
    }
}

/// Formats a tolerance in two digits at most.
fn short(tolerance: f64) -> String {
    format!("{tolerance:.1e}").replace(".0e", "e")
}

/// The error of storing a number in a type.
struct Rounding {
    element_type: ElementType,
    /// Half a unit in the last place, relative to the number.
    relative: f64,
    /// The absolute error that is always allowed.
    smallest: f64,
    /// The smallest number that has all digits of the type.
    least: f64,
}

impl Rounding {
    fn of(element_type: ElementType) -> Self {
        let normal = f64::from(f32::MIN_POSITIVE);
        let (relative, smallest, least) = match element_type {
            // Half of the smallest f16, and a little for roundings before it.
            ElementType::F16 => (2f64.powi(-11), 0.51 * 2f64.powi(-24), 2f64.powi(-14)),
            ElementType::BF16 => (2f64.powi(-8), normal, normal),
            // A GPU may flush numbers below its smallest normal one to zero, as WGSL allows.
            _ => (0.0, normal, normal),
        };
        Self { element_type, relative, smallest, least }
    }

    /// Rounds a number to the type by way of f32: `half` takes an f64 that is close to a tie for a tie.
    fn rounded(&self, x: f64) -> f64 {
        let x = x as f32;
        match self.element_type {
            ElementType::F16 => half::f16::from_f32(x).to_f64(),
            ElementType::BF16 => half::bf16::from_f32(x).to_f64(),
            _ => f64::from(x),
        }
    }

    /// Returns the difference of two numbers relative to a size; never NaN.
    fn difference(&self, given: f32, wanted: f64, size: f64) -> f64 {
        let a = f64::from(given);
        // Every type has a smaller range than f64, and beyond it infinity is right.
        let overflowed =
            given.is_infinite() && wanted.is_finite() && self.rounded(wanted).is_infinite();
        let b = if overflowed { self.rounded(wanted) } else { wanted };
        if a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < self.smallest {
            return 0.0;
        }
        // A number that overflowed an f32 before it was scaled is infinite.
        if size.is_infinite() && b.is_finite() {
            let infinite = a.is_infinite() && a.signum() == b.signum();
            return if infinite { 0.0 } else { self.difference(given, wanted, b.abs()) };
        }
        if !a.is_finite() || !b.is_finite() {
            return f64::INFINITY;
        }
        if size == 0.0 { f64::INFINITY } else { (a - b).abs() / size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_and_never_nan() {
        let difference =
            |given, wanted, size| Rounding::of(ElementType::F32).difference(given, wanted, size);
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        assert_eq!(difference(1.0, 1.0, 1.0), 0.0);
        assert_eq!(difference(1.5, 1.0, 1.0), 0.5);
        assert_eq!(difference(0.5, 0.0, 2.0), 0.25);
        assert_eq!(difference(0.5, 0.0, 0.0), inf);
        assert_eq!(difference(f32::INFINITY, 1e30, inf), 0.0);
        assert_eq!(difference(f32::NEG_INFINITY, 1e30, inf), inf);
        assert_eq!(difference(1.5, 1.0, inf), 0.5);
        assert_eq!(difference(f32::NAN, nan, nan), 0.0);
        assert_eq!(difference(f32::INFINITY, inf, inf), 0.0);
        assert_eq!(difference(f32::INFINITY, 1e39, 1e39), 0.0);
        assert_eq!(difference(0.0, 1e-39, 1e-39), 0.0);
        assert_eq!(difference(f32::INFINITY, -inf, inf), inf);
        assert_eq!(difference(f32::NAN, 1.0, 1.0), inf);
        assert_eq!(difference(1.0, nan, nan), inf);
        assert_eq!(difference(f32::MAX, inf, inf), inf);
    }

    /// 22.0625 is in the middle between two numbers of the type.
    #[test]
    fn what_is_close_to_a_tie_is_none() {
        let rounding = Rounding::of(ElementType::BF16);
        assert_eq!(rounding.rounded(22.062_503_5), 22.125);
        assert_eq!(rounding.rounded(22.062_496_5), 22.0);
        assert_eq!(rounding.rounded(22.0625), 22.0);
    }

    /// Allowances beyond a share of a number are reported, and outputs that are NaN in both are not called exact.
    #[test]
    fn what_cannot_be_judged_is_counted() {
        let (given, wanted) = ([1.0, 1.0, f32::NAN], [1.0, 1.5, f64::NAN]);
        let mut comparison = Comparison::new("loss", Some((&given).into()), &[3]);
        comparison.add(0, &wanted, |i| if i == 1 { 1.0 } else { 0.0 });
        let compared = comparison.done();
        assert!(compared.passed());
        assert_eq!((compared.numbers, compared.unjudged, compared.nan), (3, 1, 1));
        let verdict = compared.verdict();
        assert!(verdict.contains("1 of 3 NaN in both; 1 of 3 not judged"), "{verdict}");
        let mut all = Comparison::new("loss", Some((&given[2..]).into()), &[1]);
        all.add(0, &[f64::NAN], |_| 0.0);
        assert_eq!(all.done().verdict(), "loss NaN in both");
    }

    #[test]
    fn halves_end_and_round_earlier() {
        let half = Rounding::of(ElementType::F16);
        assert_eq!(half.difference(f32::INFINITY, 1e5, 1e5), 0.0);
        assert_eq!(half.difference(f32::INFINITY, 60_000.0, 6e4), f64::INFINITY);
        // Half of the smallest f16 rounds to 0, and more of it does not.
        assert_eq!(half.difference(0.0, 2f64.powi(-25), 2f64.powi(-25)), 0.0);
        assert_eq!(half.difference(0.0, 2f64.powi(-24), 2f64.powi(-24)), 1.0);
        assert!(half.difference(1.0, 1.0 + 2f64.powi(-11), 1.0) <= half.relative);
        let upper = Rounding::of(ElementType::BF16);
        assert_eq!(upper.difference(f32::INFINITY, 3.4e38, 3.4e38), 0.0);
        assert!(upper.difference(1.0, 1.0 + 2f64.powi(-8), 1.0) <= upper.relative);
    }

    #[test]
    fn the_worst_element_is_named() {
        let given = [1.0, 2.0, 3.3, 4.0];
        let compare = |given: &[f32], wanted: &[&[f64]], shape: &[usize]| {
            let mut comparison = Comparison::new("gradient", Some(given.into()), shape);
            let mut first = 0;
            for wanted in wanted {
                comparison.add(first, wanted, |_| 0.0);
                first += wanted.len();
            }
            comparison.done()
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
