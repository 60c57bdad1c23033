//! Tests that need no device: the f64 reference, plans, the texts of kernels, the rooms of the code and the
//! examples of its documentation.

mod examples;
mod grid;
mod invariance;
mod kernel_mutants;
mod oldest_rust;
mod partial;
mod plan;
mod reference;
mod reference_extras;
mod reference_pointwise;
mod reference_stream;
mod shaders;
mod shards;
mod texts;
mod tunings;
mod walls;
