//! Calls on host data of any size, in pieces that pass through the device one behind the other.
//!
//! A call is cut into pieces, runs of rows whose tensors fit a part of
//! [`GpuOptions::memory_budget`](crate::GpuOptions::memory_budget). While the device computes one
//! piece, the host fills the next one and reads the one before. Each piece is a problem of its own; its
//! sums are merged on the host in f64, with the meaning of the [`reference`](crate::reference).
//!
//! - [`Gpu::run`](super::Gpu::run) collects everything in vectors. It is `run_into` with a sink of its own.
//! - [`Gpu::run_into`](super::Gpu::run_into) hands losses of rows, gradient and distribution to a [`Sink`], piece by
//!   piece, so they need no memory: they may go to a file.
//! - [`Gpu::stream`](super::Gpu::stream) takes the input itself in batches, as a data loader gives it.
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
mod cut;
mod executor;
mod host;
mod long_rows;
mod merge;
mod ring;
mod sink;
mod sums;

pub use batches::Stream;
pub(super) use call::run;
pub(super) use collect::Collected;
pub(super) use host::host_bytes;
pub use sink::{Progress, Sink};
