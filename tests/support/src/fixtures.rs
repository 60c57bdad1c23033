//! The cases of `cross_entropy.json` and `nll.json`: inputs, options, and the truth in float64.
//!
//! ```ignore
//! for case in fixtures::load("cross_entropy") {
//!     let output = reference::run(&*case.loss(), &case.inputs(), case.outputs())?;
//!     assert_close(&case.name, &output.loss, &case.truth.loss, tolerance);
//! }
//! ```

use serde::Deserialize;
use wgpu_loss::{CrossEntropy, Inputs, Loss, Nll, Outputs, Reduction};

use super::answer::Answer;
use super::data::{Data, Target};
use super::records::{Number, exact_f32, f32s, f64s, label_type_of, read, reduction_of};

/// One case, ready to run.
pub struct Case {
    /// Its name: the file's, a slash, and its own.
    pub name: String,
    /// The right results.
    pub truth: Truth,
    /// The inputs.
    pub data: Data,
    function: Function,
    class_axis: Option<isize>,
    ignore_index: i64,
    label_smoothing: f32,
    reduction: Reduction,
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

/// The cases of `tests/fixtures/<file>.json`; `file` is `cross_entropy` or `nll`.
pub fn load(file: &str) -> Vec<Case> {
    let function = match file {
        "cross_entropy" => Function::CrossEntropy,
        "nll" => Function::Nll,
        _ => panic!("no loss belongs to {file}.json"),
    };
    read::<Record>(file).into_iter().map(|record| Case::new(file, function, record)).collect()
}

impl Case {
    fn new(file: &str, function: Function, record: Record) -> Self {
        let name = format!("{file}/{}", record.name);
        let shape = record.shape;
        let axis = record.class_axis.unwrap_or(if shape.len() == 1 { 0 } else { 1 });
        let mut row_shape = shape.clone();
        row_shape.remove(axis.rem_euclid(shape.len() as isize) as usize);
        let reduction = reduction_of(&record.reduction);
        let mut data = Data::new(&shape, axis, f32s(record.input));
        data = match (record.labels, record.label_type, record.probabilities) {
            (Some(labels), Some(label_type), None) => {
                data.labels(label_type_of(&label_type), &labels)
            }
            (None, None, Some(probabilities)) => data.probabilities(f32s(probabilities)),
            _ => panic!("{name}: labels with their type, or else probabilities"),
        };
        data.weight = record.weight.map(f32s);
        if let Some(upstream) = record.upstream.map(f32s) {
            data = match reduction {
                Reduction::None => data.upstream_rows(upstream),
                _ => data.upstream(upstream[0]),
            };
        }
        let truth = Truth {
            loss: f64s(record.loss),
            loss_shape: if reduction == Reduction::None { row_shape } else { Vec::new() },
            grad: record.grad.map(f64s),
            log_probs: record.log_probs.map(f64s),
        };
        Self {
            name,
            truth,
            data,
            function,
            class_axis: record.class_axis,
            ignore_index: record.ignore_index,
            label_smoothing: exact_f32(record.label_smoothing),
            reduction,
        }
    }

    /// The loss with its options.
    pub fn loss(&self) -> Box<dyn Loss> {
        match self.function {
            Function::CrossEntropy => {
                let mut loss = CrossEntropy::new()
                    .label_smoothing(self.label_smoothing)
                    .reduction(self.reduction);
                if let Target::Labels(_) = self.data.target {
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
        self.data.inputs()
    }

    /// Returns the outputs that the truth has.
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

impl From<&Truth> for Answer {
    fn from(truth: &Truth) -> Self {
        Self {
            loss: truth.loss.clone(),
            grad: truth.grad.clone(),
            elements: truth.log_probs.clone(),
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
