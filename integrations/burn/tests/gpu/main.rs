//! Burn's losses by this crate, on the installed Vulkan driver. Nothing is skipped without one.

mod bce;
mod buffers;
mod cross_entropy;
mod devices;
mod layouts;
mod refused;
mod support;
mod training;
