//! Where things lie at run time. Cargo says it in the environment, and so does whoever runs test programs that were
//! built on another machine; a program that is started by hand looks where it was built.

use std::path::PathBuf;

/// The folder of the crate: `tests/fixtures` and `examples/data` are in it.
pub fn root() -> PathBuf {
    let said = std::env::var_os("CARGO_MANIFEST_DIR");
    said.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The folder of examples that are built already, where somebody says so.
pub fn examples() -> Option<PathBuf> {
    std::env::var_os("WGPU_LOSS_EXAMPLES").map(PathBuf::from)
}

/// How a test of a module, [`module_path!`], is called on the command line of its test program.
pub fn test_name(module: &str, test: &str) -> String {
    match module.split_once("::") {
        Some((_, inner)) => format!("{inner}::{test}"),
        None => test.into(),
    }
}
