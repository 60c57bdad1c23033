//! Round numbers over a range.

/// Relative to a step of 1: an end that differs from a round number by no more than this is taken
/// for it.
const ROUNDING: f64 = 1e-6;

/// Returns round numbers at equal distances, 1, 2 or 5 times a power of ten: at most `most` steps from one at or below
/// `low` to one at or above `high`, which must be finite and not less.
pub fn linear(low: f64, high: f64, most: usize) -> Vec<f64> {
    let range = high - low;
    if range <= 0.0 || !range.is_finite() {
        return vec![low, high];
    }
    // A range around zero needs two steps, however long they are.
    let most = most.max(2);
    let mut power = (range / most as f64).log10().floor() as i32;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            let step = |i: f64| times_power(i * factor, power);
            let unit = step(1.0);
            let (first, last) = ((low / unit + ROUNDING).floor(), (high / unit - ROUNDING).ceil());
            if last - first <= most as f64 {
                return (0..=(last - first) as usize).map(|i| step(first + i as f64)).collect();
            }
        }
        power += 1;
    }
}

/// Returns round numbers whose logarithms are about equally far apart, as many in every decade: at most `most` steps
/// from one at or below `low` to one at or above `high`, or one in every decade, if these are more. Both must be
/// positive and finite.
pub fn logarithmic(low: f64, high: f64, most: usize) -> Vec<f64> {
    const DECADES: [&[f64]; 4] =
        [&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let numbers = |factors: &[f64]| {
        let all =
            (first..=last).flat_map(|power| factors.iter().map(move |&f| times_power(f, power)));
        let all: Vec<f64> = all.collect();
        let from = all.iter().rposition(|&x| x <= low).unwrap_or(0);
        let to = all.iter().position(|&x| x >= high).unwrap_or(all.len() - 1);
        all[from..=to.max(from)].to_vec()
    };
    let fits = DECADES.iter().map(|factors| numbers(factors)).find(|all| all.len() <= most + 1);
    fits.unwrap_or_else(|| numbers(&[1.0]))
}

/// Returns the number nearest to the decimal one: 3 thousandths are 0.003, and 3 * 0.001 is not.
fn times_power(number: f64, power: i32) -> f64 {
    match power {
        -300..0 => number / 10f64.powi(-power),
        _ => number * 10f64.powi(power),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_cover_the_range() {
        assert_eq!(linear(0.0, 9.3, 10), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]);
        assert_eq!(linear(10.7, 10.93, 5), [10.7, 10.75, 10.8, 10.85, 10.9, 10.95]);
        assert_eq!(linear(-1.0, 1.0, 2), [-1.0, 0.0, 1.0]);
        assert_eq!(linear(3.0, 3.0, 10), [3.0, 3.0]);
        assert_eq!(
            logarithmic(0.02, 4.0, 18),
            [0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0]
        );
        assert_eq!(logarithmic(0.002, 40.0, 6), [0.001, 0.01, 0.1, 1.0, 10.0, 100.0]);
        assert_eq!(logarithmic(1.0, 1.0, 6), [1.0]);
        for (low, high) in
            [(1e-45, 1e-44), (-3e38, 3e38), (1e-38, 3e38), (0.0, 1e-45), (0.1, 0.1000001)]
        {
            for most in [1, 5, 16] {
                let steps = linear(low, high, most);
                assert!(steps.len() <= most.max(2) + 1, "{steps:?}");
                assert!(
                    steps[0] <= low && *steps.last().unwrap() >= high,
                    "{low} {high} {steps:?}"
                );
                assert!(steps.is_sorted());
                if low > 0.0 {
                    let steps = logarithmic(low, high, most);
                    assert!(
                        steps[0] <= low && *steps.last().unwrap() >= high,
                        "{low} {high} {steps:?}"
                    );
                    assert!(steps.is_sorted());
                }
            }
        }
    }
}
