//! Burn's cross-entropy losses, computed by wgpu-loss on Burn's wgpu backend.
//!
//! Take [`CrossEntropyLossConfig`] or [`BinaryCrossEntropyLossConfig`] from here in place of
//! `burn::nn::loss`, and open the device by [`init`] (or pass its wgpu handles to [`attach`]). The losses take and
//! return Burn's tensors, on any device of its wgpu backend, with and without autodiff and fusion. They read and write
//! the tensors in Burn's own buffers, without copies and without waiting.
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use wgpu_loss_burn::CrossEntropyLossConfig;
//!
//! let device = wgpu_loss_burn::init(Device::wgpu_options())?.autodiff();
//! let logits = Tensor::<2>::from_data([[3.5, -3.45, 0.23], [-2.14, 0.54, 2.67]], &device);
//! let targets = Tensor::<1, Int>::from_data([0, 2], &device);
//!
//! let logits = logits.require_grad();
//! let loss = CrossEntropyLossConfig::new().init(&device).forward(logits.clone(), targets);
//! let grads = loss.backward();
//! assert!((loss.into_scalar::<f32>() - 0.0792).abs() < 1e-3);
//! assert!(logits.grad(&grads).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//!
//! A loss is an operation of Burn's own kind (a backend extension): under fusion it waits in Burn's queue as others
//! do. When its turn comes, it asks Burn for the wgpu buffer, offset and length of each tensor, which also
//! hands all earlier work to the queue; takes memory of Burn's pool for the results; and submits wgpu-loss's
//! kernels to the same queue. Under autodiff the forward pass computes the gradient in the same submission.
//! The backward pass multiplies it by the upstream gradient, a kernel that does nothing where that is 1.

mod bce;
mod call;
mod compute;
mod criterion;
mod cross_entropy;
mod device;
mod error;
mod layout;
mod operands;
mod ops;
mod reduction;
mod resource;
mod scale;
mod weigh;

pub use bce::{BinaryCrossEntropyLoss, BinaryCrossEntropyLossConfig};
pub use cross_entropy::{CrossEntropyLoss, CrossEntropyLossConfig};
pub use device::{attach, init};
pub use error::Error;
pub use reduction::Reduction;
pub use wgpu_loss;

#[cfg(test)]
mod unfused;

/// The examples of the README, compiled with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
