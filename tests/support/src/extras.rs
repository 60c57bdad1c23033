//! The optional outputs of a loss, from any source.

use wgpu_loss::{ClassLosses, Output, RowOutputs};

/// The outputs of each row and each class, in f64.
#[derive(Clone, Debug)]
pub struct Extras {
    /// One number or one per row; none where there is no z-loss.
    pub z_loss: Vec<f64>,
    pub rows: RowOutputs<f64>,
    pub classes: Option<ClassLosses>,
    pub correct: u64,
    pub top_k: u64,
}

impl Extras {
    fn of<T: Copy + Into<f64>>(output: &Output<T>) -> Self {
        let wide = |numbers: &[T]| numbers.iter().map(|&x| x.into()).collect::<Vec<f64>>();
        Self {
            z_loss: wide(&output.z_loss),
            rows: output.rows.map(T::into),
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
