//! Errors of results that f32 arithmetic may cause.
//!
//! A row's loss is `sum_c v_c (max - x_c) + V log1p(sum_exp_m1)`: no term is negative, so relative
//! errors do not grow. `WGSL` grants `exp(-d)` an error of `3 + 2 d` units in the last place, and
//! rounding `x - max` before it another `d / 2`. The mean of `d` over the mass below the maximum is the
//! row's *depth*: what lies deeper hardly counts. All else is a handful of roundings: the exps that
//! carry a sum to a higher maximum (3 units each), log1p (about 4), products, and sums of at most
//! some dozens of terms before they are added to others. They are granted [`UNITS`] together.

//!
//! Logits that are scaled or capped first are off by a few units of themselves, each of them
//! ([`Logit`]); so are all distances then, and what is made of them. The terms of a z-loss and of an
//! entropy follow from that.

use wgpu_loss::loss::{Divisor, Function};
use wgpu_loss::{ClassLosses, ElementType, LargeOutput, Loss, Outputs, Problem, Reduction};

use super::answer::Answer;
use super::close::Judged;
use super::data::{Data, Target};
use super::extras::Extras;
use super::floats::rounded;
use super::rounding_row::{Logit, Row};

/// The outputs of rows that [`Rounding::compare_extras`] compares.
const BOUNDED: [LargeOutput; 6] = [
    LargeOutput::Lse,
    LargeOutput::Argmax,
    LargeOutput::Rank,
    LargeOutput::Entropy,
    LargeOutput::Variance,
    LargeOutput::RowWeights,
];

/// A unit in the last place of an f32, relative to the number, at most.
pub const UNIT: f64 = f32::EPSILON as f64;

/// Units granted to the handful of roundings.
pub const UNITS: f64 = 8.0;

/// Units granted per unit of depth.
pub const UNITS_PER_DEPTH: f64 = 2.5;

/// Below this, a device may flush to zero.
pub const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

