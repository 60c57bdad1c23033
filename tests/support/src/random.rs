//! A small generator: its numbers are arbitrary, but stay the same.

/// A linear congruential generator (Knuth's constants), of which the upper bits are used.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    /// 31 random bits.
    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }

    /// An index below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.bits()) * n as u64) >> 31) as usize
    }

    /// A number in `[from, to)`, one of 2^24.
    pub fn uniform(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * ((self.bits() >> 7) as f32 / (1 << 24) as f32)
    }
}
