//! The cases of `tests/fixtures/softmax.json`: softmax, log-softmax and entropy with their gradients.

use serde::Deserialize;
use wgpu_loss::{Entropy, Loss, Outputs, Reduction, Softmax};

use super::answer::Answer;
use super::data::Data;
use super::records::{Number, f32s, f64s, read, reduction_of};

/// One case, ready to run.
pub struct Case {
    /// The file's name, a slash, and its own.
    pub name: String,
    /// The right results, in float64; no gradient if the case has none.
    pub truth: Answer,
    /// The inputs. A scalar is one class, in another shape.
    pub data: Data,
    function: Function,
    axis: isize,
}

#[derive(Clone, Copy)]
enum Function {
    Softmax,
    LogSoftmax,
    Entropy(Reduction),
}

/// Every case of the file.
pub fn load() -> Vec<Case> {
    read::<Record>("softmax").into_iter().map(Case::new).collect()
}

impl Case {
    fn new(record: Record) -> Self {
        let name = format!("softmax/{}", record.name);
        let function = match (record.function.as_str(), &record.reduction) {
            ("softmax", None) => Function::Softmax,
            ("log_softmax", None) => Function::LogSoftmax,
            ("entropy", Some(reduction)) => Function::Entropy(reduction_of(reduction)),
            (other, reduction) => panic!("{name}: no {other} reduced by {reduction:?}"),
        };
        let shape = if record.shape.is_empty() { vec![1] } else { record.shape };
        let mut data = Data::new(&shape, record.axis, f32s(record.input));
        if let Some(upstream) = record.upstream.map(f32s) {
            data = match function {
                Function::Entropy(Reduction::None) => data.upstream_rows(upstream),
                Function::Entropy(_) => data.upstream(upstream[0]),
                _ => data.upstream_elements(upstream),
            };
        }
        let truth = Answer {
            loss: record.loss.map(f64s).unwrap_or_default(),
            grad: record.grad.map(f64s),
            elements: record.elements.map(f64s),
        };
        Self { name, truth, data, function, axis: record.axis }
    }

    /// The loss with its options.
    pub fn loss(&self) -> Box<dyn Loss> {
        match self.function {
            Function::Softmax => Box::new(Softmax::probs().axis(self.axis)),
            Function::LogSoftmax => Box::new(Softmax::log_probs().axis(self.axis)),
            Function::Entropy(reduction) => {
                Box::new(Entropy::new().axis(self.axis).reduction(reduction))
            }
        }
    }

    /// Returns the outputs that the truth has.
    pub fn outputs(&self) -> Outputs {
        let outputs = Outputs::loss();
        if self.truth.grad.is_some() { outputs.with_grad() } else { outputs }
    }
}

/// A case as it is written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    function: String,
    shape: Vec<usize>,
    axis: isize,
    input: Vec<Number>,
    reduction: Option<String>,
    upstream: Option<Vec<Number>>,
    loss: Option<Vec<Number>>,
    elements: Option<Vec<Number>>,
    grad: Option<Vec<Number>>,
}
