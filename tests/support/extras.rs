//! What is computed beside loss, gradient and distribution, wherever it comes from.

use wgpu_loss::{ClassLosses, Output, RowOutputs};

/// Of each row and each class, in f64.
#[derive(Clone, Debug)]
pub struct Extras {
    /// One number or one per row; none where there is no z-loss.
    pub z_loss: Vec<f64>,
    pub lse: Option<Vec<f64>>,
    pub argmax: Option<Vec<u32>>,
    pub rank: Option<Vec<u32>>,
    pub entropy: Option<Vec<f64>>,
    pub weights: Option<Vec<f64>>,
    pub classes: Option<ClassLosses>,
    pub correct: u64,
    pub top_k: u64,
}

impl Extras {
    fn of<T: Copy + Into<f64>>(output: &Output<T>) -> Self {
        let wide = |numbers: &[T]| numbers.iter().map(|&x| x.into()).collect::<Vec<f64>>();
        let RowOutputs { lse, argmax, rank, entropy, weights, .. } = &output.rows;
        Self {
            z_loss: wide(&output.z_loss),
            lse: lse.as_deref().map(wide),
            argmax: argmax.clone(),
            rank: rank.clone(),
            entropy: entropy.as_deref().map(wide),
            weights: weights.as_deref().map(wide),
            classes: output.classes.clone(),
            correct: output.summary.correct,
            top_k: output.summary.top_k,
        }
    }
}

impl From<&Output<f32>> for Extras {
    fn from(output: &Output<f32>) -> Self {
        Self::of(output)
    }
}

impl From<&Output<f64>> for Extras {
    fn from(output: &Output<f64>) -> Self {
        Self::of(output)
    }
}
