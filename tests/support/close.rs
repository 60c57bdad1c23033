//! Comparing numbers with a stated tolerance.

/// How far a result may be from the truth: `absolute + relative * |truth|`.
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

    /// Whether `got` is as close to `wanted` as this. NaN and the infinities match only themselves.
    pub fn admits(self, got: f64, wanted: f64) -> bool {
        if wanted.is_finite() {
            (got - wanted).abs() <= self.absolute + self.relative * wanted.abs()
        } else {
            got == wanted || (got.is_nan() && wanted.is_nan())
        }
    }
}

/// Panics with the first element that is too far off.
#[track_caller]
pub fn assert_close(what: &str, got: &[f64], wanted: &[f64], tolerance: Tolerance) {
    assert_eq!(got.len(), wanted.len(), "{what}: number of elements");
    for (i, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        assert!(
            tolerance.admits(got, wanted),
            "{what}[{i}] is {got:e}, but {wanted:e} was wanted within {tolerance:?}: off by {:e}",
            (got - wanted).abs()
        );
    }
}
