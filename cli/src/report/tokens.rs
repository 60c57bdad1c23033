//! The loss as that of a language model: the likelihood that it gives to each token.

use serde::Serialize;
use wgpu_loss::{Problem, Reduction, Summary};

use super::numbers::{Wide, digits};

/// With this many classes or more, rows are taken for tokens of a vocabulary.
const VOCABULARY: usize = 256;

/// The likelihood of tokens.
#[derive(Clone, Debug, Serialize)]
pub struct Tokens {
    count: u64,
    /// The mean of the negative log-likelihoods.
    nll: Wide,
    /// The same with logarithms to base 2.
    bits: Wide,
    /// `exp(nll)`: the number of equally likely tokens that would have the same loss.
    perplexity: Wide,
}

impl Tokens {
    /// Returns true for an input of shape (tokens, vocabulary), or (batch, tokens, vocabulary) with the classes on the
    /// last axis, and labels. With weights of classes or smoothed labels, a loss is no likelihood; with weights of rows,
    /// the mean is weighted by them.
    pub fn are_rows_of(problem: &Problem) -> bool {
        let axes = problem.input_shape.len();
        let last = axes > 1 && problem.class_axis + 1 == axes;
        let looks_so = last && (axes > 2 || problem.view.classes >= VOCABULARY);
        let likelihood = problem.label_type().is_some()
            && !problem.is_weighted()
            && problem.label_smoothing == 0.0;
        looks_so && likelihood
    }

    /// Returns the likelihood of rows that are tokens. `losses` are the reduced loss or all rows'.
    pub fn of(problem: &Problem, losses: &[f32], summary: &Summary) -> Option<Self> {
        let weight = summary.weight;
        if !Self::are_rows_of(problem) || weight == 0.0 {
            return None;
        }
        let sum = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        let divided_by = match problem.reduction {
            Reduction::Mean => 1.0,
            Reduction::BatchMean => weight / problem.row_shape[0] as f64,
            Reduction::Sum | Reduction::None => weight,
        };
        Some(Self::of_mean(sum / divided_by, summary.live))
    }

    /// Returns the likelihood of tokens with this mean loss.
    pub fn of_mean(nll: f64, count: u64) -> Self {
        let bits = nll / std::f64::consts::LN_2;
        Self { count, nll: Wide(nll), bits: Wide(bits), perplexity: Wide(nll.exp()) }
    }

    /// Returns the line for a person.
    pub fn line(&self) -> String {
        let [nll, bits, perplexity] =
            [self.nll, self.bits, self.perplexity].map(|number| digits(number.0, 6));
        format!("{}, {nll} nats or {bits} bits each, perplexity {perplexity}", self.count)
    }
}
