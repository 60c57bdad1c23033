//! What the tolerances of a row are made of: see `rounding.rs`.

use wgpu_loss::loss::LogitMap;

use super::rounding::{SMALLEST, UNIT, UNITS, UNITS_PER_DEPTH};

/// Units granted to a capped logit: two divisions (2.5 units each), an exp and products.
const CAPPED_UNITS: f64 = 8.0;

/// A logit of the softmax, and the units of itself that it may be off by, in absolute terms.
#[derive(Clone, Copy, Debug)]
pub struct Logit {
    pub z: f64,
    pub off: f64,
    /// `dz/dx`, and the units of itself that it may be off by.
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
        // 4 e / (1 + e)^2 with e = exp(-2 |u|), which is good to 3 + 4 |u| units and 2 |u| times the
        // rounding of u, 2.5. Behind 60 caps it is taken there, and is nothing.
        let e = (-2.0 * u.abs()).exp();
        let slope_units = UNITS + 9.0 * u.abs().min(60.0);
        let slope = scale * 4.0 * e / ((1.0 + e) * (1.0 + e));
        Self { z, off: CAPPED_UNITS * z.abs(), slope, slope_units }
    }

    /// The distance from the top, and the units that it may be off by for the logits' sake. Of a logit from itself there
    /// is none: the same number is made of it each time.
    pub fn below(self, top: Logit) -> (f64, f64) {
        let d = top.z - self.z;
        let same = self.off == 0.0 || self.slope == top.slope;
        if d == 0.0 && same { (0.0, 0.0) } else { (d, self.off + top.off) }
    }
}

/// What the tolerances of a row are made of.
#[derive(Clone, Debug)]
pub struct Row {
    pub top: Logit,
    pub excess: f64,
    /// The mean distance of the mass below the top.
    pub depth: f64,
    /// The mean of what distances of that mass are off by, in units.
    pub drift: f64,
    pub entropy: f64,
    /// Units that the entropy may be off by.
    pub entropy_units: f64,
    /// How far the variance of the log-probabilities may be off.
    pub variance_off: f64,
    /// `V`, the sum of the row's shares; 0 where it does not count.
    pub whole: f64,
    /// What `sum_c v_c d_c` is off by for the logits' sake, in units.
    pub gap_drift: f64,
    /// What it adds to the mean's divisor.
    pub weight: f64,
    /// Upstream gradient over divisor.
    pub scale: f64,
    /// The sum of the sizes of a distribution's upstream gradients.
    pub upstream: f64,
    /// How far those of the classes that are no lower than a class may be from the one at the top, by class.
    pub apart: Vec<f64>,
    /// The mean of these distances by the distribution, times the units that the probabilities are off by.
    pub product: f64,
}

impl Row {
    /// Of these logits; the sums over shares and upstream gradients are still missing.
    pub fn new(logits: impl Iterator<Item = Logit> + Clone) -> Self {
        let mut top: Option<Logit> = None;
        for logit in logits.clone() {
            if top.is_none_or(|top| logit.z > top.z) {
                top = Some(logit);
            }
        }
        let nothing = Logit { z: f64::NEG_INFINITY, off: 0.0, slope: 0.0, slope_units: 0.0 };
        let top = top.unwrap_or(nothing);
        let (mut mass, mut moment, mut drift, mut left_out) = (0.0, 0.0, 0.0, false);
        for logit in logits.clone() {
            let (d, off) = logit.below(top);
            if d == 0.0 && !left_out {
                left_out = true;
            } else if d.is_finite() {
                mass += (-d).exp();
                moment += (-d).exp() * d;
                drift += (-d).exp() * off;
            }
        }
        let per_mass = |sum: f64| if mass > 0.0 { sum / mass } else { 0.0 };
        let mut row = Self {
            top,
            excess: mass,
            depth: per_mass(moment),
            drift: per_mass(drift),
            entropy: mass.ln_1p() + moment / (1.0 + mass),
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
        // Each e_c is off by some units of itself, each d_c by half a unit and what the logits are.
        let mean_depth = moment / (1.0 + mass);
        let off = logits.clone().filter_map(|logit| {
            let (d, off) = logit.below(top);
            let p = row.prob(d);
            let units = 3.0 + UNITS_PER_DEPTH * d + off;
            // What a device may flush to zero is lost whole.
            let lost = if (-d).exp() < SMALLEST { (1.0 + d) / UNIT } else { 0.0 };
            let off = p * (units * (1.0 + d + mean_depth) + d + off + lost);
            (d > 0.0 && d.is_finite()).then_some(off)
        });
        // log1p halves what it is given before anything else.
        let flushed = 2.0 * SMALLEST / UNIT;
        row.entropy_units = UNITS * row.entropy + off.sum::<f64>() + flushed;
        row.variance_off = row.variance_off(logits, mean_depth);
        row
    }

    /// Each e_c is off by some units of itself, which moves `sum p a^2`, a = d - mean d, by as much times a^2; each d_c by
    /// half a unit and what the logits are, by 2 p |a| times as much, and its square. The mean is off by the units of the
    /// depths, and that moves sums of squares by the standard deviation at most.
    fn variance_off(&self, logits: impl Iterator<Item = Logit>, mean: f64) -> f64 {
        let (mut variance, mut off, mut mean_off, mut lost) = (0.0, 0.0, UNITS * mean, 0.0);
        for logit in logits {
            let (d, of_logit) = logit.below(self.top);
            if !d.is_finite() {
                continue;
            }
            let (p, apart) = (self.prob(d), (d - mean).abs());
            let units = UNITS + UNITS_PER_DEPTH * (d + self.depth) + of_logit + self.drift;
            variance += p * apart * apart;
            off += p * apart * (units * apart + 2.0 * (d + of_logit));
            off += p * of_logit * of_logit * UNIT;
            mean_off += p * (units * d + d);
            // What a device may flush to zero is lost whole.
            lost += if (-d).exp() < SMALLEST { p * apart * apart } else { 0.0 };
        }
        UNIT * (off + 2.0 * variance.sqrt() * mean_off + UNITS * variance) + lost
    }

    /// `log(1 + excess)`.
    pub fn log_excess(&self) -> f64 {
        self.excess.ln_1p()
    }

    /// Units that `log(1 + excess)` may be off by for the sake of its exps.
    pub fn log_units(&self) -> f64 {
        (UNITS_PER_DEPTH * self.depth + self.drift) * self.log_excess()
    }

    pub fn lse(&self) -> f64 {
        self.top.z + self.log_excess()
    }

    /// How far the log-sum-exp may be off.
    pub fn lse_off(&self) -> f64 {
        UNIT * (self.top.off + self.log_units() + UNITS * self.log_excess() + self.lse().abs())
    }

    /// The probability at this distance below the top.
    pub fn prob(&self, below: f64) -> f64 {
        (-below).exp() / (1.0 + self.excess)
    }

    /// Units granted to the probability of a class: of its distance from the top, which is off by so
    /// many.
    pub fn units(&self, (below, off): (f64, f64)) -> f64 {
        let below = finite(below);
        UNITS + UNITS_PER_DEPTH * (below + self.depth) + off + self.drift
    }
}

fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}
