//! Comparing numbers with a stated tolerance.

use wgpu_loss::ElementType;

/// The allowed error of a result: `absolute + relative * |truth|`.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub relative: f64,
    pub absolute: f64,
}

impl Tolerance {
    pub const EXACT: Tolerance = Tolerance { relative: 0.0, absolute: 0.0 };

    pub const fn relative(relative: f64) -> Self {
        Self { relative, ..Self::EXACT }
    }

    pub const fn absolute(absolute: f64) -> Self {
        Self { absolute, ..Self::EXACT }
    }

    /// Returns true if `got` is as close to `wanted` as this. NaN and the infinities match only themselves.
    pub fn admits(self, got: f64, wanted: f64) -> bool {
        if wanted.is_finite() {
            (got - wanted).abs() <= self.absolute + self.relative * wanted.abs()
        } else {
            got == wanted || (got.is_nan() && wanted.is_nan())
        }
    }
}

/// Counts the numbers that a comparison judges, and those that it cannot: if more than a hundredth of a number is
/// allowed, any value passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judged {
    pub numbers: usize,
    pub unjudged: usize,
}

impl Judged {
    /// Adds a number and its allowed error. Numbers below the normal ones of an element type are not counted, nor are
    /// sums of a few powers that may be flushed to zero.
    pub fn add(&mut self, element_type: ElementType, wanted: f64, allowed: f64) {
        let least = if element_type == ElementType::F16 { 6.2e-5 } else { 1.2e-34 };
        if wanted.is_finite() && wanted.abs() >= least {
            self.numbers += 1;
            self.unjudged += usize::from(allowed > wanted.abs() / 100.0);
        }
    }

    /// Returns the counts of two comparisons.
    pub fn and(self, other: Self) -> Self {
        Self { numbers: self.numbers + other.numbers, unjudged: self.unjudged + other.unjudged }
    }

    /// Asserts that a comparison proves something: of 20 numbers, one may be a difference without significant digits,
    /// as where an input is its target.
    #[track_caller]
    pub fn assert_says_something(&self, what: &str) {
        let Self { numbers, unjudged } = self;
        assert!(
            unjudged * 20 <= *numbers,
            "{what}: {unjudged} of {numbers} numbers may be off by more than a hundredth"
        );
    }
}

/// Panics with the first element that is too far off.
#[track_caller]
pub fn assert_close(what: &str, got: &[f64], wanted: &[f64], tolerance: Tolerance) {
    assert_eq!(got.len(), wanted.len(), "{what}: number of elements");
    for (i, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        assert!(
            tolerance.admits(got, wanted),
            "{what}[{i}] is {got:e}, expected {wanted:e} within {tolerance:?}: off by {:e}",
            (got - wanted).abs()
        );
    }
}
