//! The parts of a row's tolerances: see `rounding.rs`.

use wgpu_loss::loss::LogitMap;

use super::rounding::{SMALLEST, UNIT, UNITS, UNITS_PER_DEPTH};

/// Units granted to a capped logit: two divisions (2.5 units each), an exp and products.
const CAPPED_UNITS: f64 = 8.0;

/// A logit of the softmax, and the units of itself that its error may have, in absolute terms.
#[derive(Clone, Copy, Debug)]
pub struct Logit {
    pub z: f64,
    pub off: f64,
    /// `dz/dx`, and the units of itself that its error may have.
    pub slope: f64,
    pub slope_units: f64,
}

impl Logit {
    pub fn new(map: LogitMap, x: f64) -> Self {
        let scale = f64::from(map.scale);
        let Some(cap) = map.softcap.map(f64::from) else {
            let off = if scale == 1.0 { 0.0 } else { finite((scale * x).abs()) };
            return Self { z: scale * x, off, slope: scale, slope_units: 1.0 };
        };
        let u = x / cap;
        let z = scale * cap * u.tanh();
        // 4 e / (1 + e)^2 with e = exp(-2 |u|), which is good to 3 + 4 |u| units and 2 |u| times the rounding of u,
        // 2.5. Beyond 60 caps the slope is all but 0, and its units are those at 60.
        let e = (-2.0 * u.abs()).exp();
        let slope_units = UNITS + 9.0 * u.abs().min(60.0);
        let slope = scale * 4.0 * e / ((1.0 + e) * (1.0 + e));
        Self { z, off: CAPPED_UNITS * z.abs(), slope, slope_units }
    }

    /// Returns the distance from the maximum, and its error that is due to the logits, in units. The distance of a
    /// logit from itself is exact: it is mapped to the same number each time.
    pub fn below(self, max: Logit) -> (f64, f64) {
        let d = max.z - self.z;
        let same = self.off == 0.0 || self.slope == max.slope;
        if d == 0.0 && same { (0.0, 0.0) } else { (d, self.off + max.off) }
    }
}

/// The parts of a row's tolerances.
#[derive(Clone, Debug)]
pub struct Row {
    pub max: Logit,
    pub sum_exp_m1: f64,
    /// The mean distance of the mass below the maximum.
    pub depth: f64,
    /// The mean error of the distances of that mass, in units.
    pub drift: f64,
    pub entropy: f64,
    /// Units of the entropy's error.
    pub entropy_units: f64,
    /// The allowed error of the variance of the log-probabilities.
    pub variance_off: f64,
    /// `V`, the sum of the row's shares; 0 if it does not count.
    pub whole: f64,
    /// The error of `sum_c v_c d_c` that is due to the logits, in units.
    pub gap_drift: f64,
    /// The contribution to the mean's divisor.
    pub weight: f64,
    /// Upstream gradient over divisor.
    pub scale: f64,
    /// The sum of the sizes of a distribution's upstream gradients.
    pub upstream: f64,
    /// By class: the largest distance of the upstream gradients of classes that are no lower than it from that at the
    /// maximum.
    pub apart: Vec<f64>,
    /// The mean of these distances by the distribution, times the units of the probabilities' error.
    pub product: f64,
}

