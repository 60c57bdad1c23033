//! Owned inputs of losses of single elements, random ones, and the allowed errors of the results.

use std::cell::RefCell;

use wgpu_loss::{
    Bce, BceWithLogits, ElementType, GaussianNll, Gpu, Inputs, KlDiv, Loss, Output, Outputs,
    PoissonNll, Reduction, Tensor, reference,
};

use super::close::{Judged, Tolerance};
use super::fixtures_pointwise::{Case, Function, Shaped};
use super::floats::OwnedFloats;
use super::random::Random;

/// A formula with its options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Bce,
    Logits,
    Kl { log_target: bool },
    Gaussian { full: bool },
    Poisson { log_input: bool, full: bool },
}

impl Kind {
    /// Every formula there is.
    pub const ALL: [Kind; 10] = [
        Kind::Bce,
        Kind::Logits,
        Kind::Kl { log_target: false },
        Kind::Kl { log_target: true },
        Kind::Gaussian { full: false },
        Kind::Gaussian { full: true },
        Kind::Poisson { log_input: true, full: false },
        Kind::Poisson { log_input: true, full: true },
        Kind::Poisson { log_input: false, full: false },
        Kind::Poisson { log_input: false, full: true },
    ];

    /// The loss.
    pub fn loss(self, reduction: Reduction) -> Box<dyn Loss> {
        match self {
            Kind::Bce => Box::new(Bce::new().reduction(reduction)),
            Kind::Logits => Box::new(BceWithLogits::new().reduction(reduction)),
            Kind::Kl { log_target } => {
                Box::new(KlDiv::new().log_target(log_target).reduction(reduction))
            }
            Kind::Gaussian { full } => Box::new(GaussianNll::new().full(full).reduction(reduction)),
            Kind::Poisson { log_input, full } => {
                Box::new(PoissonNll::new().log_input(log_input).full(full).reduction(reduction))
            }
        }
    }

    /// All gradients that the loss gives.
    pub fn outputs(self) -> Outputs {
        let grad = Outputs::loss().with_grad();
        match self {
            Kind::Kl { .. } => grad.with_target_grad(),
            Kind::Gaussian { .. } => grad.with_target_grad().with_var_grad(),
            _ => grad,
        }
    }
}

/// One operand.
#[derive(Clone, Debug)]
pub struct Operand {
    pub data: OwnedFloats,
    pub shape: Vec<usize>,
}

impl Operand {
    pub fn tensor(&self) -> Tensor<'_> {
        Tensor::new(self.data.borrow(), &self.shape)
    }
}

/// The inputs of one call.
#[derive(Clone, Debug)]
pub struct Points {
    pub kind: Kind,
    pub input: Operand,
    pub target: Operand,
    pub weight: Option<Operand>,
    pub pos_weight: Option<Operand>,
    pub var: Option<Operand>,
    pub upstream: Option<(Vec<f32>, Vec<usize>)>,
    /// Another `eps` than the loss has by default.
    pub eps: Option<f32>,
}

/// The element types of a call.
#[derive(Clone, Copy, Debug)]
pub struct Types {
    pub input: ElementType,
    pub target: ElementType,
    pub others: ElementType,
}

impl Types {
    pub const F32: Types =
        Types { input: ElementType::F32, target: ElementType::F32, others: ElementType::F32 };
}

