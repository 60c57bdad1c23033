//! stub
mod bce;
mod call;
mod compute;
mod criterion;
mod cross_entropy;
mod device;
mod error;
mod layout;
mod ops;
mod reduction;
mod scale;
pub use bce::{BinaryCrossEntropyLoss, BinaryCrossEntropyLossConfig};
pub use criterion::Criterion;
pub use cross_entropy::{CrossEntropyLoss, CrossEntropyLossConfig};
pub use device::{attach, init};
pub use error::Error;
pub use ops::{GradOps, LossOps, Target, Weight};
pub use reduction::Reduction;
