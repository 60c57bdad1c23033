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
//! # Features
//!
//! What is listed here is there by default. `default-features = false` leaves what records a loss into a host's own
//! passes: [`loss`], [`plan`], [`kernels`], [`Bound`], and nothing but wgpu to depend on that is not small.
//!
//! | feature | what it adds |
//! |---|---|
//! | `gpu` | the module [`gpu`]: [`Gpu`], [`Stream`]; tunings that are stored or measured; implies `reference` |
//! | `reference` | the module [`mod@reference`], on all of the CPU's threads (rayon); the module [`mod@stream`]: [`Sink`], [`Device`] |
//! | `vulkan`, `metal`, `dx12`, `webgpu` | wgpu's backend of that name, on the platforms that have it |
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
//! records, and never submits, polls or reads back. [`mod@reference`] is the counterpart of [`Gpu`]: it
//! takes the same [`Loss`] and [`Inputs`] and gives the same [`Output`], in f64. A [`Device`] is either,
//! chosen at run time.
//!
//! # Modules
//!
//! - [`loss`]: one file per loss, with its formula, options and checks.
//! - [`mod@reference`] (feature `reference`): their twins on the CPU.
//! - [`mod@stream`] (feature `reference`): data of any size in pieces and batches, on either.
//! - [`plan`]: dispatches, geometry, pieces, workspace, from shapes and a device's [`Profile`].
//! - [`kernels`]: WGSL assembled from the texts in `shaders/`, one pipeline per specialisation.
//! - [`gpu`] (feature `gpu`): adapter, device, transfers, waiting; times, and the numbers that are tuned by them.
//!
//! # Stability
//!
//! Versions follow [semver](https://semver.org): of what these pages show, a minor version takes nothing away.
//!
//! - [`wgpu`] and [`half`] are re-exported, and their types are in our signatures. A new major version of either is
//!   one of ours; the version of wgpu that a host has must be the one here.
//! - Enums and structs that are likely to grow are `#[non_exhaustive]`: an [`Error`] may get further variants, an
//!   [`Output`] further fields. Options are built ([`GpuOptions`], [`Outputs`], [`Buffers`]). What is complete by its
//!   nature may be matched to the end: [`Reduction`], [`ClassView`].
//! - The numbers of a [`Tuning`](plan::Tuning) mean what they mean in this version; others may lay work out
//!   differently and find that none of the stored ones fits. So may the dispatches of a [`Plan`], the bytes of its
//!   workspace, and with them the last bits of a sum of rows: the same on one device in one version.
//! - The words of [`Bound::result`], and the bytes that [`class_losses`] reads, stay where they are said to be.
//! - What is public and yet not on these pages (`kernels::Spec` and what it is made of, `plan::Params`) is there for
//!   the crate's own tests. It may change at any time.
//!
//! What the host can see is refused with an [`Error`] before anything is recorded. What only the
//! device can see, such as a label that is no class, comes back in a [`Summary`].

// Links to what a feature would add lead to the list of features without it.
#![doc = ""]
#![cfg_attr(not(feature = "gpu"), doc = " [`gpu`]: #features")]
#![cfg_attr(not(feature = "gpu"), doc = " [`Gpu`]: #features")]
#![cfg_attr(not(feature = "gpu"), doc = " [`GpuOptions`]: #features")]
#![cfg_attr(not(feature = "gpu"), doc = " [`Stream`]: #features")]
#![cfg_attr(not(feature = "reference"), doc = " [`mod@reference`]: #features")]
#![cfg_attr(not(feature = "reference"), doc = " [`mod@stream`]: #features")]
#![cfg_attr(not(feature = "reference"), doc = " [`Sink`]: #features")]
#![cfg_attr(not(feature = "reference"), doc = " [`Device`]: #features")]
#![cfg_attr(feature = "reference", doc = " [`Device`]: stream::Device")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// What the optional parts alone call is not worth a condition each: a few small functions.
#![cfg_attr(not(feature = "gpu"), allow(dead_code))]
// In a browser a device stays on its thread, and an `Arc` is no more than an `Rc`.
#![cfg_attr(target_arch = "wasm32", allow(clippy::arc_with_non_send_sync))]

pub use half;
pub use wgpu;
mod bound;
mod classes;
mod device;
mod error;
#[cfg(feature = "reference")]
mod expand;
#[cfg(feature = "gpu")]
pub mod gpu;
mod io;
pub mod kernels;
pub mod loss;
pub mod plan;
#[cfg(feature = "reference")]
pub mod reference;
mod scope;
#[cfg(feature = "reference")]
pub mod stream;
mod tensor;
mod wait;
mod wanted;
mod words;
pub use bound::{Bound, Buffers, Decoded, RESULT_BYTES, Reader};
pub use classes::{CLASS_BYTES, ClassLosses, class_losses};
pub use device::Kernels;
pub use error::Error;
#[cfg(feature = "gpu")]
pub use gpu::stream::Stream;
#[cfg(feature = "gpu")]
pub use gpu::{Gpu, GpuOptions};
pub use io::{BadValue, Inputs, Output, Summary, Timing};
pub use loss::{
    Bce, BceWithLogits, CrossEntropy, EmptyMean, Entropy, GaussianNll, KlDiv, LargeOutput, Loss,
    Nll, Outputs, PoissonNll, Problem, Reduction, RowColumn, RowOutputs, Softmax,
};
pub use plan::{Plan, Profile};
#[cfg(feature = "reference")]
pub use stream::Sink;
pub use tensor::{ClassView, ElementType, Floats, LabelType, Labels, TargetType, Tensor};
pub use wanted::{wanted_features, wanted_limits};

/// The examples of the README, compiled and run with the other documentation tests.
#[cfg(all(doctest, feature = "gpu"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of docs/library.md, compiled and run with them.
#[cfg(all(doctest, feature = "gpu"))]
#[doc = include_str!("../docs/library.md")]
struct Library;

/// The examples of docs/invariance.md, compiled with them.
#[cfg(all(doctest, feature = "gpu"))]
#[doc = include_str!("../docs/invariance.md")]
struct Invariance;

/// The recipes of docs/embedding.md, compiled with them.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;
