//! Losses over data of any size, in pieces and in batches, on a GPU or on the CPU.
//!
//! A call is cut into pieces: runs of rows that pass through the device one after another. Each piece is a problem of
//! its own, and its sums are merged on the host in f64. Large outputs are passed to a [`Sink`], piece by piece; they
//! need no memory for the whole and may be written to a file. Batches that come one by one, as from a data loader,
//! follow each other along the first axis and form one tensor.
//!
//! | | on a GPU, in f32 | on the CPU, in f64 |
//! |---|---|---|
//! | everything in vectors | [`Gpu::run`] | [`reference::run`](crate::reference::run) |
//! | large outputs to a sink | [`Gpu::run_into`] | [`reference::run_into`](crate::reference::run_into) |
//! | batches | [`Gpu::stream`] | [`reference::stream`](crate::reference::stream()) |
//!
//! A [`Device`] is either of them, or several GPUs ([`MultiGpu`]), chosen at run time:
//!
//! ```
//! use wgpu_loss::reference::Cpu;
//! use wgpu_loss::stream::Device;
//! use wgpu_loss::{CrossEntropy, Error, Inputs, Outputs, Tensor};
//!
//! fn mean(device: &dyn Device) -> Result<f32, Error> {
//!     let loss = CrossEntropy::new();
//!     let mut stream = device.stream(&loss, Outputs::loss());
//!     for _ in 0..10 {
//!         let inputs = Inputs::new(Tensor::new(&[0.0; 20], &[2, 10])).labels(&[3u8, 4], &[2]);
//!         stream.push(&inputs, &mut ())?; // in place of `()`, a `Sink` takes large outputs as they come
//!     }
//!     Ok(stream.finish()?.loss[0])
//! }
//!
//! # #[cfg(feature = "gpu")]
//! let device: Box<dyn Device> = match wgpu_loss::Gpu::new() {
//!     Ok(gpu) => Box::new(gpu),
//!     Err(Error::NoAdapter { .. }) => Box::new(Cpu),
//!     Err(error) => return Err(error),
//! };
//! # #[cfg(not(feature = "gpu"))]
//! # let device = Box::new(Cpu);
//! assert!((mean(&*device)? - 10f32.ln()).abs() < 1e-6);
//! # Ok::<(), Error>(())
//! ```
//!
//! Needs the feature `reference`, or `gpu`, which implies it.
#![cfg_attr(not(feature = "gpu"), doc = "")]
#![cfg_attr(not(feature = "gpu"), doc = " [`MultiGpu`]: crate#features")]
#![cfg_attr(not(feature = "gpu"), doc = " [`Gpu::run`]: crate#features")]
#![cfg_attr(not(feature = "gpu"), doc = " [`Gpu::run_into`]: crate#features")]
#![cfg_attr(not(feature = "gpu"), doc = " [`Gpu::stream`]: crate#features")]
#![cfg_attr(feature = "gpu", doc = "")]
#![cfg_attr(feature = "gpu", doc = " [`MultiGpu`]: crate::MultiGpu")]
#![cfg_attr(feature = "gpu", doc = " [`Gpu::run`]: crate::Gpu::run")]
#![cfg_attr(feature = "gpu", doc = " [`Gpu::run_into`]: crate::Gpu::run_into")]
#![cfg_attr(feature = "gpu", doc = " [`Gpu::stream`]: crate::Gpu::stream")]

mod call;
mod cut;
mod device;
mod scatter;
mod sink;
mod variance;
mod whole;

pub(crate) use call::{Call, upstream_of};
pub(crate) use cut::{Cut, RowRange, is_of_pieces, outer_bytes};
#[cfg(feature = "gpu")]
pub(crate) use cut::{Room, problem_of, tensors_of_pieces};
pub use device::{Batches, Device};
pub(crate) use scatter::scatter;
pub use sink::{Progress, Sink};
pub(crate) use variance::{VarianceSums, shared_variance};
pub(crate) use whole::{Whole, check_partial};
