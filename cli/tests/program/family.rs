//! The whole family on the CPU: every fixture of the library's, PyTorch's numbers, as files.

use crate::support::Folder;
use crate::support::fixtures::{Case, read};
use serde_json::Value;

/// Runs all cases; results are f64 rounded to f32 once.
fn all(file: &str, case_of: fn(&Folder, &Value) -> Case) {
    let cases = read(file);
    assert!(cases.len() > 50);
    for value in &cases {
        let folder = Folder::new();
        let case = case_of(&folder, value);
        let json = folder.json(&case.words);
        case.check(&folder, &json, 1e-7, 0.0);
    }
}

#[test]
fn losses_of_single_elements() {
    all("pointwise", Case::pointwise);
}

#[test]
fn softmaxes_and_entropy() {
    all("softmax", Case::softmax);
}

#[test]
fn beside_cross_entropy() {
    all("extras", Case::extras);
}
