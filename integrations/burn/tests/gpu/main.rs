//! Burn's losses by this crate, on the Vulkan driver at hand. Nothing is skipped without one.

mod cross_entropy;
mod support;
