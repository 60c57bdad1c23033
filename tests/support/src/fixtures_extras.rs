//! The cases of `tests/fixtures/extras.json`: cross-entropy with all options that language models
//! and segmentation use, and NLL with row weights.

use serde::Deserialize;
use wgpu_loss::{ClassLosses, CrossEntropy, Loss, Nll, Outputs, Reduction, RowOutputs};

use super::answer::Answer;
use super::data::{Data, Target};
use super::extras::Extras;
use super::records::{Number, exact_f32, f32s, f64s, label_type_of, read, reduction_of};

/// One case, ready to run.
pub struct Case {
    /// The file's name, a slash, and its own.
    pub name: String,
    /// The right results, in float64.
    pub truth: Answer,
    pub extras: Extras,
    /// The inputs.
    pub data: Data,
    options: Options,
}

/// The loss's options.
struct Options {
    nll: bool,
    class_axis: Option<isize>,
    ignore_index: i64,
    label_smoothing: f32,
    logit_scale: f32,
    softcap: Option<f32>,
    z_loss: f32,
    reduction: Reduction,
    k: u32,
}

/// Every case of the file.
pub fn load() -> Vec<Case> {
    read::<Record>("extras").into_iter().map(Case::new).collect()
}

impl Case {
    fn new(record: Record) -> Self {
        let name = format!("extras/{}", record.name);
        let shape = record.shape;
        let axis = record.class_axis.unwrap_or(if shape.len() == 1 { 0 } else { 1 });
        let options = Options {
            nll: record.loss_function == "nll",
            class_axis: record.class_axis,
            ignore_index: record.ignore_index,
            label_smoothing: exact_f32(record.label_smoothing),
            logit_scale: exact_f32(record.logit_scale),
            softcap: record.softcap.map(exact_f32),
            z_loss: exact_f32(record.z_loss),
            reduction: reduction_of(&record.reduction),
            k: record.k,
        };
        let mut data = Data::new(&shape, axis, f32s(record.input));
        data = match (record.labels, record.label_type, record.probabilities) {
            (Some(labels), Some(label_type), None) => {
                data.labels(label_type_of(&label_type), &labels)
            }
            (None, None, Some(probabilities)) => data.probabilities(f32s(probabilities)),
            _ => panic!("{name}: labels with their type, or else probabilities"),
        };
        data.weight = record.weight.map(f32s);
        data.row_weights = record.row_weights.map(f32s);
        if let Some(upstream) = record.upstream.map(f32s) {
            data = match options.reduction {
                Reduction::None => data.upstream_rows(upstream),
                _ => data.upstream(upstream[0]),
            };
        }
        let classes = record.class_loss.zip(record.class_rows).map(|(loss, rows)| {
            let mut classes = ClassLosses::default();
            classes.correct = vec![0; rows.len()];
            (classes.loss, classes.rows) = (f64s(loss), rows);
            for (row, _) in record.rank.iter().flatten().enumerate().filter(|(_, rank)| **rank == 0)
            {
                classes.correct[data.label(row).unwrap() as usize] += 1;
            }
            classes
        });
        let mut rows = RowOutputs::default();
        (rows.lse, rows.entropy) = (record.lse.map(f64s), record.entropy.map(f64s));
        rows.variance = record.variance.map(f64s);
        (rows.argmax, rows.rank) = (record.argmax, record.rank);
        rows.weights = Some(f64s(record.row_weights_out));
        let extras = Extras {
            z_loss: record.z_loss_out.map(f64s).unwrap_or_default(),
            rows,
            classes,
            correct: record.correct.unwrap_or(0),
            top_k: record.top_k.unwrap_or(0),
        };
        let truth = Answer {
            loss: f64s(record.loss),
            grad: record.grad.map(f64s),
            elements: record.log_probs.map(f64s),
        };
        Self { name, truth, extras, data, options }
    }

    /// The loss with its options.
    pub fn loss(&self) -> Box<dyn Loss> {
        let options = &self.options;
        if options.nll {
            let loss = Nll::new().ignore_index(options.ignore_index).reduction(options.reduction);
            return match options.class_axis {
                Some(axis) => Box::new(loss.class_axis(axis)),
                None => Box::new(loss),
            };
        }
        let mut loss = CrossEntropy::new()
            .label_smoothing(options.label_smoothing)
            .logit_scale(options.logit_scale)
            .z_loss(options.z_loss)
            .reduction(options.reduction);
        if let Target::Labels(_) = self.data.target {
            loss = loss.ignore_index(options.ignore_index);
        }
        if let Some(cap) = options.softcap {
            loss = loss.softcap(cap);
        }
        if let Some(axis) = options.class_axis {
            loss = loss.class_axis(axis);
        }
        Box::new(loss)
    }

    /// Returns the outputs that the truth has.
    pub fn outputs(&self) -> Outputs {
        let mut outputs = Outputs::loss().with_row_weights();
        outputs.grad = self.truth.grad.is_some();
        outputs.log_probs = self.truth.elements.is_some();
        outputs.lse = self.extras.rows.lse.is_some();
        outputs.argmax = self.extras.rows.argmax.is_some();
        outputs.variance = self.extras.rows.variance.is_some();
        outputs.entropy = self.extras.rows.entropy.is_some();
        outputs.class_losses = self.extras.classes.is_some();
        if self.extras.rows.rank.is_some() {
            outputs = outputs.with_rank().with_accuracy().with_top_k(self.options.k);
        }
        outputs
    }
}

/// A case as it is written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    loss_function: String,
    shape: Vec<usize>,
    class_axis: Option<isize>,
    input: Vec<Number>,
    labels: Option<Vec<i64>>,
    probabilities: Option<Vec<Number>>,
    label_type: Option<String>,
    weight: Option<Vec<Number>>,
    row_weights: Option<Vec<Number>>,
    ignore_index: i64,
    label_smoothing: f64,
    logit_scale: f64,
    softcap: Option<f64>,
    z_loss: f64,
    reduction: String,
    upstream: Option<Vec<Number>>,
    loss: Vec<Number>,
    z_loss_out: Option<Vec<Number>>,
    grad: Option<Vec<Number>>,
    log_probs: Option<Vec<Number>>,
    lse: Option<Vec<Number>>,
    argmax: Option<Vec<u32>>,
    rank: Option<Vec<u32>>,
    entropy: Option<Vec<Number>>,
    variance: Option<Vec<Number>>,
    row_weights_out: Vec<Number>,
    class_loss: Option<Vec<Number>>,
    class_rows: Option<Vec<u64>>,
    correct: Option<u64>,
    k: u32,
    top_k: Option<u64>,
}