impl From<&Case> for Points {
    fn from(case: &Case) -> Self {
        let operand = |data: &[f32], shape: &[usize]| Operand {
            data: OwnedFloats::new(ElementType::F32, data),
            shape: shape.to_vec(),
        };
        let shaped = |shaped: &Shaped| operand(&shaped.data, &shaped.shape);
        let (kind, eps) = match case.function {
            Function::Bce => (Kind::Bce, None),
            Function::BceWithLogits => (Kind::Logits, None),
            Function::KlDiv { log_target } => (Kind::Kl { log_target }, None),
            Function::GaussianNll { full, eps } => (Kind::Gaussian { full }, Some(eps)),
            Function::PoissonNll { log_input, full, eps } => {
                (Kind::Poisson { log_input, full }, Some(eps))
            }
        };
        let upstream = case.upstream.clone().map(|up| (up, case.upstream_shape().to_vec()));
        Self {
            kind,
            input: operand(&case.input, &case.shape),
            target: operand(&case.target, &case.shape),
            weight: case.weight.as_ref().map(shaped),
            pos_weight: case.pos_weight.as_ref().map(shaped),
            var: case.var.as_ref().map(shaped),
            upstream,
            eps,
        }
    }
}

/// The largest losses.
pub const HUGE: f32 = 3e38;

/// An input and a target whose loss is `HUGE` or nearly so.
fn huge(kind: Kind) -> (f32, f32) {
    match kind {
        Kind::Bce => (0.0, 1.0),
        Kind::Logits => (HUGE, 0.0),
        Kind::Kl { log_target: false } => (-HUGE, 1.0),
        Kind::Kl { log_target: true } => (-HUGE, 0.0),
        Kind::Gaussian { .. } => (2.4e19, 0.0),
        Kind::Poisson { log_input: true, .. } => (88.7, 0.0),
        Kind::Poisson { log_input: false, .. } => (HUGE, 0.0),
    }
}

impl Points {
    /// Two losses of three are as large as an f32 nearly, all of them of one sign.
    pub fn with_huge_losses(kind: Kind, shape: &[usize]) -> Self {
        let (input, target) = huge(kind);
        let mut points = Self::random(kind, shape, Types::F32);
        let owned = |values: &[f32]| {
            let data = OwnedFloats::new(ElementType::F32, values);
            Operand { data, shape: shape.to_vec() }
        };
        let mixed = |old: &OwnedFloats, huge: f32| {
            let old = old.wide();
            let new: Vec<f32> =
                (0..old.len()).map(|n| if n % 3 == 0 { old[n] } else { huge }).collect();
            owned(&new)
        };
        points.input = mixed(&points.input.data, input);
        points.target = mixed(&points.target.data, target);
        let elements = points.input.data.wide().len();
        points.var = points.var.map(|_| owned(&vec![1.0; elements]));
        if kind == Kind::Bce {
            // Its losses are 100 at most.
            let weight: Vec<f32> = (0..elements).map(|n| [3.3e36, 3e36][n % 2]).collect();
            points.weight = Some(owned(&weight));
        }
        points
    }

    /// Random operands; all have the input's shape, and there are none that may be left out.
    pub fn random(kind: Kind, shape: &[usize], types: Types) -> Self {
        let mut random = Random(shape.iter().fold(11, |seed, &extent| seed * 31 + extent as u64));
        let mut make = |element_type, low, high| Operand {
            data: OwnedFloats::new(
                element_type,
                &(0..shape.iter().product()).map(|_| random.uniform(low, high)).collect::<Vec<_>>(),
            ),
            shape: shape.to_vec(),
        };
        let (x, t) = match kind {
            Kind::Bce => ((0.0, 1.0), (0.0, 1.0)),
            Kind::Logits => ((-9.0, 9.0), (0.0, 1.0)),
            Kind::Kl { log_target: false } => ((-6.0, 0.0), (0.0, 1.0)),
            Kind::Kl { log_target: true } => ((-6.0, 0.0), (-6.0, 0.0)),
            Kind::Gaussian { .. } => ((-3.0, 3.0), (-3.0, 3.0)),
            Kind::Poisson { log_input: true, .. } => ((-3.0, 3.0), (0.0, 6.0)),
            Kind::Poisson { log_input: false, .. } => ((0.1, 6.0), (0.0, 6.0)),
        };
        let input = make(types.input, x.0, x.1);
        let target = make(types.target, t.0, t.1);
        let gaussian = matches!(kind, Kind::Gaussian { .. });
        let var = gaussian.then(|| make(types.others, 0.25, 3.0));
        Self { kind, input, target, weight: None, pos_weight: None, var, upstream: None, eps: None }
    }

