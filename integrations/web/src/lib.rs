//! wgpu-loss for JavaScript: what `package/src` calls. Arguments come as that part has checked and named them.

mod device;
mod door;
mod errors;
mod operand;
mod question;
mod results;
mod step;

pub use device::{Device, compute_on_cpu};
pub use step::{Prepared, Step};
