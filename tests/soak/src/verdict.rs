//! What has grown too much, by the medians of the second, third and last quarter of a run, of the samples at starts of
//! rounds. The first quarter is warm-up.
//!
//! Samples within a round go up and down with the pipelines that devices keep, and resident memory with what the
//! allocator holds free: neither says that something leaks. At the start of a round there are no pipelines, and the
//! allocator has just given back what it can.

use std::fmt;

use crate::sample::{HELD, Sample};

/// The number of rounds below which there is no verdict.
const FEWEST: usize = 12;

/// The growth that is allowed: so much of the second quarter's median, and so much more.
#[derive(Clone, Copy, Debug)]
struct Limit {
    part: f64,
    more: f64,
}

/// The limits of [`HELD`].
const LIMITS: [Limit; 5] = [
    Limit { part: 0.0, more: 8.0 },
    Limit { part: 0.1, more: 32.0 },
    Limit { part: 0.1, more: 64.0 },
    Limit { part: 0.0, more: 2.0 },
    Limit { part: 0.0, more: 2.0 },
];

/// How much one quantity has grown.
#[derive(Clone, Debug)]
pub struct Growth {
    /// One of [`HELD`].
    pub what: &'static str,
    /// The median of the second quarter.
    pub before: f64,
    /// The median of what is between them.
    pub between: f64,
    /// The median of the last quarter.
    pub after: f64,
    /// The first and last second of the second quarter, and of the last.
    pub quarters: [(f64, f64); 2],
    /// The growth that is allowed.
    pub allowed: f64,
    /// The growth of an hour at this rate.
    pub per_hour: f64,
}

impl Growth {
    /// Returns true if it is more than is allowed. A leak goes on: what is taken once, as by a driver in one rare step,
    /// is not counted, so growth is twice the smaller of both halves'.
    pub fn is_too_much(&self) -> bool {
        let (early, late) = (self.between - self.before, self.after - self.between);
        early.is_nan() || late.is_nan() || 2.0 * early.min(late) > self.allowed
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, before, between, after, allowed, per_hour, .. } = self;
        let word = if self.is_too_much() { "GROWS" } else { "flat" };
        let grown = after - before;
        write!(
            f,
            "{what:<13} {before:>10.1} {between:>9.1} {after:>9.1} {grown:>+9.1} {allowed:>9.1} {per_hour:>+11.1}  {word}"
        )
    }
}

/// The head of a table of [`Growth`]s.
pub const HEAD: &str =
    "               2nd quarter   third      last    growth   allowed   in an hour";

/// Judges samples; `None` if there are too few, or if this system does not tell what the process holds.
pub fn judge(samples: &[Sample]) -> Option<Vec<Growth>> {
    let samples: Vec<&Sample> = samples.iter().filter(|sample| sample.settled).collect();
    if samples.len() < FEWEST {
        return None;
    }
    let quarter = samples.len() / 4;
    let third = &samples[2 * quarter..samples.len() - quarter];
    let (second, last) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    // From the middle of one quarter to that of the other.
    let hours = (middle(last, |s| s.seconds) - middle(second, |s| s.seconds)) / 3600.0;
    let span = |some: &[&Sample]| (some[0].seconds, some[some.len() - 1].seconds);
    let quarters = [span(second), span(last)];
    samples.iter().all(|sample| sample.held.is_some()).then(|| {
        let growth = |(index, what)| {
            let held = |sample: &Sample| sample.held.map_or(f64::NAN, |held| held[index]);
            let [before, between, after] = [second, third, last].map(|some| middle(some, held));
            let Limit { part, more } = LIMITS[index];
            let per_hour = (after - before) / hours;
            Growth {
                what,
                before,
                between,
                after,
                quarters,
                allowed: part * before + more,
                per_hour,
            }
        };
        HELD.into_iter().enumerate().map(growth).collect()
    })
}

/// Returns the median of something.
fn middle(samples: &[&Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut numbers: Vec<f64> = samples.iter().map(|sample| of(sample)).collect();
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    if numbers.len() % 2 == 1 { numbers[half] } else { (numbers[half - 1] + numbers[half]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of ten minutes in rounds of ten samples: warm-up, saw teeth of pipelines, resident memory that an allocator
    /// takes within rounds and gives back after them, and what a leak adds.
    fn run(leak: impl Fn(f64) -> [f64; 5]) -> Vec<Sample> {
        let sample = |number: u32| {
            let seconds = 2.0 * f64::from(number);
            let warm = 1.0 - (-seconds / 40.0).exp();
            let (tooth, settled) = (f64::from(number % 10) / 10.0, number.is_multiple_of(10));
            let free = if settled { 0.0 } else { seconds };
            let allocated = 80.0 * warm + 400.0 * tooth;
            let held = [allocated, allocated + free, 3000.0 * warm + 100.0 * tooth, 30.0, 12.0];
            let held = std::array::from_fn(|index| held[index] + leak(seconds)[index]);
            Sample { seconds, steps: number.into(), pipelines: 0, settled, held: Some(held) }
        };
        (0..300).map(sample).collect()
    }

    fn too_much(samples: &[Sample]) -> Vec<&'static str> {
        let judged = judge(samples).expect("a verdict");
        judged.iter().filter(|growth| growth.is_too_much()).map(|growth| growth.what).collect()
    }

    #[test]
    fn warm_up_and_saw_teeth_are_no_leak() {
        assert!(too_much(&run(|_| [0.0; 5])).is_empty());
        // What is taken once, at any time, stays.
        for at in [60.0, 120.0, 210.0, 330.0, 480.0] {
            let once = |seconds| {
                if seconds > at { [500.0, 500.0, 900.0, 40.0, 9.0] } else { [0.0; 5] }
            };
            assert!(too_much(&run(once)).is_empty(), "after {at} s");
        }
    }

    #[test]
    fn each_leak_is_noticed() {
        for (index, per_minute) in [10.0, 20.0, 100.0, 1.0, 1.0].into_iter().enumerate() {
            let leak = |seconds: f64| {
                let mut held = [0.0; 5];
                held[index] = (per_minute * seconds / 60.0).floor();
                held
            };
            assert_eq!(too_much(&run(leak)), [HELD[index]]);
        }
    }

    #[test]
    fn a_single_peak_is_no_leak_and_the_rate_is_that_of_the_leak() {
        let peak = |seconds: f64| [if (500.0..504.0).contains(&seconds) { 4e3 } else { 0.0 }; 5];
        assert!(too_much(&run(peak)).is_empty());
        // Nothing but the leak: what is left of the warm-up would be counted in.
        let mut samples = run(|_| [0.0; 5]);
        samples
            .iter_mut()
            .for_each(|sample| sample.held = Some([400.0 + sample.seconds / 60.0; 5]));
        let judged = judge(&samples).expect("a verdict");
        assert!((judged[0].per_hour - 60.0).abs() < 1e-6, "{judged:?}");
        assert!(!judged[0].is_too_much(), "{judged:?}");
    }

    #[test]
    fn without_numbers_there_is_no_verdict() {
        let mut samples = run(|_| [0.0; 5]);
        assert!(judge(&samples[..10 * (FEWEST - 1)]).is_none());
        samples[100].held = None;
        assert!(judge(&samples).is_none());
        samples[100].held = Some([f64::NAN; 5]);
        assert!(judge(&samples).is_some());
    }
}
