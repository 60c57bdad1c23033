//! The whole family on the GPU: some fixtures of each loss, with the check.

use crate::support::fixtures::{Case, read};
use crate::support::{Folder, judged};
use serde_json::Value;

/// Runs one case in so many. Numbers are right to 1e-5, or to that of the largest of their tensor: what the
/// check measures more closely.
fn some(file: &str, every: usize, case_of: fn(&Folder, &Value) -> Case) {
    let (mut numbers, mut unjudged) = (0, 0);
    for value in read(file).iter().step_by(every) {
        let folder = Folder::new();
        let case = case_of(&folder, value);
        let json = folder.run(&format!("{} --device gpu --check --json", case.words)).good().json();
        let (all, without) = judged(&json);
        (numbers, unjudged) = (numbers + all, unjudged + without);
        case.check(&folder, &json, 1e-5, 1e-5);
    }
    assert!(unjudged * 50 <= numbers, "{unjudged} of {numbers} numbers were not judged");
}

#[test]
fn losses_of_single_elements() {
    some("pointwise", 7, Case::pointwise);
}

#[test]
fn softmaxes_and_entropy() {
    some("softmax", 7, Case::softmax);
}

#[test]
fn beside_cross_entropy() {
    some("extras", 7, Case::extras);
}
