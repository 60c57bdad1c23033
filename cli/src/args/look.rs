//! What shows a loss to somebody who looks.

use std::path::PathBuf;

use clap::Args;

/// Pictures of a loss.
#[derive(Debug, Args)]
pub struct LookArgs {
    /// Draw the losses of an image's pixels: a .png file. For inputs of shape (N, C, H, W), or of any
    /// other whose loss without reduction has shape (N, H, W).
    #[arg(long, value_name = "FILE.png")]
    pub heatmap: Option<PathBuf>,
    /// Which of the N images is drawn.
    #[arg(long, value_name = "I", default_value = "0", requires = "heatmap")]
    pub sample: usize,
    /// Show how the losses of the rows are distributed, and where the largest are.
    #[arg(long)]
    pub histogram: bool,
}
