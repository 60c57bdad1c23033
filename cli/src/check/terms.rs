//! Allowed errors of the numbers of rows, beyond a share of themselves.
//!
//! They follow from the row's own numbers. With probabilities `p`, distances `d = z(max) - z`,
//! `l = log(1 + sum_exp_m1)`, shares `v` and their sum `V`, and a unit `e` in the last place of an f32:
//!
//! ```text
//! exp(-d)       (8 + 2.5 d) e of itself: WGSL grants exp 3 + 2 d units, and d is rounded
//! l             e (8 l + 2.5 sum p d), the errors of the powers that it is a sum of
//! z             e |z| if logits are scaled, a few e if they are capped. That moves lse by sum p as much,
//!               log p by 1 - p times its own and p times the others', a loss by v times its own and V times lse's
//! gradient      V p - v: V times the error of p, and 8 e V p where shares are subtracted
//! of entropy    p (d - sum p d)
//! variance      sum p a^2, a = d - sum p d: the error of p times a^2, and 2 p |a| times the error of a
//! of softmax    p (u - sum p u), and of log-softmax u - p sum u
//! ```
//!
//! A class so far below the maximum that its power is 0 adds nothing, however large its logit.

use wgpu_loss::loss::{Function, Upstream};
use wgpu_loss::reference::Piece;
use wgpu_loss::{Floats, LargeOutput, Outputs, Problem, Reduction};

use super::comparison::{UNIT, of_power};
use super::shares::Shares;
use super::words::{logit, mapped};

/// Units of a few roundings.
const FEW: f64 = 8.0;
/// A GPU may take numbers below the smallest normal f32 for 0.
const FLUSHED: f64 = f32::MIN_POSITIVE as f64;

/// The allowed errors of the numbers of a piece. A vector is empty if nothing is to be added.
#[derive(Debug, Default)]
pub struct Lost {
    /// The losses of rows.
    pub loss: Vec<f64>,
    /// Their z-losses.
    pub z_loss: Vec<f64>,
    /// The log-sum-exps.
    lse: Vec<f64>,
    /// The entropies.
    entropy: Vec<f64>,
    /// The variances of log-probabilities.
    variance: Vec<f64>,
    /// The gradient.
    pub grad: Vec<f64>,
    /// The target's gradient.
    pub target_grad: Vec<f64>,
    /// Probabilities, or their logarithms.
    pub distribution: Vec<f64>,
    /// The labels of rows, if class losses are sums over them.
    pub labels: Vec<Option<usize>>,
    /// The sum of the sizes of all losses, if these have either sign.
    pub sizes: f64,
}

impl Lost {
    /// Returns the allowed errors of an output of rows.
    pub fn of_rows(&self, what: LargeOutput) -> &[f64] {
        match what {
            LargeOutput::Lse => &self.lse,
            LargeOutput::Entropy => &self.entropy,
            LargeOutput::Variance => &self.variance,
            // Compared by themselves, or not numbers.
            LargeOutput::RowLoss
            | LargeOutput::Grad
            | LargeOutput::Distribution
            | LargeOutput::Argmax
            | LargeOutput::Rank
            | LargeOutput::RowWeights
            | LargeOutput::ZLoss
            | LargeOutput::TargetGrad
            | LargeOutput::VarGrad => &[],
            // The enumeration may grow.
            other => unreachable!("{} has no allowed error", other.name()),
        }
    }
}

/// Returns true if an output is compared whose allowed error depends on the numbers of single rows.
pub fn has_terms(problem: &Problem) -> bool {
    let outputs = problem.outputs;
    let large =
        outputs.grad || outputs.log_probs || outputs.lse || outputs.entropy || outputs.variance;
    match problem.function {
        Function::Softmax => true,
        Function::CrossEntropy | Function::Entropy => {
            large
                || outputs.class_losses
                || mapped(problem)
                || problem.z_loss != 0.0
                || problem.reduction == Reduction::None
        }
        _ => false,
    }
}

