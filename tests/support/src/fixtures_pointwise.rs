//! The cases of `tests/fixtures/pointwise.json`: inputs, options, and the truth in float64.

use serde::Deserialize;
use wgpu_loss::{Reduction, Tensor};

use super::records::{Number, exact_f32, f32s, f64s, read, reduction_of};

/// One case: everything in the input's shape, but for what has a shape of its own.
pub struct Case {
    /// The file's name, a slash, and its own.
    pub name: String,
    pub function: Function,
    pub shape: Vec<usize>,
    pub input: Vec<f32>,
    pub target: Vec<f32>,
    /// Broadcast to the input's shape; `var` also from the shape without the last axis.
    pub weight: Option<Shaped>,
    pub pos_weight: Option<Shaped>,
    pub var: Option<Shaped>,
    pub reduction: Reduction,
    /// The gradient of the loss: one number, or the input's shape for reduction `none`.
    pub upstream: Option<Vec<f32>>,
    pub truth: Truth,
}

/// A loss and its options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    Bce,
    BceWithLogits,
    KlDiv { log_target: bool },
    GaussianNll { full: bool, eps: f32 },
    PoissonNll { log_input: bool, full: bool, eps: f32 },
}

/// A tensor with a shape of its own.
#[derive(Clone, Debug)]
pub struct Shaped {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// The results in float64; `None` where the case says nothing about them.
pub struct Truth {
    pub loss: Vec<f64>,
    /// `[]`, or the input's shape for reduction `none`.
    pub loss_shape: Vec<usize>,
    pub grad: Vec<f64>,
    pub target_grad: Option<Vec<f64>>,
    /// In the variance's own shape.
    pub var_grad: Option<Vec<f64>>,
}

/// Every case of the file.
pub fn load() -> Vec<Case> {
    read::<Record>("pointwise").into_iter().map(Case::new).collect()
}

impl Case {
    fn new(record: Record) -> Self {
        let name = format!("pointwise/{}", record.name);
        let (full, eps) = (record.full, exact_f32(record.eps));
        let function = match record.loss_function.as_str() {
            "bce" => Function::Bce,
            "bce_with_logits" => Function::BceWithLogits,
            "kl_div" => Function::KlDiv { log_target: record.log_target },
            "gaussian_nll" => Function::GaussianNll { full, eps },
            "poisson_nll" => Function::PoissonNll { log_input: record.log_input, full, eps },
            other => panic!("{name}: no loss {other}"),
        };
        let reduction = reduction_of(&record.reduction);
        let unreduced = reduction == Reduction::None;
        Self {
            name,
            function,
            input: f32s(record.input),
            target: f32s(record.target),
            weight: record.weight.map(Shaped::new),
            pos_weight: record.pos_weight.map(Shaped::new),
            var: record.var.map(Shaped::new),
            reduction,
            upstream: record.upstream.map(f32s),
            truth: Truth {
                loss: f64s(record.loss),
                loss_shape: if unreduced { record.shape.clone() } else { Vec::new() },
                grad: f64s(record.grad),
                target_grad: record.target_grad.map(f64s),
                var_grad: record.var_grad.map(f64s),
            },
            shape: record.shape,
        }
    }

    /// The shape of the upstream gradient.
    pub fn upstream_shape(&self) -> &[usize] {
        &self.truth.loss_shape
    }
}

impl Shaped {
    fn new(record: ShapedRecord) -> Self {
        Self { shape: record.shape, data: f32s(record.data) }
    }

    /// The tensor as the library takes it.
    pub fn tensor(&self) -> Tensor<'_> {
        Tensor::new(&self.data, &self.shape)
    }
}

/// A case as it is written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    loss_function: String,
    shape: Vec<usize>,
    input: Vec<Number>,
    target: Vec<Number>,
    weight: Option<ShapedRecord>,
    pos_weight: Option<ShapedRecord>,
    var: Option<ShapedRecord>,
    log_target: bool,
    log_input: bool,
    full: bool,
    eps: f64,
    reduction: String,
    upstream: Option<Vec<Number>>,
    loss: Vec<Number>,
    grad: Vec<Number>,
    target_grad: Option<Vec<Number>>,
    var_grad: Option<Vec<Number>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShapedRecord {
    shape: Vec<usize>,
    data: Vec<Number>,
}
