//! stub
pub use wgpu;
mod error;
pub mod gpu;
mod io;
pub mod loss;
pub mod reference;
mod tensor;
pub use error::Error;
pub use gpu::Gpu;
pub use io::{Inputs, Output, Summary, Timing};
pub use loss::{CrossEntropy, EmptyMean, Loss, Nll, Outputs, Problem, Reduction, Softmax};
pub use tensor::{ClassView, LabelType, Labels, TargetType, Tensor};
