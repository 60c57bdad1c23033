//! The results of a device.

use std::time::Duration;

use wgpu_loss::{ClassLosses, Summary};

/// The results of a device except the large ones, which are written as they come. Both devices give f32: the CPU
/// reference's f64 is rounded, so that a result has the same type wherever it was computed.
#[derive(Debug)]
pub struct Computed {
    /// The loss, if it is reduced.
    pub loss: Option<f32>,
    /// The z-loss, if there is one and it is reduced.
    pub z_loss: Option<f32>,
    /// The losses of each class, if they were requested.
    pub classes: Option<ClassLosses>,
    /// The summary of the rows.
    pub summary: Summary,
    /// The steps of the work, and the time that each took.
    pub seconds: Vec<(&'static str, Duration)>,
}