/// Returns the outputs that the reference computes: those compared, and the probabilities that allowed errors are made
/// of.
pub fn outputs(problem: &Problem, outputs: Outputs) -> Outputs {
    match problem.function {
        Function::CrossEntropy if has_terms(problem) => outputs.with_log_probs().with_lse(),
        Function::Entropy if has_terms(problem) => outputs.with_log_probs(),
        _ => outputs,
    }
}

/// A class of a row.
#[derive(Clone, Copy, Debug)]
struct Class {
    element: usize,
    p: f64,
    /// Its logit's distance below the maximum.
    d: f64,
    /// The allowed error of `p` that is due to the power.
    power: f64,
    /// The allowed error of its logit.
    logit: f64,
    share: f64,
}

/// Sums over the classes of a row.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// `sum p d`, and its allowed error.
    mean_gap: f64,
    mean_gap_off: f64,
    /// The allowed error of `l`.
    l_off: f64,
    /// The probability of the classes below the maximum.
    below: f64,
    /// The error of the log-sum-exp that is due to the logits, and the part of it from classes below the maximum.
    drift: f64,
    drift_below: f64,
    /// The sum of the shares, and the sum of the errors of their logits.
    whole: f64,
    share_drift: f64,
}

impl Row {
    fn of(classes: &[Class]) -> Self {
        let sum = |of: &dyn Fn(&Class) -> f64| classes.iter().map(|c| finite(of(c))).sum::<f64>();
        let if_below = |c: &Class, value: f64| if c.d > 0.0 { value } else { 0.0 };
        let mean_gap = sum(&|c| c.p * c.d);
        let below = sum(&|c| if_below(c, c.p));
        let l_off = UNIT * (FEW * below + 2.5 * mean_gap);
        Self {
            mean_gap,
            mean_gap_off: sum(&|c| (c.power + UNIT * c.p) * c.d) + mean_gap * l_off,
            l_off,
            below,
            drift: sum(&|c| c.p * c.logit),
            drift_below: sum(&|c| if_below(c, c.p * c.logit)),
            whole: sum(&|c| c.share),
            share_drift: sum(&|c| c.share * c.logit),
        }
    }

    /// Returns the error of the logarithm of a class's probability that is due to the logits.
    fn log_drift(&self, class: &Class) -> f64 {
        // For a class that is all but certain, 1 - p is the sum of the others.
        match class.p > 0.5 {
            true => self.below * class.logit + self.drift_below,
            false => (1.0 - class.p) * class.logit + self.drift - class.p * class.logit,
        }
    }

    /// Returns the error of a class's probability; if the class is all but certain, it is that of 1
    /// - p.
    fn prob(&self, class: &Class) -> f64 {
        let power = if class.p > 0.5 { 0.0 } else { class.power };
        power + class.p * (self.l_off + self.log_drift(class)) + FLUSHED
    }

    /// Bounds the error of the variance of the logarithms. The mean is rounded too, which moves the variance by at most
    /// twice the standard deviation times the mean's error. An error of the mean that is due to the logits is of second
    /// order.
    fn variance(&self, classes: &[Class]) -> f64 {
        let apart = |c: &Class| (c.d - self.mean_gap).abs();
        let sum = |of: &dyn Fn(&Class) -> f64| classes.iter().map(|c| finite(of(c))).sum::<f64>();
        let variance = sum(&|c| c.p * apart(c).powi(2));
        let powers = sum(&|c| c.power * apart(c).powi(2));
        let distances =
            sum(&|c| c.p * (2.0 * apart(c) * (UNIT * c.d + c.logit) + c.logit * c.logit));
        let mean = 2.0 * variance.sqrt() * (self.mean_gap_off + FEW * UNIT * self.mean_gap);
        powers + distances + mean + variance * (FEW * UNIT + self.l_off) + 1e5 * FLUSHED
    }

    /// Returns the error of the entropy.
    fn entropy(&self, classes: &[Class]) -> f64 {
        let moved = |c: &Class| finite(c.p * (c.d - self.mean_gap).abs() * c.logit);
        self.l_off + self.mean_gap_off + classes.iter().map(moved).sum::<f64>() + 1e3 * FLUSHED
    }
}

