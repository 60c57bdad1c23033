//! The losses of rows, shown to a person.
//!
//! ```text
//! rows       every row's loss, in addition to the reduced one
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

/// The requested views of the losses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inspections {
    /// True if the picture of an image is requested.
    pub heatmap: bool,
    /// The index of the image.
    pub sample: usize,
    /// True if the distribution is requested.
    pub histogram: bool,
}

/// The views that were made.
#[derive(Debug, Default)]
pub struct Inspected {
    /// The contents of the picture.
    pub heatmap: Option<Heatmap>,
    /// The picture, as the bytes of a file.
    pub png: Option<Vec<u8>>,
    /// The distribution.
    pub histogram: Option<Histogram>,
}

impl Inspections {
    /// Returns true if the losses of rows are needed.
    pub fn any(&self) -> bool {
        self.heatmap || self.histogram
    }

    /// Refuses a view that losses of this shape do not have.
    pub fn check(&self, problem: &Problem, input: &str) -> Result<(), Failure> {
        match self.heatmap {
            true => heatmap::size(problem, self.sample, input).map(|_| ()),
            false => Ok(()),
        }
    }

    /// Makes the views of the rows' losses, with a title for the picture.
    pub fn see(&self, rows: &Rows<'_>, title: &str) -> Result<Inspected, Failure> {
        let mut seen = Inspected::default();
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
