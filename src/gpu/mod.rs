//! For those who have no device of their own: an adapter, a device, and calls on host data,
//! blocking and async. They are built on [`Bound`](crate::Bound), as anyone else's would be. Needs the feature `gpu`.
//! [`Gpu`] has an example.
//!
//! In a browser, where nobody may block, there are [`Gpu::open`] and [`Gpu::run_async`]; what blocks is refused
//! ([`Error::Blocking`](crate::Error::Blocking)).

mod adapters;
mod buffers;
mod calls;
mod clock;
mod copies;
mod handle;
mod resident;
mod roof;
mod steps;
mod stopwatch;
pub mod stream;
mod tune;
mod tuned;
mod uploader;

pub use adapters::{GpuOptions, TuningChoice};
pub use clock::{Clock, Timer, Times};
// For the benches.
#[doc(hidden)]
pub use copies::fill;
pub use handle::Gpu;
pub use roof::Roof;
pub use steps::StepTimes;
#[doc(hidden)]
pub use stopwatch::Opening;
pub use tune::{Field, Gain, Progress, ShapeTimes, TuneOptions, Tuned};
