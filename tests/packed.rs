//! Every test that needs a GPU, in one program that can be built here and run on a machine without cargo:
//!
//! ```text
//! cargo test --release --test packed --no-run
//! CARGO_MANIFEST_DIR=FOLDER packed gpu_life::
//! ```
//!
//! FOLDER has `tests/fixtures` and `examples/data`; `WGPU_LOSS_EXAMPLES` names the folder of built examples. A module
//! wants a process to itself, as `cargo test` gives it: one sets the environment, others fill the memory.

// Each module has what it shares with others, as a program of its own would.
#![allow(clippy::duplicate_mod)]

#[path = "book.rs"]
mod book;
#[path = "gpu_cookbook.rs"]
mod gpu_cookbook;
#[path = "gpu_drills.rs"]
mod gpu_drills;
#[path = "gpu_embedding.rs"]
mod gpu_embedding;
#[path = "gpu_examples.rs"]
mod gpu_examples;
#[path = "gpu_extras.rs"]
mod gpu_extras;
#[path = "gpu_fixtures.rs"]
mod gpu_fixtures;
#[path = "gpu_invariance.rs"]
mod gpu_invariance;
#[path = "gpu_large.rs"]
mod gpu_large;
#[path = "gpu_life.rs"]
mod gpu_life;
#[path = "gpu_meaning.rs"]
mod gpu_meaning;
#[path = "gpu_overflow.rs"]
mod gpu_overflow;
#[path = "gpu_pieces.rs"]
mod gpu_pieces;
#[path = "gpu_pointwise.rs"]
mod gpu_pointwise;
#[path = "gpu_pointwise_meaning.rs"]
mod gpu_pointwise_meaning;
#[path = "gpu_pointwise_pieces.rs"]
mod gpu_pointwise_pieces;
#[path = "gpu_properties.rs"]
mod gpu_properties;
#[path = "gpu_sizes.rs"]
mod gpu_sizes;
#[path = "gpu_steady.rs"]
mod gpu_steady;
#[path = "gpu_stored.rs"]
mod gpu_stored;
#[path = "gpu_stream.rs"]
mod gpu_stream;
#[path = "gpu_threads.rs"]
mod gpu_threads;
#[path = "gpu_tuning.rs"]
mod gpu_tuning;
#[path = "gpu_types.rs"]
mod gpu_types;
#[path = "hostile.rs"]
mod hostile;