    fn made(&self, shape: &[usize], element_type: ElementType, low: f32, high: f32) -> Operand {
        let mut random = Random(shape.iter().fold(5, |seed, &extent| seed * 29 + extent as u64));
        let count = shape.iter().product();
        let data: Vec<f32> = (0..count).map(|_| random.uniform(low, high)).collect();
        Operand { data: OwnedFloats::new(element_type, &data), shape: shape.to_vec() }
    }

    /// With weights of the elements, and for logits of what is positive, in these shapes.
    pub fn weights(mut self, weight: &[usize], pos_weight: &[usize], t: ElementType) -> Self {
        self.weight = Some(self.made(weight, t, 0.5, 2.0));
        if self.kind == Kind::Logits {
            self.pos_weight = Some(self.made(pos_weight, t, 0.25, 4.0));
        }
        self
    }

    /// With a target in another shape.
    pub fn target_in(mut self, shape: &[usize]) -> Self {
        let (low, high) = match self.kind {
            Kind::Kl { log_target: true } => (-6.0, 0.0),
            Kind::Poisson { .. } => (0.0, 6.0),
            _ => (0.0, 1.0),
        };
        self.target = self.made(shape, self.target.data.borrow().element_type(), low, high);
        self
    }

    /// With variances in another shape.
    pub fn var_in(mut self, shape: &[usize]) -> Self {
        let element_type = self.var.as_ref().map(|var| var.data.borrow().element_type());
        self.var = element_type.map(|element_type| self.made(shape, element_type, 0.25, 3.0));
        self
    }

    /// With a gradient upstream: one number, or one for each element.
    pub fn with_upstream(mut self, reduction: Reduction) -> Self {
        let shape = if reduction == Reduction::None { self.input.shape.clone() } else { vec![] };
        let made = self.made(&shape, ElementType::F32, 0.5, 2.0);
        self.upstream = Some((made.data.wide(), shape));
        self
    }

    /// Without weights.
    pub fn unweighted(self) -> Self {
        Self { weight: None, pos_weight: None, ..self }
    }

    /// With every number at the middle between two multiples of a step, away from where formulas bend.
    pub fn rounded_to(mut self, step: f32) -> Self {
        let operands = [Some(&mut self.input), Some(&mut self.target), self.var.as_mut()];
        for operand in operands.into_iter().flatten() {
            let middle = |x: &f32| ((x / step).floor() + 0.5) * step;
            let values: Vec<f32> = operand.data.wide().iter().map(middle).collect();
            operand.data = OwnedFloats::new(ElementType::F32, &values);
        }
        self
    }

    /// The loss.
    pub fn loss(&self, reduction: Reduction) -> Box<dyn Loss> {
        match (self.kind, self.eps) {
            (Kind::Gaussian { full }, Some(eps)) => {
                Box::new(GaussianNll::new().full(full).eps(eps).reduction(reduction))
            }
            (Kind::Poisson { log_input, full }, Some(eps)) => {
                let loss = PoissonNll::new().log_input(log_input).full(full).eps(eps);
                Box::new(loss.reduction(reduction))
            }
            _ => self.kind.loss(reduction),
        }
    }

