//! An adapter, a device, and calls on host data, blocking and async, for programs that have no device of their own.
//! They are built on the public [`Bound`](crate::Bound). Needs the feature `gpu`. [`Gpu`] has an example.
//!
//! In a browser, where blocking is not allowed, use [`Gpu::open`] and [`Gpu::run_async`]; calls that block return
//! [`Error::Blocking`](crate::Error::Blocking).

mod adapters;
mod buffers;
mod calls;
mod clock;
mod dispatch_times;
mod handle;
mod multi;
mod parallel_copy;
mod roofline;
mod stopwatch;
pub mod stream;
mod tune;
mod tuning_cache;
mod upload;
mod uploader;

pub use adapters::{GpuOptions, TuningChoice};
pub use clock::{Clock, Timer, Times};
// Public for the benchmarks.
pub use dispatch_times::DispatchTimes;
pub use handle::Gpu;
pub use multi::MultiGpu;
#[doc(hidden)]
pub use parallel_copy::fill;
pub use roofline::Roofline;
#[doc(hidden)]
pub use stopwatch::Opening;
pub use stream::Share;
pub use tune::{Field, Gain, Progress, ShapeTimes, TuneOptions, Tuned};
