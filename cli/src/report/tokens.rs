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
    /// Returns the likelihood for an input of shape (tokens, vocabulary), or (batch, tokens, vocabulary) with the
    /// classes on the last axis, and labels. `losses` are the reduced loss or all rows'. With weights of classes or
    /// smoothed labels, a loss is no likelihood; with weights of rows, the mean is weighted by them.
    pub fn of(problem: &Problem, losses: &[f32], summary: &Summary) -> Option<Self> {
        let axes = problem.input_shape.len();
        let last = axes > 1 && problem.class_axis + 1 == axes;
        let looks_so = last && (axes > 2 || problem.view.classes >= VOCABULARY);
        let likelihood = problem.label_type().is_some()
            && !problem.is_weighted()
            && problem.label_smoothing == 0.0;
        let (count, weight) = (summary.live, summary.weight);
        if !looks_so || !likelihood || weight == 0.0 {
            return None;
        }
        let sum = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        let divided_by = match problem.reduction {
            Reduction::Mean => 1.0,
            Reduction::BatchMean => weight / problem.row_shape[0] as f64,
            Reduction::Sum | Reduction::None => weight,
        };
        let nll = sum / divided_by;
        let bits = nll / std::f64::consts::LN_2;
        Some(Self { count, nll: Wide(nll), bits: Wide(bits), perplexity: Wide(nll.exp()) })
    }

    /// Returns the line for a person.
    pub fn line(&self) -> String {
        let [nll, bits, perplexity] =
            [self.nll, self.bits, self.perplexity].map(|number| digits(number.0, 6));
        format!("{}, {nll} nats or {bits} bits each, perplexity {perplexity}", self.count)
    }
}