/// Returns the allowed errors of the numbers of a piece of a problem.
pub fn lost(problem: &Problem, piece: &Piece<'_>) -> Lost {
    if !has_terms(problem) {
        return Lost::default();
    }
    let rows = Rows::of(problem, piece);
    let (mut lost, mut classes) = (Lost::default(), Vec::new());
    let elements = piece.problem.view.elements();
    lost.distribution.resize(elements, 0.0);
    lost.grad.resize(if piece.output.grad.is_some() { elements } else { 0 }, 0.0);
    for row in 0..piece.problem.view.rows() {
        rows.gather(row, &mut classes);
        rows.row(row, &classes, &mut lost);
    }
    lost
}

/// The rows of a piece.
struct Rows<'a> {
    /// The whole problem.
    problem: &'a Problem,
    piece: &'a Piece<'a>,
    /// An upstream gradient for each element.
    upstream: Option<Floats<'a>>,
    shares: Shares<'a>,
    scales: Vec<f64>,
}

impl<'a> Rows<'a> {
    fn of(problem: &'a Problem, piece: &'a Piece<'a>) -> Self {
        let softmax = problem.function == Function::Softmax;
        let upstream = piece.inputs.upstream.map(|tensor| tensor.data);
        Self {
            problem,
            piece,
            upstream: upstream.filter(|_| softmax),
            shares: Shares::of(piece),
            scales: if softmax { Vec::new() } else { scales(piece) },
        }
    }

    fn x(&self, element: usize) -> f64 {
        self.piece.inputs.input.data.get(element).into()
    }

    /// Collects the classes of a row.
    fn gather(&self, row: usize, classes: &mut Vec<Class>) {
        let (view, output) = (&self.piece.problem.view, self.piece.output);
        let first = view.row_start(row);
        let log = |element: usize| match (&output.log_probs, &output.probs) {
            (Some(logs), _) => logs[element],
            (None, Some(probs)) => probs[element].ln(),
            (None, None) => f64::NAN,
        };
        let elements = (0..view.classes).map(|class| first + class * view.inner);
        let max = elements.clone().map(log).fold(f64::NEG_INFINITY, f64::max);
        classes.clear();
        classes.extend(elements.enumerate().map(|(class, element)| {
            let log = log(element);
            let units = match self.problem.logits.softcap {
                Some(_) => FEW,
                None => f64::from(u8::from(mapped(self.problem))),
            };
            let z = if units > 0.0 { logit(self.problem, self.x(element)) } else { 0.0 };
            Class {
                element,
                p: log.exp(),
                d: max - log,
                power: finite(of_power(log)),
                logit: finite(units * UNIT * z.abs()),
                share: self.shares.share(row, class, element),
            }
        }));
    }

    fn row(&self, row: usize, classes: &[Class], lost: &mut Lost) {
        let (r, rows) = (Row::of(classes), &self.piece.output.rows);
        let (factor, own) = (self.shares.factor(row), self.shares.own(row));
        let lse = rows.lse.as_ref().map_or(0.0, |all| finite(all[row]).abs());
        let lse_off = UNIT * lse + r.l_off + r.drift;
        let entropy = r.entropy(classes);
        let coefficient = f64::from(self.problem.z_loss).abs() * own;
        let label = self.shares.label(row);
        let loss = match (self.problem.function, label) {
            (Function::Entropy, _) => entropy,
            (_, Some(label)) if !self.shares.is_dense() => {
                r.whole * (r.l_off + r.log_drift(&classes[label]))
            }
            _ => r.whole * (r.l_off + r.drift) + r.share_drift,
        };
        lost.loss.push(number(factor * loss));
        lost.z_loss.push(number(factor * coefficient * (2.0 * lse + lse_off) * lse_off));
        lost.lse.push(number(lse_off));
        lost.entropy.push(number(entropy));
        lost.variance.push(number(r.variance(classes)));
        lost.labels.push(label);
        for class in classes {
            let log = r.l_off + r.log_drift(class);
            let off = if self.problem.outputs.log_probs { log } else { r.prob(class) };
            lost.distribution[class.element] = number(off);
        }
        let Some(grad) = &self.piece.output.grad else { return };
        let pulls = Pulls { value: 2.0 * coefficient * lse, off: 2.0 * coefficient * lse_off };
        for class in classes {
            let off = match &self.upstream {
                Some(_) => break,
                None if self.problem.function == Function::Entropy => {
                    let apart = (class.d - r.mean_gap).abs();
                    self.scales[row]
                        * (class.power * finite(apart)
                            + class.p * (UNIT * finite(class.d) + r.mean_gap_off))
                        + 1e3 * FLUSHED * self.scales[row]
                }
                None => self.gradient(row, &r, class, &pulls, grad[class.element].abs()),
            };
            lost.grad[class.element] = number(off);
        }
        if let Some(upstream) = &self.upstream {
            self.jacobian(&r, classes, upstream, &mut lost.grad);
        }
    }

