//! The parts of an application that uses wgpu-loss: a device, memory, an executor, and its own formulas.

mod arena;
mod executor;
mod host;
pub mod truth;

pub use arena::Arena;
pub use executor::block_on;
pub use host::{Host, on_every_host};

/// Numbers between -3 and 3, the same for the same seed.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let number = |place: u32| {
        let mut bits = (place ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
        bits = (bits ^ bits >> 13).wrapping_mul(0xc2b2_ae35);
        ((bits ^ bits >> 16) >> 8) as f32 / (1 << 24) as f32 * 6.0 - 3.0
    };
    (0..count as u32).map(number).collect()
}

/// Compares f32 results with f64 numbers: each may be off by a part of itself. WGSL's `exp` of such logits may be
/// wrong by 15 units in the last place, 1.8e-6, and a sum of them by little more.
#[track_caller]
pub fn close(what: &str, got: &[f32], wanted: &[f64], part: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (place, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        let off = (f64::from(got) - wanted).abs();
        assert!(off <= part * wanted.abs() + 1e-9, "{what} at {place}: {got} is not {wanted}");
    }
}
