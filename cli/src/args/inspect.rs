//! The options that show the losses of rows.

use std::path::PathBuf;

use clap::Args;

/// Pictures of a loss.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Draw the losses of an image's pixels: a .png file. For inputs of shape (N, C, H, W), or of any
    /// other whose loss without reduction has shape (N, H, W).
    #[arg(long, value_name = "FILE.png")]
    pub heatmap: Option<PathBuf>,
    /// The image of the N that is drawn.
    #[arg(long, value_name = "I", default_value = "0", requires = "heatmap")]
    pub sample: usize,
    /// Show the distribution of the losses, and the largest.
    #[arg(long)]
    pub histogram: bool,
}