    /// Returns the error of `V p - v + Z p`, times the slope of the soft cap.
    fn gradient(&self, row: usize, r: &Row, class: &Class, pull: &Pulls, grad: f64) -> f64 {
        let apart = if self.shares.is_dense() { FEW * UNIT * class.p } else { 0.0 };
        let off = r.whole * (r.prob(class) + apart)
            + pull.value * (r.prob(class) + FEW * UNIT * class.p)
            + pull.off * class.p;
        let scale = self.scales[row] * f64::from(self.problem.logits.scale);
        // The slope is 4 e / (1 + e)^2 with e = exp(-2 |u|): a power again, of a rounded quotient
        // u.
        let slope = self.problem.logits.softcap.map_or(0.0, |cap| {
            UNIT * (FEW + 9.0 * (self.x(class.element) / f64::from(cap)).abs().min(60.0))
        });
        scale * off + slope * grad
    }

    /// Writes the errors of the product of an upstream gradient and the Jacobian.
    fn jacobian(&self, r: &Row, classes: &[Class], upstream: &Floats<'_>, grad: &mut [f64]) {
        let u = |class: &Class| f64::from(upstream.get(class.element));
        let sum = |of: &dyn Fn(&Class) -> f64| classes.iter().map(of).sum::<f64>();
        let sizes = sum(&|c| u(c).abs());
        let (mean, mean_off) =
            (sum(&|c| c.p * u(c)), sum(&|c| (c.power + c.p * r.l_off) * u(c).abs()));
        for class in classes {
            let own = u(class);
            let off = match self.problem.outputs.log_probs {
                true => r.prob(class) * sizes + FEW * UNIT * class.p * sizes + UNIT * own.abs(),
                false => {
                    (class.power + class.p * r.l_off) * (own - mean).abs()
                        + class.p * (UNIT * own.abs() + mean_off)
                        + FLUSHED * (own.abs() + sizes)
                }
            };
            grad[class.element] = number(off);
        }
    }
}

/// The term that a z-loss adds to `V`, and its error.
struct Pulls {
    value: f64,
    off: f64,
}

/// Returns 0 for NaN: a row without a distribution is compared without an allowance.
fn number(off: f64) -> f64 {
    if off.is_nan() { 0.0 } else { off }
}

/// Returns 0 for what is not finite: a class at an infinite distance adds nothing.
fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}

/// Returns the factors of the gradients of a piece's rows: upstream gradient, row weight, divisor.
pub fn scales(piece: &Piece<'_>) -> Vec<f64> {
    let upstream = piece.inputs.upstream.filter(|_| piece.problem.upstream == Upstream::PerRow);
    let weights = piece.inputs.row_weights;
    let of = |row: usize| {
        let upstream = upstream.map_or(piece.scale, |all| f64::from(all.data.get(row)));
        let weight = weights.map_or(1.0, |all| f64::from(all.data.get(row)));
        (upstream * weight).abs()
    };
    (0..piece.problem.losses()).map(of).collect()
}