/// The tolerances of one call.
pub struct Rounding<'a> {
    data: &'a Data,
    problem: Problem,
    rows: Vec<Row>,
    divisor: f64,
    results: f64,
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
    pub fn between_two(self) -> Self {
        self.of_results(2.0)
    }

    /// The tolerances of a number whose error is the sum of so many results' errors.
    pub fn of_results(mut self, results: f64) -> Self {
        self.results = results;
        self
    }

    /// Compares two answers; returns the largest part of its tolerance that a number used up.
    ///
    /// # Panics
    /// With the first number whose error is too large, and if there is nothing to compare.
    #[track_caller]
    pub fn check(&self, what: &str, got: &Answer, wanted: &Answer) -> f64 {
        let (used, judged) = self.compare(what, got, wanted);
        judged.assert_says_something(what);
        used
    }

    /// Compares as [`Rounding::check`] does, and returns the number of judged numbers instead of asserting it.
    #[track_caller]
    pub fn compare(&self, what: &str, got: &Answer, wanted: &Answer) -> (f64, Judged) {
        let mut check = Check::new(what, self.results);
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
        (check.used, check.judged)
    }

    /// Compares the outputs of rows and classes, as [`Rounding::check`] does.
    #[track_caller]
    pub fn check_extras(&self, what: &str, got: &Extras, wanted: &Extras) -> f64 {
        let (used, judged) = self.compare_extras(what, got, wanted);
        judged.assert_says_something(what);
        used
    }

    /// Compares as [`Rounding::check_extras`] does, and returns the number of judged numbers instead of asserting it.
    #[track_caller]
    pub fn compare_extras(&self, what: &str, got: &Extras, wanted: &Extras) -> (f64, Judged) {
        let of_rows = got.rows.columns().map(|(output, _)| output);
        let of_rows: Vec<LargeOutput> = of_rows.collect();
        let unknown = of_rows.iter().find(|output| !BOUNDED.contains(output));
        assert_eq!(unknown, None, "{what}: an output without a bound");
        assert!(of_rows.iter().copied().eq(wanted.rows.columns().map(|(output, _)| output)));
        let mut check = Check::new(what, self.results);
        let f32s = ElementType::F32;
        let z_loss = |row: usize, truth| self.z_loss(row, truth);
        check.all("z-loss", f32s, Some(&got.z_loss), Some(&wanted.z_loss), z_loss);
        let lse = |row: usize, _| self.rows[row].lse_off() + SMALLEST;
        check.all("lse", f32s, got.rows.lse.as_ref(), wanted.rows.lse.as_ref(), lse);
        let entropy = |row: usize, _| self.rows[row].entropy_units * UNIT + SMALLEST;
        check.all(
            "entropy",
            f32s,
            got.rows.entropy.as_ref(),
            wanted.rows.entropy.as_ref(),
            entropy,
        );
        let variance = |row: usize, _| self.rows[row].variance_off + SMALLEST;
        let (of_got, of_wanted) = (got.rows.variance.as_ref(), wanted.rows.variance.as_ref());
        check.all("variance", f32s, of_got, of_wanted, variance);
        let weight = |_: usize, truth: f64| truth.abs() * UNIT;
        check.all("weights", f32s, got.rows.weights.as_ref(), wanted.rows.weights.as_ref(), weight);
        self.check_argmax(what, got.rows.argmax.as_deref(), wanted.rows.argmax.as_deref());
        self.check_rank(what, got, wanted);
        assert_eq!(got.classes.is_some(), wanted.classes.is_some(), "{what}: class losses");
        if let (Some(got), Some(wanted)) = (&got.classes, &wanted.classes) {
            self.check_classes(what, got, wanted);
        }
        (check.used, check.judged)
    }

    /// Checks that classes are at the maximum, or so near to it that they may be.
    #[track_caller]
    fn check_argmax(&self, what: &str, got: Option<&[u32]>, wanted: Option<&[u32]>) {
        assert_eq!(got.map(<[u32]>::len), wanted.map(<[u32]>::len), "{what}: argmax");
        for (row, (&got, &wanted)) in
            got.iter().flat_map(|g| g.iter()).zip(wanted.unwrap_or(&[])).enumerate()
        {
            let near = || {
                let class =
                    self.logit(self.data.view.row_start(row) + got as usize * self.data.view.inner);
                let (d, off) = class.below(self.rows[row].max);
                d <= self.results * off * UNIT
            };
            let right = got == wanted || (wanted != u32::MAX && got != u32::MAX && near());
            assert!(right, "{what}: argmax[{row}] is {got}, expected {wanted}");
        }
    }

    /// Checks that ranks are between the least and the largest that nearly equal logits allow; and so for the number of
    /// rows that are predicted right.
    #[track_caller]
    fn check_rank(&self, what: &str, got: &Extras, wanted: &Extras) {
        let (ranks, truths) = (got.rows.rank.as_deref(), wanted.rows.rank.as_deref());
        assert_eq!(ranks.map(<[u32]>::len), truths.map(<[u32]>::len), "{what}: rank");
        for row in 0..self.rows.len() {
            let near = self.near(row);
            if let (Some(ranks), Some(truths)) = (ranks, truths) {
                let (rank, truth) = (ranks[row], truths[row]);
                let right = rank == truth || (truth != u32::MAX && rank.abs_diff(truth) <= near);
                assert!(
                    right,
                    "{what}: rank[{row}] is {rank}, expected {truth}, or {near} from it"
                );
            }
        }
        let open = self.open();
        for (part, got, wanted) in
            [("right", got.correct, wanted.correct), ("in the first k", got.top_k, wanted.top_k)]
        {
            let right = got.abs_diff(wanted) <= open;
            assert!(right, "{what}: {got} rows {part}, expected {wanted}");
        }
        if let (Some(ranks), Some(truths)) = (ranks, truths) {
            let counts = |ranks: &[u32]| ranks.iter().filter(|&&rank| rank != u32::MAX).count();
            assert_eq!(counts(ranks), counts(truths), "{what}: rows with a rank");
        }
    }

    /// Checks sums of losses: each loss may have its error, and is cut to units of 2^-56.
    #[track_caller]
    fn check_classes(&self, what: &str, got: &ClassLosses, wanted: &ClassLosses) {
        assert_eq!(got.rows, wanted.rows, "{what}: rows of classes");
        let mut allowed = vec![0.0; wanted.loss.len()];
        for row in 0..self.rows.len() {
            if let Some(class) = self.class(row) {
                allowed[class] += self.row_loss_off(row) + 2f64.powi(-56);
            }
        }
        for (class, allowed) in allowed.into_iter().enumerate() {
            let (got, wanted) = (got.loss[class], wanted.loss[class]);
            let right = match wanted.is_finite() {
                true => (got - wanted).abs() <= self.results * allowed,
                false => got == wanted || (got.is_nan() && wanted.is_nan()),
            };
            assert!(
                right,
                "{what}: class {class} has lost {got:e}, expected {wanted:e} within {allowed:e}"
            );
        }
        let off = |(got, wanted): (&u64, &u64)| got.abs_diff(*wanted);
        let off: u64 = got.correct.iter().zip(&wanted.correct).map(off).sum();
        let (got, wanted) = (&got.correct, &wanted.correct);
        let right = off <= self.open();
        assert!(right, "{what}: of classes {got:?} rows are right, expected {wanted:?}");
    }

    /// Counts the classes of a row that are so near to the label's that they may come before it or not.
    fn near(&self, row: usize) -> u32 {
        let Some(label) = self.class(row) else { return 0 };
        let view = self.data.view;
        let logit = |class| self.logit(view.row_start(row) + class * view.inner);
        let own = logit(label);
        let near = (0..view.classes).map(logit).enumerate().filter(|&(class, logit)| {
            let off = self.results * (logit.off + own.off) * UNIT;
            class != label && off > 0.0 && (logit.z - own.z).abs() <= off
        });
        near.count() as u32
    }

    /// Counts the rows that have such classes.
    fn open(&self) -> u64 {
        (0..self.rows.len()).filter(|&row| self.near(row) > 0).count() as u64
    }

    /// Returns the divisor of the sum over rows.
    fn divisor(&self) -> f64 {
        match self.problem.divisor {
            Divisor::Known(divisor) => divisor,
            Divisor::RowWeights => (0..self.data.view.rows()).map(|row| self.row_weight(row)).sum(),
        }
    }

    /// Returns a row's contribution to the mean's divisor.
    fn row_weight(&self, row: usize) -> f64 {
        let factor = self.factor(row);
        match &self.data.target {
            Target::Labels(_) => self.class(row).map_or(0.0, |class| factor * self.weight(class)),
            _ => factor,
        }
    }

    /// The row's own weight.
    fn factor(&self, row: usize) -> f64 {
        self.data.row_weights.as_ref().map_or(1.0, |weights| weights[row].into())
    }

    /// An element of the input as it goes into the softmax.
    fn logit(&self, element: usize) -> Logit {
        Logit::new(self.problem.logits, self.data.input[element].into())
    }

    fn row(&self, row: usize) -> Row {
        let view = self.data.view;
        let elements = (0..view.classes).map(|class| view.row_start(row) + class * view.inner);
        let mut out = Row::new(elements.clone().map(|element| self.logit(element)));
        out.weight = self.row_weight(row);
        for (class, element) in elements.clone().enumerate() {
            let share = self.share(row, class, element);
            let (d, off) = self.logit(element).below(out.max);
            out.whole += share;
            if share != 0.0 && d.is_finite() {
                out.gap_drift += share.abs() * off;
            }
        }
        if let (Function::Softmax, Some(upstream)) =
            (self.problem.function, self.data.upstream_data())
        {
            let upstream: Vec<f64> = elements.map(|element| upstream[element].into()).collect();
            self.spread(&mut out, row, &upstream);
        }
        let divides = self.problem.function != Function::Softmax;
        let upstream = if divides { self.data.upstream_of(row) } else { 1.0 };
        out.scale = if self.divisor == 0.0 { 0.0 } else { upstream / self.divisor };
        out
    }

    /// Sets the distances of a row's upstream gradients. Kernels measure them from that of the highest class so far.
    fn spread(&self, out: &mut Row, row: usize, upstream: &[f64]) {
        let view = self.data.view;
        let below: Vec<(f64, f64)> = (0..view.classes)
            .map(|class| self.logit(view.row_start(row) + class * view.inner).below(out.max))
            .collect();
        out.upstream = upstream.iter().map(|u| u.abs()).sum();
        out.apart = vec![0.0; view.classes];
        let mut order: Vec<usize> = (0..view.classes).collect();
        order.sort_by(|&a, &b| below[a].0.total_cmp(&below[b].0));
        let mut most: f64 = 0.0;
        for level in order.chunk_by(|&a, &b| below[a].0 == below[b].0) {
            let distance = |&class: &usize| (upstream[class] - upstream[order[0]]).abs();
            most = level.iter().map(distance).fold(most, f64::max);
            for &class in level {
                let (d, off) = below[class];
                out.apart[class] = most;
                if d.is_finite() {
                    out.product += out.prob(d) * most * out.units((d, off));
                }
            }
        }
    }

    /// The class of a row that counts.
    fn class(&self, row: usize) -> Option<usize> {
        let label = self.data.label(row)?;
        if self.factor(row) == 0.0 {
            return None;
        }
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
        let smoothed = (1.0 - e) * q + e / self.data.view.classes as f64;
        self.factor(row) * self.weight(class) * smoothed
    }

    /// Returns the allowed error of a row's loss, or of the reduced one.
    fn loss(&self, row: usize, truth: f64) -> f64 {
        if self.problem.function == Function::Nll {
            return UNIT * self.nll_loss(truth);
        }
        self.reduced(row, |row| self.row_loss_units(row)) + UNITS * UNIT * truth.abs() + SMALLEST
    }

    /// Returns the units of a row's loss in addition to [`UNITS`].
    fn row_loss_units(&self, row: usize) -> f64 {
        let r = &self.rows[row];
        match self.problem.function {
            Function::Entropy => r.weight * r.entropy_units,
            _ => r.whole.abs() * r.log_units() + r.gap_drift,
        }
    }

    /// Returns the allowed error of the loss of a row before it is reduced.
    fn row_loss_off(&self, row: usize) -> f64 {
        let r = &self.rows[row];
        if self.problem.function == Function::Nll {
            let view = self.data.view;
            let x = |class| self.data.input[view.row_start(row) + class * view.inner];
            return self
                .class(row)
                .map_or(0.0, |class| UNIT * (r.weight * f64::from(x(class))).abs());
        }
        let element = |class| self.data.view.row_start(row) + class * self.data.view.inner;
        let loss = (0..self.data.view.classes).map(|class| {
            let share = self.share(row, class, element(class)).abs();
            let (d, _) = self.logit(element(class)).below(r.max);
            if share == 0.0 || !d.is_finite() { 0.0 } else { share * (d + r.log_sum_exp()) }
        });
        UNIT * (self.row_loss_units(row) + UNITS * loss.sum::<f64>()) + SMALLEST
    }

    /// Returns the allowed error of a row's z-loss, or of the reduced one.
    fn z_loss(&self, row: usize, truth: f64) -> f64 {
        let of_row = |row: usize| {
            let r = &self.rows[row];
            let factor = f64::from(self.problem.z_loss).abs() * r.weight.abs();
            if factor == 0.0 { 0.0 } else { factor * 2.0 * r.lse().abs() * r.lse_off() / UNIT }
        };
        self.reduced(row, of_row) + UNITS * UNIT * truth.abs() + SMALLEST
    }

    /// Converts units of one row, or of the reduced sum over rows, to an absolute error.
    fn reduced(&self, row: usize, units: impl Fn(usize) -> f64) -> f64 {
        if self.problem.reduction == Reduction::None {
            UNIT * units(row)
        } else if self.divisor == 0.0 {
            0.0
        } else {
            // If a row's number is NaN so is the truth, and it is compared as such.
            UNIT * (0..self.rows.len()).map(units).sum::<f64>() / self.divisor.abs()
        }
    }

    /// Returns the error for `-w_t x_t`: one product, or some dozens of sums of both signs and a quotient.
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

    /// Returns the allowed error of an element of the gradient `scale (V p_c - v_c)`.
    fn grad(&self, element: usize, truth: f64) -> f64 {
        if self.problem.function == Function::Nll {
            return truth.abs() * 4.0 * UNIT;
        }
        let (row, class) = self.data.view.row_and_class(element);
        let share = self.share(row, class, element);
        let (index, row, logit) = (row, &self.rows[row], self.logit(element));
        let (d, off) = logit.below(row.max);
        match self.problem.function {
            Function::Softmax => return self.product(element, truth),
            Function::Entropy => {
                if self.factor(index) == 0.0 || !d.is_finite() {
                    return 0.0;
                }
                // p (d - mean_gap), of which both are taken with the logarithm that the entropy holds.
                let parts = d * row.units((d, off)) + off + row.entropy_units + UNITS * row.entropy;
                let scale = (row.scale * self.factor(index)).abs();
                return scale * row.prob(d) * parts * UNIT
                    + 4.0 * UNIT * truth.abs()
                    + SMALLEST * (1.0 + scale * (1.0 + d + row.entropy));
            }
            _ => {}
        }
        if row.weight == 0.0 && row.whole == 0.0 {
            return 0.0;
        }
        let pull = 2.0 * f64::from(self.problem.z_loss) * row.weight;
        if !d.is_finite() && share == 0.0 {
            return 0.0;
        }
        // The label's own class at the maximum, where nothing cancels.
        let at_max = d == 0.0 && share == row.whole;
        let p = if d.is_finite() { row.prob(d) } else { 0.0 };
        let parts = if at_max {
            share.abs() * (row.sum_exp_m1 / (1.0 + row.sum_exp_m1)) * row.units((0.0, off))
        } else {
            row.whole.abs() * p * row.units((d, off)) + share.abs() * UNITS
        };
        let of_z_loss =
            pull.abs() * p * (row.lse().abs() * row.units((d, off)) * UNIT + row.lse_off());
        let of_z_loss = if pull == 0.0 { 0.0 } else { of_z_loss };
        let flushed = if pull == 0.0 { 0.0 } else { pull.abs() * row.lse().abs().max(1.0) };
        let scale = (row.scale * logit.slope).abs();
        scale * (parts * UNIT + of_z_loss)
            + (4.0 + logit.slope_units) * UNIT * truth.abs()
            // A power that is flushed removes its part of V and of the z-loss too.
            + SMALLEST * (1.0 + scale * (row.whole.abs() + flushed))
    }

    /// Returns the allowed error of an element of the product of an upstream gradient and the Jacobian.
    fn product(&self, element: usize, truth: f64) -> f64 {
        let (row, class) = self.data.view.row_and_class(element);
        let row = &self.rows[row];
        let below = self.logit(element).below(row.max);
        let p = if below.0.is_finite() { row.prob(below.0) } else { 0.0 };
        let own = self.data.upstream_data().map_or(0.0, |u| f64::from(u[element]).abs());
        let parts = match self.problem.outputs.log_probs {
            true => own * UNITS + p * row.upstream * (row.units(below) + UNITS),
            false => {
                let apart = row.apart.get(class).copied().unwrap_or_default();
                p * (row.product + apart * UNITS) + truth.abs() * row.units(below)
            }
        };
        parts * UNIT + SMALLEST * (1.0 + row.upstream)
    }

    /// Returns the allowed error of a log-probability or probability.
    fn element(&self, element: usize, truth: f64) -> f64 {
        let row = &self.rows[self.data.view.row_and_class(element).0];
        let (d, off) = self.logit(element).below(row.max);
        if self.problem.outputs.log_probs {
            let log = row.log_sum_exp() * UNITS + row.log_units() + off;
            (4.0 * truth.abs() + log) * UNIT + SMALLEST
        } else {
            truth.abs() * row.units((d, off)) * UNIT + SMALLEST
        }
    }
}

/// A comparison in progress.
struct Check<'a> {
    what: &'a str,
    used: f64,
    compared: usize,
    judged: Judged,
    results: f64,
}

impl<'a> Check<'a> {
    fn new(what: &'a str, results: f64) -> Self {
        Self { what, used: 0.0, compared: 0, judged: Judged::default(), results }
    }

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
            self.judged.add(element_type, wanted, allowed);
            // A number within the tolerance in f32 is rounded to the nearest of the output's type.
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
                "{what}: {part}[{i}] is {got:e}, expected {wanted:e} within {allowed:.1e}: \
                 off by {off:.1e}, {:.1e} of itself",
                off / wanted.abs()
            );
            if allowed > SMALLEST && element_type == ElementType::F32 {
                self.used = self.used.max(off / allowed);
            }
        }
    }
}
