//! The losses of rows, for somebody who looks.
//!
//! ```text
//! rows       every row's loss beside the reduced one
//! histogram  how they are distributed      count   numbers counted as they come
//! heatmap    an image's as a picture       scale   round numbers over a range
//! ```

mod count;
mod heatmap;
mod histogram;
mod rows;
mod scale;

use wgpu_loss::Problem;

pub use self::heatmap::Heatmap;
pub use self::histogram::Histogram;
pub use self::rows::{Rows, Unreduced, reduced};
use crate::error::Failure;

/// What somebody wants to see.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    /// The picture of an image.
    pub heatmap: bool,
    /// Which image.
    pub sample: usize,
    /// The distribution.
    pub histogram: bool,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// What the picture shows.
    pub heatmap: Option<Heatmap>,
    /// The picture, as the bytes of a file.
    pub png: Option<Vec<u8>>,
    /// The distribution.
    pub histogram: Option<Histogram>,
}

impl Looks {
    /// Whether the losses of rows are wanted.
    pub fn any(&self) -> bool {
        self.heatmap || self.histogram
    }

    /// Refuses what cannot be seen in such losses.
    pub fn check(&self, problem: &Problem, input: &str) -> Result<(), Failure> {
        match self.heatmap {
            true => heatmap::size(problem, self.sample, input).map(|_| ()),
            false => Ok(()),
        }
    }

    /// Looks at the losses of what a title says.
    pub fn see(&self, rows: &Rows<'_>, title: &str) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        if self.heatmap {
            let size = heatmap::size(rows.problem, self.sample, title)?;
            let heatmap = Heatmap::of(rows, self.sample, size)?;
            seen.png = Some(heatmap.draw(title).map_err(Failure::Failed)?);
            seen.heatmap = Some(heatmap);
        }
        if self.histogram {
            seen.histogram = Some(Histogram::of(rows)?);
        }
        Ok(seen)
    }
}
