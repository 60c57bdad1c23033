//! The shares of classes in the loss of their row.

use super::weights::weight_of;
use crate::{Floats, Inputs, Problem};

/// The shares `v_c = w_c q'_c`, `q'_c = (1 - e) q_c + e / C`, of all rows.
#[derive(Clone, Copy)]
pub(super) struct Shares<'a> {
    weight: Option<Floats<'a>>,
    probabilities: Option<Floats<'a>>,
    pub smoothing: f64,
    /// All classes.
    classes: f64,
    /// The number of the input's first class.
    first: usize,
}

impl<'a> Shares<'a> {
    pub fn new(problem: &Problem, inputs: &Inputs<'a>) -> Self {
        Self {
            weight: inputs.weight,
            probabilities: inputs.probabilities.map(|q| q.data),
            smoothing: f64::from(problem.label_smoothing),
            classes: problem.all_classes() as f64,
            first: problem.first_class() as usize,
        }
    }

    /// Returns the share of a class of the input, with class `label` as the target, or with its probabilities.
    pub fn of(&self, label: Option<usize>, element: usize, class: usize) -> f64 {
        let class = self.first + class;
        let q = match (label, self.probabilities) {
            (Some(label), _) if label == class => 1.0,
            (None, Some(q)) => f64::from(q.get(element)),
            _ => 0.0,
        };
        let e = self.smoothing;
        let smoothed = if e == 0.0 { q } else { (1.0 - e) * q + e / self.classes };
        if smoothed == 0.0 { 0.0 } else { smoothed * weight_of(self.weight, class) }
    }
}
