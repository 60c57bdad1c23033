//! The cases of `tests/fixtures/*.json`: inputs, options, and the truth in float64.
//!
//! ```ignore
//! for case in fixtures::load("cross_entropy") {
//!     let output = reference::run(&*case.loss(), &case.inputs(), case.outputs())?;
//!     assert_close(&case.name, &output.loss, &case.truth.loss, tolerance);
//! }
//! ```

use std::path::Path;

use serde::Deserialize;
use wgpu_loss::{CrossEntropy, Inputs, Labels, Loss, Nll, Outputs, Reduction, Tensor};

/// One case, ready to run.
pub struct Case {
    /// Its name: the file's, a slash, and its own.
    pub name: String,
    /// What comes out.
    pub truth: Truth,
    function: Function,
    shape: Vec<usize>,
    /// The shape without the class axis.
    row_shape: Vec<usize>,
    class_axis: Option<isize>,
    input: Vec<f32>,
    target: Target,
    weight: Option<Vec<f32>>,
    ignore_index: i64,
    label_smoothing: f32,
    reduction: Reduction,
    upstream: Option<Vec<f32>>,
}

/// The results in float64; `None` where the case says nothing about them.
pub struct Truth {
    pub loss: Vec<f64>,
    pub loss_shape: Vec<usize>,
    pub grad: Option<Vec<f64>>,
    pub log_probs: Option<Vec<f64>>,
}

#[derive(Clone, Copy)]
enum Function {
    CrossEntropy,
    Nll,
}

enum Target {
    Labels(OwnedLabels),
    Probabilities(Vec<f32>),
}

/// Labels in the type that the case names.
enum OwnedLabels {
    U8(Vec<u8>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    I64(Vec<i64>),
}

/// The cases of `tests/fixtures/<file>.json`; `file` is `cross_entropy` or `nll`.
pub fn load(file: &str) -> Vec<Case> {
    let function = match file {
        "cross_entropy" => Function::CrossEntropy,
        "nll" => Function::Nll,
        _ => panic!("no loss belongs to {file}.json"),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let records: Vec<Record> = serde_json::from_str(&text).expect(file);
    records.into_iter().map(|record| Case::new(file, function, record)).collect()
}

impl Case {
    fn new(file: &str, function: Function, record: Record) -> Self {
        let name = format!("{file}/{}", record.name);
        let shape = record.shape;
        let axis = record.class_axis.unwrap_or(if shape.len() == 1 { 0 } else { 1 });
        let mut row_shape = shape.clone();
        row_shape.remove(axis.rem_euclid(shape.len() as isize) as usize);
        let reduction = match record.reduction.as_str() {
            "none" => Reduction::None,
            "mean" => Reduction::Mean,
            "sum" => Reduction::Sum,
            "batchmean" => Reduction::BatchMean,
            other => panic!("{name}: no reduction {other}"),
        };
        let target = match (record.labels, record.label_type, record.probabilities) {
            (Some(labels), Some(label_type), None) => {
                Target::Labels(OwnedLabels::new(labels, &label_type))
            }
            (None, None, Some(probabilities)) => Target::Probabilities(f32s(probabilities)),
            _ => panic!("{name}: labels with their type, or else probabilities"),
        };
        let truth = Truth {
            loss: f64s(record.loss),
            loss_shape: if reduction == Reduction::None { row_shape.clone() } else { Vec::new() },
            grad: record.grad.map(f64s),
            log_probs: record.log_probs.map(f64s),
        };
        Self {
            name,
            truth,
            function,
            shape,
            row_shape,
            class_axis: record.class_axis,
            input: f32s(record.input),
            target,
            weight: record.weight.map(f32s),
            ignore_index: record.ignore_index,
            label_smoothing: exact_f32(record.label_smoothing),
            reduction,
            upstream: record.upstream.map(f32s),
        }
    }

    /// The loss with its options.
    pub fn loss(&self) -> Box<dyn Loss> {
        match self.function {
            Function::CrossEntropy => {
                let mut loss = CrossEntropy::new()
                    .label_smoothing(self.label_smoothing)
                    .reduction(self.reduction);
                if let Target::Labels(_) = self.target {
                    loss = loss.ignore_index(self.ignore_index);
                }
                if let Some(axis) = self.class_axis {
                    loss = loss.class_axis(axis);
                }
                Box::new(loss)
            }
            Function::Nll => {
                let mut loss = Nll::new().ignore_index(self.ignore_index).reduction(self.reduction);
                if let Some(axis) = self.class_axis {
                    loss = loss.class_axis(axis);
                }
                Box::new(loss)
            }
        }
    }

    /// The data.
    pub fn inputs(&self) -> Inputs<'_> {
        let mut inputs = Inputs::new(Tensor::new(&self.input, &self.shape));
        inputs = match &self.target {
            Target::Labels(labels) => inputs.labels(labels.borrow(), &self.row_shape),
            Target::Probabilities(q) => inputs.probabilities(Tensor::new(q, &self.shape)),
        };
        if let Some(weight) = &self.weight {
            inputs = inputs.weight(weight);
        }
        if let Some(upstream) = &self.upstream {
            inputs = inputs.upstream(Tensor::new(upstream, &self.truth.loss_shape));
        }
        inputs
    }

    /// All that the truth speaks of.
    pub fn outputs(&self) -> Outputs {
        let mut outputs = Outputs::loss();
        if self.truth.grad.is_some() {
            outputs = outputs.with_grad();
        }
        if self.truth.log_probs.is_some() {
            outputs = outputs.with_log_probs();
        }
        outputs
    }
}

impl OwnedLabels {
    fn new(labels: Vec<i64>, label_type: &str) -> Self {
        fn narrow<T: TryFrom<i64>>(labels: Vec<i64>) -> Vec<T> {
            let narrowed = labels.into_iter().map(T::try_from);
            narrowed.map(|label| label.ok().expect("a label of the case's type")).collect()
        }
        match label_type {
            "u8" => OwnedLabels::U8(narrow(labels)),
            "i32" => OwnedLabels::I32(narrow(labels)),
            "u32" => OwnedLabels::U32(narrow(labels)),
            "i64" => OwnedLabels::I64(labels),
            other => panic!("no labels of type {other}"),
        }
    }

