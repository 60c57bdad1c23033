//! Reductions of losses.

use burn::config::Config;

/// The reduction of losses. Burn's cross-entropies have the mean only.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// The mean over the rows that count, weighted where there are weights; or the mean over elements.
    Mean,
    /// The sum.
    Sum,
    /// The sum, divided by the extent of the first axis.
    BatchMean,
    /// One loss for each row, or each element, in a tensor of rank 1.
    None,
}

impl From<Reduction> for wgpu_loss::Reduction {
    fn from(reduction: Reduction) -> Self {
        match reduction {
            Reduction::Mean => Self::Mean,
            Reduction::Sum => Self::Sum,
            Reduction::BatchMean => Self::BatchMean,
            Reduction::None => Self::None,
        }
    }
}
