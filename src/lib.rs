//! Losses of neural-network training and their gradients, in WGSL, on any GPU that wgpu reaches.
//!
//! Cross-entropy, negative log-likelihood, softmax and log-softmax, with PyTorch's meaning. The
//! arithmetic is f32, arranged so that a confident row's loss of 1e-12 stays 1e-12, and every loss
//! has a twin in f64 on the CPU that the tests hold it to.
//!
//! ```
//! use wgpu_loss::{CrossEntropy, Gpu, Inputs, Outputs, Tensor};
//!
//! let gpu = Gpu::new()?;
//! // Two rows of three classes; the label 255 leaves the second one out.
//! let logits = [3.5, -3.45, 0.23, -2.14, 0.54, 2.67];
//! let inputs = Inputs::new(Tensor::new(&logits, &[2, 3])).labels(&[0u8, 255], &[2]);
//! let loss = CrossEntropy::new().ignore_index(255);
//! let output = gpu.run(&loss, &inputs, Outputs::loss().with_grad())?;
//! assert!((output.loss[0] - 0.038225).abs() < 1e-6);
//! assert_eq!(output.grad.unwrap()[3..], [0.0; 3]);
//! assert_eq!((output.summary.live, output.summary.ignored()), (1, 1));
//! # Ok::<(), wgpu_loss::Error>(())
//! ```
//!
//! # Layers
//!
//! From the top down; each can be used without those above it.
//!
//! ```text
//! Gpu          a device of one's own; blocking and async calls on host data
//! Bound        a plan joined to buffers, recorded into any compute pass any number of times
//! Plan         which kernels run over which pieces of the tensors; needs no device
//! Kernels      a device's pipelines, compiled when first wanted
//! Loss         checks shapes and options and states the Problem; knows no GPU
//! ```
//!
//! Whoever has a device already starts at [`Kernels`] and needs nothing of [`gpu`]: the library then
//! records, and never submits, polls or reads back. [`reference::run`] stands beside [`Gpu`]: it
//! takes the same [`Loss`] and [`Inputs`] and gives the same [`Output`], in f64.
//!
//! # Modules
//!
//! - [`loss`]: one file per loss, with its formula, options and checks.
//! - [`mod@reference`]: their twins on the CPU.
//! - [`plan`]: dispatches, geometry, pieces, workspace, from shapes and a device's [`Profile`].
//! - [`kernels`]: WGSL assembled from the texts in `shaders/`, one pipeline per specialisation.
//! - [`gpu`]: adapter, device, transfers, waiting; times, and the numbers that are tuned by them.
//!
//! What the host can see is refused with an [`Error`] before anything is recorded. What only the
//! device can see, such as a label that is no class, comes back in a [`Summary`].

pub use half;
pub use wgpu;
mod bound;
mod error;
mod expand;
pub mod gpu;
mod io;
pub mod kernels;
pub mod loss;
pub mod plan;
pub mod reference;
mod scope;
mod tensor;
mod wait;
mod wanted;
pub use bound::{Bound, Buffers, Decoded, RESULT_BYTES, Reader};
pub use error::Error;
pub use gpu::stream::{LargeOutput, Sink, Stream};
pub use gpu::{Gpu, GpuOptions};
pub use io::{BadValue, ClassLosses, Inputs, Output, RowOutputs, Summary, Timing};
pub use kernels::Kernels;
pub use loss::{
    Bce, BceWithLogits, CrossEntropy, EmptyMean, Entropy, GaussianNll, KlDiv, Loss, Nll, Outputs,
    PoissonNll, Problem, Reduction, Softmax,
};
pub use plan::{Plan, Profile};
pub use tensor::{ClassView, ElementType, Floats, LabelType, Labels, TargetType, Tensor};
pub use wanted::{wanted_features, wanted_limits};

/// The examples of the README, compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
