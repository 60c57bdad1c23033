//! Counts numbers as they come, in constant memory.
//!
//! Every f32 falls into one of 2^20 cells by its upper 20 bits: sign, exponent and 11 bits of its digits, so the width
//! of a cell is 2^-11 of its numbers, or less. Numbers derived from the cells are that exact, 0.05 %; least, largest
//! and sum are kept separately and are exact.

/// The number of a number's lower bits that do not affect its cell.
const LOWER: u32 = 12;

/// Counts of finite numbers.
#[derive(Debug)]
pub struct Counted {
    /// The count of each cell, in the order of the numbers.
    cells: Vec<u64>,
    /// The number of numbers counted.
    pub count: u64,
    sum: f64,
    /// The least one; infinite if there is none.
    pub least: f32,
    /// The largest one.
    pub most: f32,
}

impl Counted {
    /// Begins with no numbers.
    pub fn new() -> Self {
        let (least, most) = (f32::INFINITY, f32::NEG_INFINITY);
        Self { cells: vec![0; 1 << (32 - LOWER)], count: 0, sum: 0.0, least, most }
    }

    /// Counts a finite number.
    pub fn add(&mut self, number: f32) {
        self.cells[cell(number)] += 1;
        self.count += 1;
        self.sum += f64::from(number);
        self.least = self.least.min(number);
        self.most = self.most.max(number);
    }

    /// Returns the mean; NaN if there are no numbers.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// Returns the number that a share of all, from 0 to 1, does not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = ((share * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = |&count: &u64| {
            seen += count;
            seen >= wanted
        };
        match self.cells.iter().position(reached) {
            Some(cell) => {
                let middle = (f64::from(first(cell)) + f64::from(first(cell + 1))) / 2.0;
                middle.clamp(self.least.into(), self.most.into())
            }
            None => f64::NAN,
        }
    }

    /// Returns about the least number above 0; infinite if there is none.
    pub fn least_positive(&self) -> f64 {
        let zero = cell(0.0);
        let found = self.cells[zero..].iter().position(|&count| count > 0);
        found.map_or(f64::INFINITY, |after| {
            f64::from(first(zero + after)).max(f32::MIN_POSITIVE.into())
        })
    }

    /// Counts the numbers from each edge on and below the next. Numbers below the first edge or above the last one are
    /// counted in the interval at that end.
    pub fn between(&self, edges: &[f64]) -> Vec<u64> {
        let mut cells: Vec<usize> = edges.iter().map(|&edge| cell(edge as f32)).collect();
        if let [first, .., last] = &mut cells[..] {
            (*first, *last) = (0, self.cells.len());
        }
        let count = |pair: &[usize]| self.cells[pair[0]..pair[1].max(pair[0])].iter().sum();
        cells.windows(2).map(count).collect()
    }
}

/// Returns the cell of a number, by the numbers' order.
fn cell(number: f32) -> usize {
    // Bits of positive numbers are in order, and those of negative ones in the reverse order. -0 is 0.
    let bits = (number + 0.0).to_bits();
    let key = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    (key >> LOWER) as usize
}

/// Returns the first number of a cell.
fn first(cell: usize) -> f32 {
    let key = (cell as u32) << LOWER;
    f32::from_bits(if key >> 31 == 1 { key ^ 1 << 31 } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_in_order_and_narrow() {
        let numbers = [f32::MIN, -3.0, -1e-30, 0.0, 1e-45, 1e-30, 0.1, 10.82, 10.83, f32::MAX];
        let cells = numbers.map(cell);
        assert!(cells.is_sorted(), "{cells:?}");
        assert_ne!(cells[7], cells[8]);
        assert_eq!(cell(-0.0), cell(0.0));
        assert!(cell(f32::INFINITY) > cell(f32::MAX));
        for number in numbers {
            let (from, to) = (first(cell(number)), first(cell(number) + 1));
            let inside = if number < 0.0 {
                from <= number && number <= to
            } else {
                from <= number && number < to
            };
            assert!(inside, "{from} {number} {to}");
            assert!(
                number.abs() < 1e-37 || number.abs() > 1e38 || to - from <= number.abs() / 2048.0
            );
        }
    }

    #[test]
    fn what_is_read_off_is_right() {
        let mut counted = Counted::new();
        (1..=1000).rev().for_each(|i| counted.add(i as f32 / 100.0));
        assert_eq!((counted.count, counted.least, counted.most), (1000, 0.01, 10.0));
        assert!((counted.mean() - 5.005).abs() < 1e-6);
        for (share, wanted) in [(0.0, 0.01), (0.25, 2.5), (0.5, 5.0), (0.99, 9.9), (1.0, 10.0)] {
            assert!((counted.quantile(share) / wanted - 1.0).abs() < 5e-4, "{share}");
        }
        // A number in a cell with an edge is counted above the edge.
        let counts = counted.between(&[0.0, 2.505, 5.005, 10.0]);
        assert_eq!(counts, [250, 250, 500]);
        assert!(Counted::new().quantile(0.5).is_nan());
    }
}
