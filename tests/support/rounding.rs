//! How far f32 arithmetic may take a result from the truth.
//!
//! A row's loss is `sum_c v_c (top - x_c) + V log1p(excess)`: no term is negative, so relative
//! errors do not grow. `WGSL` grants `exp(-d)` an error of `3 + 2 d` units in the last place, and
//! rounding `x - top` before it another `d / 2`. The mean of `d` over the mass below the top is the
//! row's *depth*: what lies deeper hardly counts. All else is a handful of roundings: the exps that
//! carry a sum to a higher maximum (3 units each), log1p (about 4), products, and sums of at most
//! some dozens of terms before they are added to others. They are granted [`UNITS`] together.

use wgpu_loss::loss::{Divisor, Function};
use wgpu_loss::{ElementType, Loss, Outputs, Problem, Reduction};

use super::answer::Answer;
use super::data::{Data, Target};
use super::floats::rounded;

/// A unit in the last place of an f32, relative to the number, at most.
pub const UNIT: f64 = f32::EPSILON as f64;

/// Units granted to the handful of roundings.
const UNITS: f64 = 8.0;

/// Units granted per unit of depth.
const UNITS_PER_DEPTH: f64 = 2.5;

/// Below this, a device may flush to zero.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

/// The tolerances of one call.
pub struct Rounding<'a> {
    data: &'a Data,
    problem: Problem,
    rows: Vec<Row>,
    divisor: f64,
    results: f64,
}

/// What the tolerances of a row are made of.
#[derive(Clone, Copy)]
struct Row {
    top: f64,
    depth: f64,
    excess: f64,
    /// `V`, the sum of the row's shares; 0 where it does not count.
    whole: f64,
    /// Upstream gradient over divisor.
    scale: f64,
}

impl<'a> Rounding<'a> {
    /// The tolerances of a result against the truth.
    pub fn new(loss: &dyn Loss, data: &'a Data, outputs: Outputs) -> Self {
        let problem = loss.problem(&data.shapes(), outputs).unwrap();
        let mut rounding = Self { data, problem, rows: Vec::new(), divisor: 1.0, results: 1.0 };
        rounding.divisor = rounding.divisor();
        rounding.rows = (0..data.view.rows()).map(|row| rounding.row(row)).collect();
        rounding
    }

    /// The tolerances between two results, either of which may be that far from the truth.
    pub fn between_two(mut self) -> Self {
        self.results = 2.0;
        self
    }

    /// Compares two answers; returns the largest part of its tolerance that a number used up.
    ///
    /// # Panics
    /// With the first number that is too far off, and where there is nothing to compare.
    #[track_caller]
    pub fn check(&self, what: &str, got: &Answer, wanted: &Answer) -> f64 {
        let mut check = Check { what, used: 0.0, compared: 0, results: self.results };
        let loss = |row: usize, truth| self.loss(row, truth);
        check.all("loss", ElementType::F32, Some(&got.loss), Some(&wanted.loss), loss);
        let grad = |element: usize, truth| self.grad(element, truth);
        check.all("grad", self.problem.output_type, got.grad.as_ref(), wanted.grad.as_ref(), grad);
        let element = |element: usize, truth| self.element(element, truth);
        check.all(
            "elements",
            self.problem.output_type,
            got.elements.as_ref(),
            wanted.elements.as_ref(),
            element,
        );
        assert!(check.compared > 0 || self.rows.is_empty(), "{what}: nothing was compared");
        check.used
    }

    /// What the sum over rows is divided by.
    fn divisor(&self) -> f64 {
        match self.problem.divisor {
            Divisor::Known(divisor) => divisor,
            Divisor::RowWeights => {
                let weight = |row| self.class(row).map_or(0.0, |class| self.weight(class));
                (0..self.data.view.rows()).map(weight).sum()
            }
        }
    }

    fn row(&self, row: usize) -> Row {
        let view = self.data.view;
        let element = |class| view.row_start(row) + class * view.inner;
        let logit = |class| f64::from(self.data.input[element(class)]);
        let mut top = f64::NEG_INFINITY;
        let mut top_class = 0;
        for class in 0..view.classes {
            if logit(class) > top {
                (top, top_class) = (logit(class), class);
            }
        }
        let (mut mass, mut moment, mut whole) = (0.0, 0.0, 0.0);
        for class in 0..view.classes {
            whole += self.share(row, class, element(class));
            let distance = top - logit(class);
            if class != top_class && distance.is_finite() {
                mass += (-distance).exp();
                moment += (-distance).exp() * distance;
            }
        }
        let depth = if mass > 0.0 { moment / mass } else { 0.0 };
        let upstream = self.data.upstream_of(row);
        let scale = if self.divisor == 0.0 { 0.0 } else { upstream / self.divisor };
        Row { top, depth, excess: mass, whole, scale }
    }

    /// The class of a row that counts.
    fn class(&self, row: usize) -> Option<usize> {
        let label = self.data.label(row)?;
        if label == i128::from(self.problem.ignore_index) {
            return None;
        }
        usize::try_from(label).ok().filter(|&class| class < self.data.view.classes)
    }

    fn weight(&self, class: usize) -> f64 {
        self.data.weight.as_ref().map_or(1.0, |weight| weight[class].into())
    }

