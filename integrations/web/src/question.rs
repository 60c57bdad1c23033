//! A loss with its options and outputs, by the names of JavaScript's arguments.

use js_sys::{Array, Object};
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde::{Deserialize, Deserializer};
use serde_wasm_bindgen::Deserializer as Value;
use wasm_bindgen::prelude::*;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, EmptyMean, Entropy, GaussianNll, KlDiv, Loss, Nll, Outputs,
    PoissonNll, Reduction, Softmax,
};

use crate::errors::{argument, said};

/// What a function computes.
pub struct Question {
    pub loss: Box<dyn Loss>,
    pub outputs: Outputs,
    /// The name of the output in the input's shape that is no gradient, if there is one.
    pub distribution: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReductionName {
    None,
    Mean,
    Sum,
    BatchMean,
}

impl From<ReductionName> for Reduction {
    fn from(name: ReductionName) -> Self {
        match name {
            ReductionName::None => Self::None,
            ReductionName::Mean => Self::Mean,
            ReductionName::Sum => Self::Sum,
            ReductionName::BatchMean => Self::BatchMean,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum EmptyMeanName {
    Nan,
    Zero,
}

impl From<EmptyMeanName> for EmptyMean {
    fn from(name: EmptyMeanName) -> Self {
        match name {
            EmptyMeanName::Nan => Self::Nan,
            EmptyMeanName::Zero => Self::Zero,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum OutputName {
    Grad,
    LogProbs,
    TargetGrad,
    VarGrad,
    Lse,
    Argmax,
    Rank,
    Entropy,
    Variance,
    RowWeights,
    Accuracy,
    ClassLosses,
}

/// Reads the outputs from their names.
fn names<'de, D: Deserializer<'de>>(names: D) -> Result<Outputs, D::Error> {
    let mut outputs = Outputs::loss();
    for name in Vec::<OutputName>::deserialize(names)? {
        *match name {
            OutputName::Grad => &mut outputs.grad,
            OutputName::LogProbs => &mut outputs.log_probs,
            OutputName::TargetGrad => &mut outputs.target_grad,
            OutputName::VarGrad => &mut outputs.var_grad,
            OutputName::Lse => &mut outputs.lse,
            OutputName::Argmax => &mut outputs.argmax,
            OutputName::Rank => &mut outputs.rank,
            OutputName::Entropy => &mut outputs.entropy,
            OutputName::Variance => &mut outputs.variance,
            OutputName::RowWeights => &mut outputs.row_weights,
            OutputName::Accuracy => &mut outputs.accuracy,
            OutputName::ClassLosses => &mut outputs.class_losses,
        } = true;
    }
    Ok(outputs)
}

/// Reads options; an error names the one that is wrong.
fn read<T: DeserializeOwned>(options: JsValue) -> Result<T, JsValue> {
    let entries = Object::entries(&options.unchecked_into()).into_iter().map(|entry| {
        let entry: Array = entry.unchecked_into();
        (entry.get(0).as_string().unwrap_or_default(), Value::from(entry.get(1)))
    });
    // As a map: from an object, only the fields that are known would be read, and others never noticed.
    let options = MapDeserializer::<_, serde_wasm_bindgen::Error>::new(entries);
    serde_path_to_error::deserialize(options).map_err(|error| {
        let path = error.path().to_string();
        let reason = said(&error.into_inner());
        argument(&if path == "." { reason } else { format!("{path}: {reason}") })
    })
}

/// Reads the options of a loss, each of which is a method of its builder, and the outputs.
macro_rules! question {
    ($given:expr, $loss:expr, $($(#[$attribute:meta])* $option:ident: $type:ty),*) => {{
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Options {
            #[serde(default, deserialize_with = "names")]
            outputs: Outputs,
            top_k: Option<u32>,
            $($(#[$attribute])* $option: Option<$type>,)*
        }
        let options: Options = read($given)?;
        let mut loss = $loss;
        $(if let Some(value) = options.$option {
            loss = loss.$option(value.into());
        })*
        let outputs = options.outputs.with_top_k(options.top_k.unwrap_or(0));
        let distribution = outputs.log_probs.then_some("logProbs");
        Question { loss: Box::new(loss), outputs, distribution }
    }};
    (reduced $given:expr, $loss:expr $(, $(#[$attribute:meta])* $option:ident: $type:ty)*) => {
        question!($given, $loss, reduction: ReductionName, empty_mean: EmptyMeanName
            $(, $(#[$attribute])* $option: $type)*)
    };
}

impl Question {
    /// Returns what the function of a name computes with these options.
    pub fn new(function: &str, options: JsValue) -> Result<Self, JsValue> {
        Ok(match function {
            "crossEntropy" => question!(reduced options, CrossEntropy::new(),
                #[serde(rename = "axis")] class_axis: isize,
                ignore_index: i64,
                label_smoothing: f32,
                logit_scale: f32,
                softcap: f32,
                z_loss: f32),
            "nllLoss" => question!(reduced options, Nll::new(),
                #[serde(rename = "axis")] class_axis: isize,
                ignore_index: i64),
            "entropy" => question!(reduced options, Entropy::new(), axis: isize),
            "binaryCrossEntropy" => question!(reduced options, Bce::new()),
            "binaryCrossEntropyWithLogits" => question!(reduced options, BceWithLogits::new()),
            "klDiv" => question!(reduced options, KlDiv::new(), log_target: bool),
            "gaussianNllLoss" => {
                question!(reduced options, GaussianNll::new(), full: bool, eps: f32)
            }
            "poissonNllLoss" => {
                question!(reduced options, PoissonNll::new(), log_input: bool, full: bool, eps: f32)
            }
            "softmax" => Self {
                distribution: Some("probs"),
                ..question!(options, Softmax::probs(), axis: isize)
            },
            "logSoftmax" => Self {
                distribution: Some("logProbs"),
                ..question!(options, Softmax::log_probs(), axis: isize)
            },
            other => return Err(argument(&format!("there is no loss {other:?}"))),
        })
    }
}