    fn borrow(&self) -> Labels<'_> {
        match self {
            OwnedLabels::U8(labels) => labels.into(),
            OwnedLabels::I32(labels) => labels.into(),
            OwnedLabels::U32(labels) => labels.into(),
            OwnedLabels::I64(labels) => labels.into(),
        }
    }
}

/// A case as it is written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    shape: Vec<usize>,
    class_axis: Option<isize>,
    input: Vec<Number>,
    labels: Option<Vec<i64>>,
    probabilities: Option<Vec<Number>>,
    label_type: Option<String>,
    weight: Option<Vec<Number>>,
    ignore_index: i64,
    label_smoothing: f64,
    reduction: String,
    upstream: Option<Vec<Number>>,
    loss: Vec<Number>,
    grad: Option<Vec<Number>>,
    log_probs: Option<Vec<Number>>,
}

/// A number, or the name of one that JSON cannot write.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Named(Name),
}

#[derive(Deserialize)]
enum Name {
    #[serde(rename = "NaN")]
    Nan,
    #[serde(rename = "inf")]
    Inf,
    #[serde(rename = "-inf")]
    MinusInf,
}

fn f64s(numbers: Vec<Number>) -> Vec<f64> {
    let wide = |number| match number {
        Number::Finite(x) => x,
        Number::Named(Name::Nan) => f64::NAN,
        Number::Named(Name::Inf) => f64::INFINITY,
        Number::Named(Name::MinusInf) => f64::NEG_INFINITY,
    };
    numbers.into_iter().map(wide).collect()
}

fn f32s(numbers: Vec<Number>) -> Vec<f32> {
    f64s(numbers).into_iter().map(exact_f32).collect()
}

/// What goes in must be exact in f32: the truth holds for it and not for something near it.
fn exact_f32(x: f64) -> f32 {
    let narrow = x as f32;
    // serde_json reads a decimal to within one unit of f64, far inside half a unit of f32.
    let exact = !x.is_finite() || (f64::from(narrow) - x).abs() <= x.abs() * 1e-15;
    assert!(exact, "{x} is not exact in f32");
    narrow
}
