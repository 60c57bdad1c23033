//! Sums that keep the digits of their terms.

/// A sum of f64 with the rounding errors of its additions (Neumaier's): its error is about 2^-53 of the terms' sizes
/// for any number of terms, so that it does not depend on the cuts between pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    sum: f64,
    rest: f64,
}

impl Sum {
    /// Adds a term.
    pub fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        self.rest += match self.sum.abs() >= term.abs() {
            true => (self.sum - sum) + term,
            false => (term - sum) + self.sum,
        };
        self.sum = sum;
    }

    /// Returns the sum of these terms and others.
    pub fn merge(mut self, other: Self) -> Self {
        self.add(other.sum);
        self.rest += other.rest;
        self
    }

    /// Returns the sum. If it is infinite, the rounding errors are NaN and are left out.
    pub fn value(self) -> f64 {
        if self.sum.is_finite() { self.sum + self.rest } else { self.sum }
    }
}

impl From<f64> for Sum {
    fn from(sum: f64) -> Self {
        Self { sum, rest: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_of_small_terms() {
        let mut sum = Sum::from(1e16);
        (0..1000).for_each(|_| sum.add(1.0));
        sum.add(-1e16);
        assert_eq!(sum.value(), 1000.0);
        assert_eq!(Sum::from(1e16).merge(1.0.into()).merge((-1e16).into()).value(), 1.0);
    }

    #[test]
    fn infinities_are_those_of_the_terms() {
        let of = |terms: &[f64]| {
            let mut sum = Sum::default();
            terms.iter().for_each(|&term| sum.add(term));
            sum.value()
        };
        let inf = f64::INFINITY;
        assert_eq!(of(&[1.0, inf, 2.0, inf]), inf);
        assert_eq!(of(&[1.0, -inf, 2.0]), -inf);
        assert!(of(&[inf, -inf, 1.0]).is_nan());
        assert!(of(&[1.0, f64::NAN, inf]).is_nan());
        assert_eq!(of(&[f64::MAX, f64::MAX]), inf);
    }
}
