//! The format of the cases of all fixture files.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wgpu_loss::{LabelType, Reduction};

use super::places::root;

/// The records of `tests/fixtures/<file>.json`.
pub fn read<R: DeserializeOwned>(file: &str) -> Vec<R> {
    let path = root().join(format!("tests/fixtures/{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A number, or the name of one that JSON cannot write.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Number {
    Finite(f64),
    Named(Name),
}

#[derive(Deserialize)]
pub enum Name {
    #[serde(rename = "NaN")]
    Nan,
    #[serde(rename = "inf")]
    Inf,
    #[serde(rename = "-inf")]
    MinusInf,
}

pub fn f64s(numbers: Vec<Number>) -> Vec<f64> {
    let wide = |number| match number {
        Number::Finite(x) => x,
        Number::Named(Name::Nan) => f64::NAN,
        Number::Named(Name::Inf) => f64::INFINITY,
        Number::Named(Name::MinusInf) => f64::NEG_INFINITY,
    };
    numbers.into_iter().map(wide).collect()
}

pub fn f32s(numbers: Vec<Number>) -> Vec<f32> {
    f64s(numbers).into_iter().map(exact_f32).collect()
}

/// Returns an input, which must be exact in f32: the truth holds for it and not for a number near it.
pub fn exact_f32(x: f64) -> f32 {
    let narrow = x as f32;
    // serde_json reads a decimal to within one unit of f64, far inside half a unit of f32.
    let exact = !x.is_finite() || (f64::from(narrow) - x).abs() <= x.abs() * 1e-15;
    assert!(exact, "{x} is not exact in f32");
    narrow
}

pub fn reduction_of(name: &str) -> Reduction {
    match name {
        "none" => Reduction::None,
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        "batchmean" => Reduction::BatchMean,
        other => panic!("no reduction {other}"),
    }
}

pub fn label_type_of(name: &str) -> LabelType {
    let found = LabelType::ALL.into_iter().find(|t| format!("{t:?}").to_lowercase() == name);
    found.unwrap_or_else(|| panic!("no labels of type {name}"))
}