    /// The data as the library takes it.
    pub fn inputs(&self) -> Inputs<'_> {
        let mut inputs = Inputs::new(self.input.tensor()).target(self.target.tensor());
        if let Some(weight) = &self.weight {
            inputs = inputs.element_weight(weight.tensor());
        }
        if let Some(weight) = &self.pos_weight {
            inputs = inputs.pos_weight(weight.tensor());
        }
        if let Some(var) = &self.var {
            inputs = inputs.var(var.tensor());
        }
        if let Some((gradients, shape)) = &self.upstream {
            inputs = inputs.upstream(Tensor::new(gradients, shape));
        }
        inputs
    }

    #[track_caller]
    pub fn on(&self, gpu: &Gpu, reduction: Reduction, outputs: Outputs) -> Output<f32> {
        gpu.run(&*self.loss(reduction), &self.inputs(), outputs).unwrap()
    }

    #[track_caller]
    pub fn truth(&self, reduction: Reduction, outputs: Outputs) -> Output<f64> {
        reference::run(&*self.loss(reduction), &self.inputs(), outputs).unwrap()
    }

    /// An operand's value for an element of the input, broadcast as NumPy does; 1 where there is none.
    fn at(&self, operand: Option<&Operand>, element: usize) -> f64 {
        let Some(operand) = operand else { return 1.0 };
        operand.data.borrow().get(self.index(&operand.shape, element)).into()
    }

    /// The number of an operand's element that goes with an element of the input.
    fn index(&self, shape: &[usize], element: usize) -> usize {
        let input = &self.input.shape;
        // One axis less is the last one: only variances have that.
        let less = shape.len() + 1 == input.len() && *shape == input[..shape.len()];
        let shape = if less { [shape, &[1]].concat() } else { shape.to_vec() };
        let (mut rest, mut stride, mut index) = (element, 1, 0);
        for (from_last, &extent) in input.iter().rev().enumerate() {
            let at = rest % extent;
            rest /= extent;
            if from_last < shape.len() {
                let own = shape[shape.len() - 1 - from_last];
                index += if own > 1 { at * stride } else { 0 };
                stride *= own;
            }
        }
        index
    }

    /// The sums of the absolute values of the terms that an element's loss and gradients are made of,
    /// times the error of each term in units of 2^-24.
    ///
    /// Elementary functions: `log` and the series in its place 4; `exp(x)` 6 + 4 |x|, since WGSL allows 3 + 2 |x|
    /// units in the last place, each of which may be two of these; and 8 for the few products, sums and divisions
    /// around them.
    fn terms(&self, element: usize) -> Terms {
        let x = self.at(Some(&self.input), element);
        let t = self.at(Some(&self.target), element);
        let w = self.at(self.weight.as_ref(), element);
        let p = self.at(self.pos_weight.as_ref(), element);
        let v = self.at(self.var.as_ref(), element).max(self.eps.unwrap_or(1e-6).into());
        let terms = self.terms_of(x, t, w, p, v);
        // If a factor is 0, the product is 0, even with an infinite one.
        let finite = |x: f64| if x.is_finite() { x } else { 0.0 };
        Terms {
            loss: finite(terms.loss),
            grad: finite(terms.grad),
            target: finite(terms.target),
            var: finite(terms.var),
        }
    }

    fn terms_of(&self, x: f64, t: f64, w: f64, p: f64, v: f64) -> Terms {
        match self.kind {
            Kind::Bce => {
                let (yes, no) = (x.ln().abs().min(100.0), (-x).ln_1p().abs().min(100.0));
                Terms::new(
                    12.0 * w * (t * yes + (1.0 - t) * no),
                    8.0 * w * (x - t).abs() / (x * (1.0 - x)).max(1e-12),
                )
            }
            Kind::Logits => {
                let error = 18.0 + 4.0 * x.abs();
                let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
                let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
                Terms::new(
                    error * w * (p * t * softplus(-x) + (1.0 - t) * softplus(x)),
                    error * w * (p * t * sigmoid(-x) + (1.0 - t) * sigmoid(x)),
                )
            }
            Kind::Kl { log_target: false } => {
                // log q - x, both of whose parts are exact near 0.
                let apart = if t == 0.0 { 0.0 } else { t.ln() - x };
                let target = 4.0 + 12.0 * (apart.abs() + (apart + 1.0).abs());
                Terms { target, ..Terms::new(t * (4.0 + 12.0 * apart.abs()), 2.0 * t) }
            }
            Kind::Kl { log_target: true } => {
                let (error, apart) = (14.0 + 4.0 * t.abs(), t - x);
                let target = t.exp() * (error * (apart + 1.0).abs() + 4.0 * (apart.abs() + 1.0));
                Terms { target, ..Terms::new(error * t.exp() * apart.abs(), error * t.exp()) }
            }
            Kind::Gaussian { .. } => {
                let square = (x - t).powi(2) / v;
                let slope = 8.0 * (x - t).abs() / v;
                Terms {
                    target: slope,
                    var: 8.0 * (1.0 + square) / (2.0 * v),
                    ..Terms::new(12.0 * (v.ln().abs() + square + 1.0), slope)
                }
            }
            Kind::Poisson { log_input, full } => {
                let eps = if log_input { 0.0 } else { self.eps.unwrap_or(1e-8).into() };
                poisson(x, t, eps, log_input, full && t > 1.0)
            }
        }
    }

    /// Compares an answer with the truth.
    #[track_caller]
    pub fn check(
        &self,
        what: &str,
        reduction: Reduction,
        outputs: Outputs,
        got: &Output<f32>,
        truth: &Output<f64>,
    ) {
        self.compare(what, reduction, outputs, got, truth).assert_says_something(what);
    }

    /// Compares as [`Points::check`] does, and returns the number of judged numbers instead of asserting it.
    #[track_caller]
    pub fn compare(
        &self,
        what: &str,
        reduction: Reduction,
        outputs: Outputs,
        got: &Output<f32>,
        truth: &Output<f64>,
    ) -> Judged {
        let count: usize = self.input.shape.iter().product();
        let divisor = match reduction {
            Reduction::Mean => count as f64,
            Reduction::BatchMean => self.input.shape.first().copied().unwrap_or(1) as f64,
            _ => 1.0,
        };
        // The error of sums: a term goes through three levels of 16, and a tree.
        const SUM: f64 = 64.0;
        let terms: Vec<Terms> = (0..count).map(|element| self.terms(element)).collect();
        let upstream = |element: usize| match &self.upstream {
            None => 1.0,
            Some((gradients, _)) => f64::from(gradients[element % gradients.len()]).abs(),
        };
        let judged = RefCell::new(Judged::default());
        let check_one = |name, index, got: f32, truth, element_type, tolerance: Tolerance| {
            check_one(what, name, index, got, truth, tolerance);
            let allowed = tolerance.absolute + tolerance.relative * f64::abs(truth);
            judged.borrow_mut().add(element_type, truth, allowed);
        };
        let f32s = ElementType::F32;
        match reduction {
            Reduction::None => {
                for (element, terms) in terms.iter().enumerate() {
                    let tolerance = Tolerance::absolute(UNIT * terms.loss + 1e-37);
                    let (got, truth) = (got.loss[element], truth.loss[element]);
                    check_one("loss", element, got, truth, f32s, tolerance);
                }
            }
            _ => {
                let of_terms: f64 = terms.iter().map(|terms| terms.loss * (1.0 + SUM / 8.0)).sum();
                let tolerance = Tolerance::absolute(UNIT * of_terms / divisor + 1e-37);
                check_one("loss", 0, got.loss[0], truth.loss[0], f32s, tolerance);
            }
        }
        let element_type =
            |given: ElementType| if outputs.in_f32 { ElementType::F32 } else { given };
        let rounding = |element_type| match element_type {
            ElementType::F16 => (1.0 / 2048.0, 3.1e-8),
            ElementType::BF16 => (1.0 / 256.0, 1e-37),
            _ => (0.0, 1e-37),
        };
        let near = |name,
                    got: &Option<Vec<f32>>,
                    truth: &Option<Vec<f64>>,
                    of: &dyn Fn(usize) -> f64,
                    t| {
            assert_eq!(got.is_some(), truth.is_some(), "{what}: {name}");
            let (Some(got), Some(truth)) = (got, truth) else { return };
            assert_eq!(got.len(), truth.len(), "{what}: {name}");
            let (relative, absolute) = rounding(t);
            // WGSL grants a quotient, that of upstream gradient and divisor, 2.5 of twice these units.
            let relative = relative + 6.0 * UNIT;
            for (index, (&got, &truth)) in got.iter().zip(truth).enumerate() {
                let absolute = absolute + UNIT * of(index);
                check_one(name, index, got, truth, t, Tolerance { relative, absolute });
            }
        };
        let scaled = |of: fn(&Terms) -> f64| {
            let terms = &terms;
            move |element: usize| (of(&terms[element])) * 1.2 * upstream(element) / divisor
        };
        near(
            "gradient",
            &got.grad,
            &truth.grad,
            &scaled(|t| t.grad),
            element_type(self.input.data.borrow().element_type()),
        );
        let target_type = element_type(self.target.data.borrow().element_type());
        near(
            "target's gradient",
            &got.target_grad,
            &truth.target_grad,
            &scaled(|t| t.target),
            target_type,
        );
        let Some(var) = &self.var else { return judged.into_inner() };
        let mut sums = vec![0.0; var.shape.iter().product()];
        for element in 0..count {
            sums[self.index(&var.shape, element)] += (1.0 + SUM / 8.0) * scaled(|t| t.var)(element);
        }
        let var_type = element_type(var.data.borrow().element_type());
        near("variance's gradient", &got.var_grad, &truth.var_grad, &|index| sums[index], var_type);
        judged.into_inner()
    }
}

