//! What a device gave.

use std::time::Duration;

use wgpu_loss::{ClassLosses, Summary};

/// What a device gave beside the results that go to their places as they come. Both give f32: the CPU
/// twin's f64 is rounded, so that a result is of one kind wherever it was computed.
#[derive(Debug)]
pub struct Computed {
    /// The loss, where it is reduced.
    pub loss: Option<f32>,
    /// The z-loss, where there is one and it is reduced.
    pub z_loss: Option<f32>,
    /// The losses of each class, where they were asked for.
    pub classes: Option<ClassLosses>,
    /// What was seen in the rows.
    pub summary: Summary,
    /// Where the time went.
    pub seconds: Vec<(&'static str, Duration)>,
}
