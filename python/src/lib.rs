//! The native module of the Python package `wgpu_loss`.
//!
//! ```text
//! device     a GPU, or several; the process that opened them
//! arrays     memory of NumPy arrays and DLPack tensors, borrowed
//! question   a loss and its options, by the names of Python's arguments
//! call       a question asked of arrays, whole or in batches
//! sink       arrays that receive results; progress, and Ctrl-C
//! partial    sums that add up
//! results    small results of both
//! errors     the library's errors as Python's exceptions
//! ```
//!
//! What a user sees is in the Python files beside it: names, types, documentation. They check the kinds of their
//! arguments, allocate the results and call this module, which trusts them with that alone.

mod arrays;
mod call;
mod device;
mod errors;
mod partial;
mod question;
mod results;
mod sink;

use std::ffi::OsString;

use pyo3::prelude::*;

/// The native part of `wgpu_loss`.
#[pymodule(gil_used = false)]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::arrays::View;
    #[pymodule_export]
    use super::call::Call;
    #[pymodule_export]
    use super::device::{Gpu, adapters, check_process};
    #[pymodule_export]
    use super::partial::Partial;

    /// Runs the program `wgpu-loss` with the words of a command line, its name first, and returns its exit status.
    #[pyfunction]
    fn main(py: Python<'_>, words: Vec<OsString>) -> PyResult<u8> {
        device::quiet_device_selection(py)?;
        errors::guarded(|| py.detach(|| wgpu_loss_cli::run_as(words)))
    }

    /// Panics, for a test that the process lives on.
    #[pyfunction]
    fn panic(message: &str) -> PyResult<()> {
        errors::guarded(|| panic!("{message}"))
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
