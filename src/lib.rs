//! Losses of neural-network training and their gradients, in WGSL, on any GPU that wgpu reaches.
//!
//! The losses of PyTorch's likelihood family, from cross-entropy to Poisson, with its meaning. The arithmetic is f32,
//! arranged so that a confident row's loss of 1e-12 stays 1e-12. Every loss has a counterpart in f64 on the CPU, with
//! which the tests compare it.
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
//! The features listed here are on by default, except `gles`. `default-features = false` leaves the part that records a
//! loss into a host's own passes: [`loss`], [`plan`], [`kernels`], [`Bound`]; apart from wgpu, its dependencies are small.
//!
//! | feature | what it adds |
//! |---|---|
//! | `gpu` | the module [`gpu`]: [`Gpu`], [`Stream`]; tunings that are stored or measured; implies `reference` |
//! | `reference` | the module [`mod@reference`], on all of the CPU's threads (rayon); the module [`mod@stream`]: [`Sink`], [`Device`]; [`Partial`] |
//! | `vulkan`, `metal`, `dx12`, `webgpu` | wgpu's backend of that name, on the platforms that have it |
//! | `gles` | wgpu's backend for OpenGL, for machines that have no Vulkan |
//!
//! # Layers
//!
//! From the top down; each can be used without those above it.
//!
//! ```text
//! Gpu          a device of the library's own; blocking and async calls on host data
//! Bound        a plan joined to buffers, recorded into any compute pass any number of times
//! Plan         the kernels to run and their pieces of the tensors; needs no device
//! Kernels      a device's pipelines, compiled when first wanted
//! Loss         checks shapes and options and states the Problem; knows no GPU
//! ```
//!
//! A program that has a device already starts at [`Kernels`] and needs nothing of [`gpu`]: the library then records,
//! and never submits, polls or reads back. [`mod@reference`] is the counterpart of [`Gpu`]: it takes the same [`Loss`]
//! and [`Inputs`] and returns the same [`Output`], in f64. A [`Device`] is either, chosen at run time.
//!
//! # Modules
//!
//! - [`loss`]: one file per loss, with its formula, options and checks.
//! - [`mod@reference`] (feature `reference`): the same losses on the CPU.
//! - [`mod@stream`] (feature `reference`): data of any size in pieces and batches, on either.
//! - [`plan`]: dispatches, geometry, pieces, workspace, from shapes and a device's [`Profile`].
//! - [`kernels`]: WGSL assembled from the texts in `shaders/`, one pipeline per specialisation.
//! - [`gpu`] (feature `gpu`): adapter, device, transfers, waiting; measurements, and tunings by them.
//!
//! # Stability
//!
//! Versions follow [semver](https://semver.org): a minor version removes nothing that these pages document.
//!
//! - [`wgpu`] and [`half`] are re-exported, and their types are in our signatures. A new major version of either is
//!   a new major version of this crate; a host must use the version of wgpu that this crate uses.
//! - Enums and structs that are likely to grow are `#[non_exhaustive]`: an [`Error`] may get further variants, an
//!   [`Output`] further fields. Options are built ([`GpuOptions`], [`Outputs`], [`Buffers`]). What is complete by its
//!   nature may be matched to the end: [`Reduction`], [`ClassView`].
//! - The numbers of a [`Tuning`](plan::Tuning) mean the same within a version only: others may lay work out
//!   differently, and then use none of the stored numbers. The dispatches of a [`Plan`] may change too, as may the
//!   bytes of its workspace, and with them the last bits of a sum of rows: they are the same on one device in one version.
//! - The words of [`Bound::result`], and the bytes that [`class_losses`] reads, keep their documented layout.
//! - Public items that are not on these pages (`kernels::Spec` and its parts, `plan::Params`) are for the crate's own
//!   tests. They may change at any time.
//!
//! Errors that the host can detect are returned as an [`Error`] before any work is recorded. Errors that only the
//! device can detect, such as a label that is no class, are returned in a [`Summary`].

// Without a feature, links to its items lead to the list of features.
#![doc = ""]
#![cfg_attr(not(feature = "gpu"), doc = " [`gpu`]: #features")]
#![cfg_attr(not(feature = "gpu"), doc = " [`Gpu`]: #features")]
#![cfg_attr(not(feature = "gpu"), doc = " [`GpuOptions`]: #features")]
#![cfg_attr(not(feature = "gpu"), doc = " [`Stream`]: #features")]
#![cfg_attr(not(feature = "reference"), doc = " [`mod@reference`]: #features")]
#![cfg_attr(not(feature = "reference"), doc = " [`mod@stream`]: #features")]
#![cfg_attr(not(feature = "reference"), doc = " [`Sink`]: #features")]
#![cfg_attr(not(feature = "reference"), doc = " [`Partial`]: #features")]
#![cfg_attr(not(feature = "reference"), doc = " [`Device`]: #features")]
#![cfg_attr(feature = "reference", doc = " [`Device`]: stream::Device")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Functions that only the optional parts call: they are few and small, so they have no condition each.
#![cfg_attr(not(feature = "gpu"), allow(dead_code))]
// In a browser a device stays on its thread, and an `Arc` is no more than an `Rc`.
#![cfg_attr(target_arch = "wasm32", allow(clippy::arc_with_non_send_sync))]

pub use half;
pub use wgpu;
mod bound;
#[cfg(feature = "reference")]
mod broadcast;
mod call;
mod classes;
mod device;
mod error;
mod error_scope;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod kernels;
pub mod loss;
#[cfg(feature = "reference")]
mod partial;
pub mod plan;
mod poll;
#[cfg(feature = "reference")]
pub mod reference;
mod requirements;
mod row_states;
#[cfg(feature = "reference")]
pub mod stream;
mod tensor;
mod words;
pub use bound::{Bound, Buffers, Decoded, RESULT_BYTES, Reader};
pub use call::{BadValue, Inputs, Output, Summary, Timing};
pub use classes::{CLASS_BYTES, ClassLosses, class_losses};
pub use device::Kernels;
pub use error::Error;
#[cfg(feature = "gpu")]
pub use gpu::stream::Stream;
#[cfg(feature = "gpu")]
pub use gpu::{Gpu, GpuOptions, MultiGpu};
pub use loss::{
    Bce, BceWithLogits, CrossEntropy, EmptyMean, Entropy, GaussianNll, KlDiv, LargeOutput, Loss,
    Nll, Outputs, PoissonNll, Problem, Reduction, RowColumn, RowOutputs, Softmax, StateField,
};
#[cfg(feature = "reference")]
pub use partial::Partial;
pub use plan::{Plan, Profile};
pub use requirements::{wanted_features, wanted_limits};
pub use row_states::RowStates;
#[cfg(feature = "reference")]
pub use stream::Sink;
pub use tensor::{ClassView, ElementType, Floats, LabelType, Labels, TargetType, Tensor};

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
