//! Sums without rounding.

/// The sum of numbers, exact however they are grouped and in whatever order they come: partial results of several
/// machines add up to the bits that one machine has.
///
/// It is kept as numbers whose digits do not overlap (Shewchuk, "Adaptive precision floating-point arithmetic", 1997):
/// mostly two or three. A sum beyond the range of f64 is infinite.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactSum {
    /// From the smallest to the largest; none is 0.
    parts: Vec<f64>,
    /// The sum of the terms that are infinite or NaN; 0 if there are none.
    special: f64,
}

impl ExactSum {
    /// Adds a term.
    pub fn add(&mut self, term: f64) {
        if !term.is_finite() {
            self.special += term;
            return;
        }
        let (mut sum, mut kept) = (term, 0);
        for index in 0..self.parts.len() {
            let (rounded, rest) = two_sum(sum, self.parts[index]);
            if !rounded.is_finite() || !rest.is_finite() {
                // Near the largest f64, the rest of a finite sum may overflow too.
                self.special += f64::INFINITY.copysign(rounded);
                return;
            }
            if rest != 0.0 {
                self.parts[kept] = rest;
                kept += 1;
            }
            sum = rounded;
        }
        self.parts.truncate(kept);
        if sum != 0.0 {
            self.parts.push(sum);
        }
    }

    /// Adds all terms of another sum.
    pub fn merge(&mut self, other: &Self) {
        self.special += other.special;
        other.parts.iter().for_each(|&part| self.add(part));
    }

    /// Returns the nearest f64, the even one of two.
    pub fn value(&self) -> f64 {
        if self.special != 0.0 {
            return self.special;
        }
        let mut smaller = self.parts.iter().rev().copied();
        let Some(mut sum) = smaller.next() else { return 0.0 };
        while let Some(part) = smaller.next() {
            let (rounded, rest) = two_sum(sum, part);
            sum = rounded;
            if rest != 0.0 {
                // If the rest is half a unit, that was a tie, which the sign of what follows decides.
                let (further, left) = two_sum(sum, 2.0 * rest);
                let beyond = smaller.next().is_some_and(|next| (next > 0.0) == (rest > 0.0));
                return if beyond && left == 0.0 { further } else { sum };
            }
        }
        sum
    }

    /// Returns the sum as numbers of falling size, each the nearest to what is left of the sum: the same for the same
    /// sum. A sum that is infinite or NaN is one number.
    pub fn digits(&self) -> Vec<f64> {
        if self.special != 0.0 {
            return vec![self.special];
        }
        let (mut digits, mut left) = (Vec::new(), self.clone());
        loop {
            match left.value() {
                0.0 => return digits,
                digit => {
                    digits.push(digit);
                    left.add(-digit);
                }
            }
        }
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.digits() == other.digits()
    }
}

impl From<f64> for ExactSum {
    fn from(term: f64) -> Self {
        let mut sum = Self::default();
        sum.add(term);
        sum
    }
}

impl FromIterator<f64> for ExactSum {
    fn from_iter<T: IntoIterator<Item = f64>>(terms: T) -> Self {
        let mut sum = Self::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

/// Returns the rounded sum of two numbers, and what the rounding left out.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of very different sizes and both signs, in a fixed disorder.
    fn terms(count: usize) -> Vec<f64> {
        let mut seed = 7u64;
        let mut next = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            seed
        };
        (0..count)
            .map(|_| {
                let digits = (next() >> 11) as f64 - (1u64 << 52) as f64;
                digits * 2f64.powi((next() >> 57) as i32 - 100)
            })
            .collect()
    }

    /// Returns the sum in units of 2^-100, by integers.
    fn in_units(terms: &[f64]) -> i128 {
        terms.iter().map(|&term| (term * 2f64.powi(70)) as i128).sum()
    }

    #[test]
    fn groups_and_orders_do_not_matter() {
        let terms = terms(2000);
        let all: ExactSum = terms.iter().copied().collect();
        let backwards: ExactSum = terms.iter().rev().copied().collect();
        assert_eq!(all.value().to_bits(), backwards.value().to_bits());
        for size in [1, 2, 7, 64, 999, 2000] {
            let mut merged = ExactSum::default();
            let groups: Vec<ExactSum> =
                terms.chunks(size).map(|chunk| chunk.iter().copied().collect()).collect();
            groups.iter().rev().for_each(|group| merged.merge(group));
            assert_eq!(merged, all, "groups of {size}");
            assert_eq!(merged.value().to_bits(), all.value().to_bits());
        }
        // Unlike their plain sums.
        let plain = |terms: &mut dyn Iterator<Item = &f64>| terms.sum::<f64>();
        assert_ne!(plain(&mut terms.iter()), plain(&mut terms.iter().rev()));
    }

    #[test]
    fn nothing_is_rounded() {
        // Multiples of 2^-70 below 2^50 in size, whose sum integers have too.
        let terms: Vec<f64> = terms(3000)
            .into_iter()
            .map(|term| (term * 2f64.powi(70)).trunc() * 2f64.powi(-70))
            .filter(|term| term.abs() < 2f64.powi(50))
            .collect();
        assert!(terms.len() > 1000);
        let sum: ExactSum = terms.iter().copied().collect();
        let wanted = in_units(&terms);
        assert_eq!(in_units(&sum.digits()), wanted);
        assert_eq!(sum.value(), wanted as f64 * 2f64.powi(-70));
    }

    #[test]
    fn ties_are_rounded_by_what_follows() {
        let half = f64::EPSILON / 2.0;
        let least = f64::MIN_POSITIVE;
        for (terms, wanted) in [
            (vec![1.0, half], 1.0),
            (vec![1.0, half, least], 1.0 + f64::EPSILON),
            (vec![1.0, half, -least], 1.0),
            (vec![1.0 + f64::EPSILON, half], 1.0 + 2.0 * f64::EPSILON),
            (vec![1.0 + f64::EPSILON, half, -least], 1.0 + f64::EPSILON),
            (vec![-1.0, -half, -least], -1.0 - f64::EPSILON),
            (vec![-1.0, -half, least], -1.0),
            (vec![1e300, 1.0, -1e300], 1.0),
            (vec![1.0, -1.0], 0.0),
            (vec![], 0.0),
        ] {
            let sum: ExactSum = terms.iter().copied().collect();
            assert_eq!(sum.value(), wanted, "{terms:?}");
            let again: ExactSum = sum.digits().into_iter().collect();
            assert_eq!(again, sum, "{terms:?}");
        }
    }

    #[test]
    fn infinities_are_those_of_the_terms() {
        let of = |terms: &[f64]| terms.iter().copied().collect::<ExactSum>().value();
        let inf = f64::INFINITY;
        assert_eq!(of(&[1.0, inf, 2.0, inf]), inf);
        assert_eq!(of(&[1.0, -inf, 2.0]), -inf);
        assert!(of(&[inf, -inf, 1.0]).is_nan());
        assert!(of(&[1.0, f64::NAN, inf]).is_nan());
        assert_eq!(of(&[f64::MAX, f64::MAX]), inf);
        let at_the_end = [-f64::MAX, 2.9937604643020797e292];
        assert_eq!(at_the_end.into_iter().collect::<ExactSum>().digits().len(), 1);
    }
}