impl Row {
    /// Makes the row of these logits; the sums over shares and upstream gradients are still missing.
    pub fn new(logits: impl Iterator<Item = Logit> + Clone) -> Self {
        let mut max: Option<Logit> = None;
        for logit in logits.clone() {
            if max.is_none_or(|max| logit.z > max.z) {
                max = Some(logit);
            }
        }
        let nothing = Logit { z: f64::NEG_INFINITY, off: 0.0, slope: 0.0, slope_units: 0.0 };
        let max = max.unwrap_or(nothing);
        let (mut mass, mut exp_gap_sum, mut drift, mut left_out) = (0.0, 0.0, 0.0, false);
        for logit in logits.clone() {
            let (d, off) = logit.below(max);
            if d == 0.0 && !left_out {
                left_out = true;
            } else if d.is_finite() {
                mass += (-d).exp();
                exp_gap_sum += (-d).exp() * d;
                drift += (-d).exp() * off;
            }
        }
        let per_mass = |sum: f64| if mass > 0.0 { sum / mass } else { 0.0 };
        let mut row = Self {
            max,
            sum_exp_m1: mass,
            depth: per_mass(exp_gap_sum),
            drift: per_mass(drift),
            entropy: mass.ln_1p() + exp_gap_sum / (1.0 + mass),
            entropy_units: 0.0,
            variance_off: 0.0,
            whole: 0.0,
            gap_drift: 0.0,
            weight: 0.0,
            scale: 0.0,
            upstream: 0.0,
            apart: Vec::new(),
            product: 0.0,
        };
        // Each e_c has an error of some units of itself, each d_c of half a unit and that of the logits.
        let mean_depth = exp_gap_sum / (1.0 + mass);
        let off = logits.clone().filter_map(|logit| {
            let (d, off) = logit.below(max);
            let p = row.prob(d);
            let units = 3.0 + UNITS_PER_DEPTH * d + off;
            // A number that a device may flush to zero is lost whole.
            let lost = if (-d).exp() < SMALLEST { (1.0 + d) / UNIT } else { 0.0 };
            let off = p * (units * (1.0 + d + mean_depth) + d + off + lost);
            (d > 0.0 && d.is_finite()).then_some(off)
        });
        // log1p halves its argument before anything else.
        let flushed = 2.0 * SMALLEST / UNIT;
        row.entropy_units = UNITS * row.entropy + off.sum::<f64>() + flushed;
        row.variance_off = row.variance_off(logits, mean_depth);
        row
    }

    /// Bounds the error of `sum p a^2`, a = d - mean d. Each e_c has an error of some units of itself, which moves the
    /// sum by as much times a^2; each d_c of half a unit and that of the logits, which moves it by 2 p |a| times as
    /// much, and its square. The mean's error is the units of the depths, and moves sums of squares by the standard
    /// deviation at most.
    fn variance_off(&self, logits: impl Iterator<Item = Logit>, mean: f64) -> f64 {
        let (mut variance, mut off, mut mean_off, mut lost) = (0.0, 0.0, UNITS * mean, 0.0);
        for logit in logits {
            let (d, of_logit) = logit.below(self.max);
            if !d.is_finite() {
                continue;
            }
            let (p, apart) = (self.prob(d), (d - mean).abs());
            let units = UNITS + UNITS_PER_DEPTH * (d + self.depth) + of_logit + self.drift;
            variance += p * apart * apart;
            off += p * apart * (units * apart + 2.0 * (d + of_logit));
            off += p * of_logit * of_logit * UNIT;
            mean_off += p * (units * d + d);
            // A number that a device may flush to zero is lost whole.
            lost += if (-d).exp() < SMALLEST { p * apart * apart } else { 0.0 };
        }
        UNIT * (off + 2.0 * variance.sqrt() * mean_off + UNITS * variance) + lost
    }

    /// Returns `log(1 + sum_exp_m1)`.
    pub fn log_sum_exp(&self) -> f64 {
        self.sum_exp_m1.ln_1p()
    }

    /// Returns the units of the error of `log(1 + sum_exp_m1)` that is due to its exps.
    pub fn log_units(&self) -> f64 {
        (UNITS_PER_DEPTH * self.depth + self.drift) * self.log_sum_exp()
    }

    pub fn lse(&self) -> f64 {
        self.max.z + self.log_sum_exp()
    }

    /// Returns the allowed error of the log-sum-exp.
    pub fn lse_off(&self) -> f64 {
        UNIT * (self.max.off + self.log_units() + UNITS * self.log_sum_exp() + self.lse().abs())
    }

    /// Returns the probability at this distance below the maximum.
    pub fn prob(&self, below: f64) -> f64 {
        (-below).exp() / (1.0 + self.sum_exp_m1)
    }

    /// Returns the units granted to the probability of a class: those of its distance from the maximum, whose error is
    /// `off`.
    pub fn units(&self, (below, off): (f64, f64)) -> f64 {
        let below = finite(below);
        UNITS + UNITS_PER_DEPTH * (below + self.depth) + off + self.drift
    }
}

fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}