    /// `v_c = w_c q'_c`, the class's part of the row's loss.
    fn share(&self, row: usize, class: usize, element: usize) -> f64 {
        let q = match &self.data.target {
            Target::None => return 0.0,
            Target::Probabilities(q) => f64::from(q[element]),
            Target::Labels(_) => match self.class(row) {
                None => return 0.0,
                Some(label) => f64::from(u8::from(label == class)),
            },
        };
        let e = f64::from(self.problem.label_smoothing);
        self.weight(class) * ((1.0 - e) * q + e / self.data.view.classes as f64)
    }

    /// How far a row's loss, or the reduced one, may be off.
    fn loss(&self, row: usize, truth: f64) -> f64 {
        if self.problem.function == Function::Nll {
            return UNIT * self.nll_loss(truth);
        }
        let of_exps = |row: &Row| UNITS_PER_DEPTH * row.depth * row.whole * row.excess.ln_1p();
        let exps = if self.problem.reduction == Reduction::None {
            of_exps(&self.rows[row])
        } else if self.divisor == 0.0 {
            0.0
        } else {
            // A row without a number makes the truth none either, and is compared as such.
            self.rows.iter().map(of_exps).sum::<f64>() / self.divisor
        };
        (UNITS * truth.abs() + exps) * UNIT + SMALLEST
    }

    /// Units times what they are units of, for `-w_t x_t`: one product, or some dozens of sums of
    /// both signs and a quotient.
    fn nll_loss(&self, truth: f64) -> f64 {
        if self.problem.reduction == Reduction::None || self.divisor == 0.0 {
            return truth.abs();
        }
        let view = self.data.view;
        let size = |row| {
            let class = self.class(row)?;
            let x = self.data.input[view.row_start(row) + class * view.inner];
            Some(self.weight(class) * f64::from(x).abs())
        };
        let sizes = (0..view.rows()).filter_map(size).filter(|size| size.is_finite());
        UNITS * sizes.sum::<f64>() / self.divisor
    }

    /// How far an element of the gradient `scale (V p_c - v_c)` may be off.
    fn grad(&self, element: usize, truth: f64) -> f64 {
        if self.problem.function == Function::Nll {
            return truth.abs() * 4.0 * UNIT;
        }
        let (row, class) = self.data.view.row_and_class(element);
        let share = self.share(row, class, element);
        let row = &self.rows[row];
        let x = f64::from(self.data.input[element]);
        if row.whole == 0.0 || (x == f64::NEG_INFINITY && share == 0.0) {
            return 0.0;
        }
        if x == row.top && share == row.whole {
            // The label's own class at the top, where nothing cancels.
            return truth.abs() * self.units(row, 0.0) * UNIT + SMALLEST;
        }
        let p = row.prob(x);
        let parts = row.whole * p * self.units(row, row.top - x) + share * UNITS;
        let scale = row.scale.abs();
        (scale * parts + 4.0 * truth.abs()) * UNIT + SMALLEST * (1.0 + scale * row.whole)
    }

    /// How far a log-probability or probability may be off.
    fn element(&self, element: usize, truth: f64) -> f64 {
        let row = &self.rows[self.data.view.row_and_class(element).0];
        let x = f64::from(self.data.input[element]);
        if self.problem.outputs.log_probs {
            (4.0 * truth.abs() + row.excess.ln_1p() * self.units(row, 0.0)) * UNIT + SMALLEST
        } else {
            truth.abs() * self.units(row, row.top - x) * UNIT + SMALLEST
        }
    }

    /// Units granted to a probability at this distance below the top.
    fn units(&self, row: &Row, distance: f64) -> f64 {
        let distance = if distance.is_finite() { distance } else { 0.0 };
        UNITS + UNITS_PER_DEPTH * (distance + row.depth)
    }
}

impl Row {
    fn prob(&self, x: f64) -> f64 {
        (x - self.top).exp() / (1.0 + self.excess)
    }
}

/// A comparison under way.
struct Check<'a> {
    what: &'a str,
    used: f64,
    compared: usize,
    results: f64,
}

impl Check<'_> {
    #[track_caller]
    fn all(
        &mut self,
        part: &str,
        element_type: ElementType,
        got: Option<&Vec<f64>>,
        wanted: Option<&Vec<f64>>,
        tolerance: impl Fn(usize, f64) -> f64,
    ) {
        let what = self.what;
        assert_eq!(got.map(Vec::len), wanted.map(Vec::len), "{what}: number of {part}");
        let (Some(got), Some(wanted)) = (got, wanted) else { return };
        self.compared += got.len();
        for (i, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
            let allowed =
                if wanted.is_finite() { self.results * tolerance(i, wanted) } else { 0.0 };
            let off = (got - wanted).abs();
            // What is within the tolerance in f32 is rounded to the nearest of the output's type.
            let (low, high) = match element_type {
                ElementType::F32 => (wanted - allowed, wanted + allowed),
                half => (rounded(half, wanted - allowed), rounded(half, wanted + allowed)),
            };
            assert!(
                if wanted.is_finite() {
                    low <= got && got <= high
                } else {
                    got == wanted || (got.is_nan() && wanted.is_nan())
                },
                "{what}: {part}[{i}] is {got:e}, but {wanted:e} was wanted within {allowed:.1e}: \
                 off by {off:.1e}, {:.1e} of itself",
                off / wanted.abs()
            );
            if allowed > SMALLEST && element_type == ElementType::F32 {
                self.used = self.used.max(off / allowed);
            }
        }
    }
}