#[track_caller]
fn check_one(what: &str, name: &str, index: usize, got: f32, truth: f64, tolerance: Tolerance) {
    assert!(
        tolerance.admits(got.into(), truth),
        "{what}: {name}[{index}] is {got:e}, expected {truth:e} within {tolerance:?}: off by {:e}",
        (f64::from(got) - truth).abs()
    );
}

/// Returns the terms of Poisson's loss: with Stirling's terms `t (r - log(1 + r)) + log(2 pi t) / 2` for `r = rate / t
/// - 1 = expm1(d)`, where the errors of `d` and of the logarithm of the ratio are two units and as much of themselves.
fn poisson(x: f64, t: f64, eps: f64, log_input: bool, stirling: bool) -> Terms {
    let rate = if log_input { x.exp() } else { x + eps };
    // Units of the exponential's error.
    let power = |d: f64| if log_input { 14.0 + 4.0 * d.abs() } else { 0.0 };
    let loss = match (stirling, log_input) {
        (true, _) => {
            let (r, d) = ((rate - t) / t, (rate / t).ln());
            let d = if log_input { x - t.ln() } else { d };
            let off = if d.abs() > 1.0 { t * d.exp() * power(d) } else { 0.0 };
            let whole = 12.0 * (t * (r - d).abs() + (7.0 * t).ln() + eps);
            whole + 2.0 * t * r.abs() * (1.0 + d.abs()) + off
        }
        (false, true) => power(x) * rate + 4.0 * (t * x).abs(),
        (false, false) => 4.0 * x + 12.0 * (t * rate.ln()).abs() + t,
    };
    let grad = match log_input {
        true if t > 0.0 && (x - t.ln()).abs() <= 1.0 => 12.0 * (rate - t).abs() + 2.0 * rate,
        true => power(x) * rate + 4.0 * t.abs(),
        // The error of x - t if eps is lost against it.
        false => 12.0 * ((rate - t) / rate).abs() + (eps / UNIT).min(x.abs().max(t.abs())) / rate,
    };
    Terms::new(loss, grad)
}

/// Half a unit in the last place.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// See [`Points::terms`].
#[derive(Clone, Copy)]
struct Terms {
    loss: f64,
    grad: f64,
    target: f64,
    var: f64,
}

impl Terms {
    fn new(loss: f64, grad: f64) -> Self {
        Self { loss, grad, target: 0.0, var: 0.0 }
    }
}
