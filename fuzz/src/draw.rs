//! Draws choices from the fuzzer's bytes. Once they are used up, every choice is the first.

use std::cell::RefCell;

use arbitrary::Unstructured;

/// The fuzzer's bytes as a source of choices.
pub struct Draw<'a>(RefCell<Unstructured<'a>>);

impl<'a> Draw<'a> {
    /// Draws from the fuzzer's bytes.
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data).into())
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&self, low: u64, high: u64) -> u64 {
        self.0.borrow_mut().int_in_range(low..=high).unwrap_or(low)
    }

    /// An index below `n`.
    pub fn below(&self, n: usize) -> usize {
        self.within(0, n.saturating_sub(1) as u64) as usize
    }

    /// One of these.
    pub fn one_of<T: Copy>(&self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Returns true in `eighths` of 8 cases.
    pub fn comes(&self, eighths: u64) -> bool {
        self.within(0, 7) >= 8 - eighths
    }

    /// All bits of a number.
    pub fn bits(&self) -> u64 {
        self.0.borrow_mut().arbitrary().unwrap_or(0)
    }

    /// Up to `most` bytes.
    pub fn bytes(&self, most: usize) -> &'a [u8] {
        let count = self.below(most + 1).min(self.0.borrow().len());
        self.0.borrow_mut().bytes(count).unwrap_or(&[])
    }

    /// A number of any size: small, near a power of two, or near the largest.
    pub fn extent(&self) -> usize {
        match self.below(8) {
            0..=3 => self.below(12),
            4 => self.below(1 << 12),
            5 => self.below(1 << 24),
            6 => (1usize << self.below(64)).wrapping_add(self.below(3)).wrapping_sub(1),
            _ => usize::MAX - self.below(3),
        }
    }
}
