//! The numbers of an output, from any source.

use wgpu_loss::Output;

/// The results of a call, in f64.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The loss: one number or one per row; none for softmax.
    pub loss: Vec<f64>,
    pub grad: Option<Vec<f64>>,
    /// Log-probabilities or probabilities.
    pub elements: Option<Vec<f64>>,
}

impl From<&Output<f32>> for Answer {
    fn from(output: &Output<f32>) -> Self {
        let elements = output.log_probs.as_ref().or(output.probs.as_ref());
        Self {
            loss: widened(&output.loss),
            grad: output.grad.as_deref().map(widened),
            elements: elements.map(|elements| widened(elements)),
        }
    }
}

impl From<&Output<f64>> for Answer {
    fn from(output: &Output<f64>) -> Self {
        Self {
            loss: output.loss.clone(),
            grad: output.grad.clone(),
            elements: output.log_probs.clone().or(output.probs.clone()),
        }
    }
}

/// Numbers in f64.
pub fn widened(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&x| x.into()).collect()
}

/// Numbers as their bits, so that equality means the same number and the same NaN.
pub fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}
