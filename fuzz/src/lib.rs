//! Fuzz targets: each module has a `run` that takes the fuzzer's bytes and panics if a promise is broken.
//! `docs/testing.md` says how to run them; `scripts/fuzz` builds the programs in `bin/` with libFuzzer.
//!
//! ```text
//! files    bytes as .npy, .npz and .safetensors   -> read or refused, and what is read is what was written
//! plans    shapes, options, limits, tunings       -> refused, or a plan within the device's limits
//! calls    a call, a device, a way of calling     -> the reference's numbers, nothing else written
//! ```

pub mod calls;
pub mod draw;
pub mod files;
pub mod plans;
