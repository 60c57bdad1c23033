//! Calls on host data of any size on a GPU: see [`stream`](crate::stream), which has their sinks.
//!
//! A piece fits a part of [`GpuOptions::memory_budget`](crate::GpuOptions::memory_budget). While the device computes
//! one piece, the host fills the next one and reads the previous one. [`Gpu::run`](super::Gpu::run) is
//! [`run_into`](super::Gpu::run_into) with a sink that keeps all outputs.
//!
//! ```no_run
//! use wgpu_loss::{CrossEntropy, Gpu, Inputs, Outputs, Tensor};
//!
//! let gpu = Gpu::new()?;
//! let loss = CrossEntropy::new();
//! let mut stream = gpu.stream(&loss, Outputs::loss());
//! for batch in 0..1000 {
//!     let logits = vec![batch as f32; 256 * 10];
//!     let inputs = Inputs::new(Tensor::new(&logits, &[256, 10])).labels(&[3u8; 256], &[256]);
//!     stream.push(&inputs, &mut ())?;
//! }
//! println!("the mean over 256,000 rows: {}", stream.finish()?.loss[0]);
//! # Ok::<(), wgpu_loss::Error>(())
//! ```

mod batches;
mod call;
mod collect;
mod executor;
mod host;
mod lane;
mod long_rows;
mod merge;
mod once;
mod queue;
mod results;
mod ring;
mod schedule;
mod share;

pub use batches::Stream;
pub(super) use call::{collected, partial, passed_on};
pub(super) use executor::Executor;
pub(super) use host::host_bytes;
pub(super) use share::Ledger;
pub use share::Share;
