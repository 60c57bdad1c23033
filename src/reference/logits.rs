//! The map of logits before the softmax, and the distances between mapped logits.
//!
//! ```text
//! z(x) = s x                    or with a soft cap    z(x) = s cap tanh(x / cap)
//! ```
//!
//! Losses are made of distances from the largest logit, and a soft cap brings large logits close together. Computed as
//! `z(a) - z(b)`, their distance would have the absolute error of `s cap` in f64; with
//! `a' = a / cap >= b' = b / cap >= 0` it is exact to a few 2^-53 of itself as
//!
//! ```text
//! tanh a' - tanh b' = 2 e^(-2b') (1 - e^(-2(a' - b'))) / ((1 + e^(-2a')) (1 + e^(-2b')))
//! ```
//!
//! and so is the slope `z'(x) = s / cosh(x / cap)^2`, where `1 - tanh^2` would cancel.

use crate::loss::LogitMap;

/// The map from the given logits to those of the softmax, in f64.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logits {
    scale: f64,
    cap: Option<f64>,
}

impl Logits {
    /// The map that leaves logits as they are.
    pub const IDENTITY: Logits = Logits { scale: 1.0, cap: None };

    pub fn new(map: LogitMap) -> Self {
        Self { scale: map.scale.into(), cap: map.softcap.map(f64::from) }
    }

    /// Returns a logit as it is compared with others. Under a soft cap an infinity is a number like any other, after,
    /// or before, all finite ones.
    pub fn clean(&self, x: f64) -> f64 {
        if self.cap.is_some() { x.clamp(f64::MIN, f64::MAX) } else { x }
    }

    /// Returns `z(x)`.
    pub fn map(&self, x: f64) -> f64 {
        match self.cap {
            None => self.scale * x,
            Some(cap) => self.scale * cap * (x / cap).tanh(),
        }
    }

    /// Returns `z(x)` as states have it: rounded, with `-inf` for no class.
    pub fn stored_z(&self, x: f64) -> f32 {
        self.map(x) as f32
    }

    /// Returns a label's logit as states have it: `z(x)`, but the logit itself if there is a soft cap.
    pub fn stored_logit(&self, x: f64) -> f32 {
        match self.cap {
            Some(_) => x.clamp(f32::MIN.into(), f32::MAX.into()) as f32,
            None => self.stored_z(x),
        }
    }

    /// Returns `z(x)` of a label's logit as states have it.
    pub fn z_of_stored(&self, logit: f32) -> f32 {
        if self.cap.is_some() { self.stored_z(logit.into()) } else { logit }
    }

    /// Returns `z(max) - z(x)`, at least 0, for two clean logits `max >= x`.
    pub fn below(&self, max: f64, x: f64) -> f64 {
        match self.cap {
            None => self.scale * (max - x),
            Some(cap) if max != x => self.scale * cap * tanh_difference(max / cap, x / cap),
            Some(_) => 0.0,
        }
    }

    /// Returns `z'(x)`.
    pub fn slope(&self, x: f64) -> f64 {
        let Some(cap) = self.cap else { return self.scale };
        let e = (-2.0 * (x / cap).abs()).exp();
        self.scale * (4.0 * e / ((1.0 + e) * (1.0 + e)))
    }
}

/// Returns `tanh a - tanh b` for `a >= b`.
fn tanh_difference(a: f64, b: f64) -> f64 {
    let (near, far) = match () {
        _ if b >= 0.0 => (b, a),
        _ if a <= 0.0 => (-a, -b),
        _ => return a.tanh() - b.tanh(),
    };
    let (e, f) = ((-2.0 * near).exp(), (-2.0 * far).exp());
    2.0 * e * -(-2.0 * (far - near)).exp_m1() / ((1.0 + e) * (1.0 + f))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPPED: Logits = Logits { scale: 1.5, cap: Some(2.0) };

    #[track_caller]
    fn assert_near(got: f64, wanted: f64) {
        assert!((got - wanted).abs() <= 1e-15 * wanted.abs(), "{got:e} is not {wanted:e}");
    }

    #[test]
    fn distances_are_differences() {
        let numbers = [-9.0, -3.5, -1.0, -0.25, 0.0, 0.5, 0.75, 2.0, 3.0, 8.0];
        for (i, &b) in numbers.iter().enumerate() {
            for &a in &numbers[i..] {
                for logits in [CAPPED, Logits { scale: 0.25, cap: None }, Logits::IDENTITY] {
                    let wanted = logits.map(a) - logits.map(b);
                    // Each of the two mapped logits is below 13 and exact to 2^-53 of itself.
                    assert!((logits.below(a, b) - wanted).abs() < 4e-15, "{a} and {b}");
                }
            }
        }
    }

    #[test]
    fn distances_keep_their_digits_where_the_cap_holds() {
        // tanh(21) - tanh(20) = 2 (e^-40 - e^-42) to 1e-17 of itself; both are 1 in f64.
        let wanted = 2.0 * ((-40f64).exp() - (-42f64).exp()) * 3.0;
        for sign in [1.0, -1.0] {
            let (a, b) = if sign > 0.0 { (42.0, 40.0) } else { (-40.0, -42.0) };
            assert_near(CAPPED.below(a, b), wanted);
        }
        // 1 / cosh(20)^2 = 4 e^-40 to 1e-17 of itself.
        assert_near(CAPPED.slope(40.0), 1.5 * 4.0 * (-40f64).exp());
        assert_near(CAPPED.slope(-40.0), CAPPED.slope(40.0));
        assert_eq!(CAPPED.slope(0.0), 1.5);
    }

    #[test]
    fn slopes_are_slopes() {
        for x in [-5.0, -1.0, -0.125, 0.0, 0.5, 1.5, 4.0] {
            let h = 2f64.powi(-10);
            let f = |k: f64| CAPPED.map(x + k * h);
            let wanted = (f(-2.0) - 8.0 * f(-1.0) + 8.0 * f(1.0) - f(2.0)) / (12.0 * h);
            // h^4 / 30 times a fifth derivative below 2, and the rounding of f: 3 * 2^-52 / h.
            assert!((CAPPED.slope(x) - wanted).abs() < 2e-12, "at {x}");
        }
    }

    #[test]
    fn infinities_are_capped() {
        let inf = f64::INFINITY;
        let clean = |x| CAPPED.clean(x);
        assert_eq!(CAPPED.map(clean(inf)), 3.0);
        assert_eq!(CAPPED.map(clean(-inf)), -3.0);
        assert_eq!(CAPPED.below(clean(inf), clean(-inf)), 6.0);
        assert_eq!(CAPPED.below(clean(inf), clean(inf)), 0.0);
        assert_near(CAPPED.below(clean(inf), 1.0), 3.0 - 3.0 * 0.5f64.tanh());
        assert_eq!(CAPPED.slope(clean(inf)), 0.0);
        assert!(clean(f64::NAN).is_nan() && CAPPED.below(1.0, f64::NAN).is_nan());
        assert_eq!(Logits::IDENTITY.clean(inf), inf);
        assert_eq!(Logits::IDENTITY.below(1.0, -inf), inf);
        // A cap so low that even finite logits are infinitely many caps away.
        let low = Logits { scale: 1.0, cap: Some(f64::from(f32::MIN_POSITIVE)) };
        assert_eq!(low.below(low.clean(inf), 3e38), 0.0);
    }
}
