//! Every test of the program that needs a GPU, in one program that can be built here and run on a machine without
//! cargo, as the library's `tests/packed.rs`: `CARGO_BIN_EXE_wgpu-loss` names the program, and the fixtures are in
//! `CARGO_MANIFEST_DIR/../tests/fixtures`.

// Each module has what it shares with others, as a program of its own would.
#![allow(clippy::duplicate_mod)]

#[path = "gpu.rs"]
mod gpu;
#[path = "gpu_any_size.rs"]
mod gpu_any_size;
#[path = "gpu_bench.rs"]
mod gpu_bench;
#[path = "gpu_damaged.rs"]
mod gpu_damaged;
#[path = "gpu_extras.rs"]
mod gpu_extras;
#[path = "gpu_family.rs"]
mod gpu_family;
#[path = "gpu_interrupted.rs"]
mod gpu_interrupted;
#[path = "gpu_look.rs"]
mod gpu_look;
#[path = "gpu_tune.rs"]
mod gpu_tune;
#[path = "gpu_types.rs"]
mod gpu_types;
