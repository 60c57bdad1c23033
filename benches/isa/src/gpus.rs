//! The speed of GPUs, and the time that a loop would take on them.

use crate::code::Counts;

/// A GPU's operations in a second, in lanes.
pub struct Gpu {
    issue: f64,
    alu: f64,
    special: f64,
    bytes: f64,
}

/// H100 (SXM), RTX 4090, RX 7900 XTX (without its double issue), M2: cores times the clock that their makers
/// name, and their memory. Of the 128 lanes of an NVIDIA core, 64 compare, select and do integers, 16 take
/// powers (CUDA's table of arithmetic throughput).
pub const GPUS: [Gpu; 4] = [
    Gpu { issue: 33.5e12, alu: 16.7e12, special: 4.2e12, bytes: 3.35e12 },
    Gpu { issue: 41.3e12, alu: 20.6e12, special: 5.2e12, bytes: 1.008e12 },
    Gpu { issue: 15.4e12, alu: 15.4e12, special: 3.8e12, bytes: 0.96e12 },
    Gpu { issue: 1.8e12, alu: 1.8e12, special: 0.45e12, bytes: 0.1e12 },
];

impl Gpu {
    /// Returns the time of the arithmetic as a share of the memory's.
    pub fn share(&self, c: &Counts) -> f64 {
        let nvidia = self.alu < self.issue;
        let alu = if nvidia { c.alu_of_two } else { c.alu };
        let issue = (c.vector() - c.alu + alu) / self.issue;
        let arithmetic = issue.max(alu / self.alu).max(c.special / self.special);
        arithmetic / ((c.load_bytes + c.store_bytes) / self.bytes)
    }
}
