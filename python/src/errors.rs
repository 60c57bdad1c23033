//! The library's errors as Python's exceptions, which are classes of the package's own file `_errors.py`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wgpu_loss::Error;

/// Returns the exception for an error of the library.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let message = in_python(error.clone()).to_string();
    match *error {
        Error::BadTargets { count, first, value, .. } => {
            let facts = [("position", first.into()), ("value", value), ("count", count.into())];
            with_facts(py, "BadLabelError", message, |dict| {
                facts.iter().try_for_each(|(name, fact)| dict.set_item(name, fact))
            })
        }
        Error::BadValues { what, count, first, value, .. } => {
            with_facts(py, "BadValueError", message, |dict| {
                dict.set_item("tensor", what)?;
                dict.set_item("position", first)?;
                dict.set_item("value", value)?;
                dict.set_item("count", count)
            })
        }
        Error::NoAdapter { .. } => with_facts(py, "NoAdapterError", message, |_| Ok(())),
        Error::NoDevice { .. }
        | Error::Feature { .. }
        | Error::Lost { .. }
        | Error::Device { .. } => device_error(py, message),
        Error::Budget { .. } | Error::OutOfMemory { .. } | Error::Limit { .. } => {
            PyMemoryError::new_err(message)
        }
        Error::Target { .. } | Error::Operand { .. } => PyTypeError::new_err(message),
        Error::Store { .. } | Error::Sink { .. } => PyOSError::new_err(message),
        // Shapes, options, partials that do not fit.
        _ => PyValueError::new_err(message),
    }
}

/// Returns the error with the names of Python's arguments.
fn in_python(mut error: Error) -> Error {
    let name = match &mut error {
        Error::Shape { what, .. } | Error::Length { what, .. } | Error::Broadcast { what, .. } => {
            what
        }
        Error::Operand { operand, .. } => operand,
        Error::Option { option, .. } => option,
        _ => return error,
    };
    *name = match *name {
        "labels" | "class probabilities" => "target",
        "class weight" | "element weight" => "weight",
        "row weight" | "row weights" => "row_weights",
        "upstream gradient" => "upstream",
        other => other,
    };
    error
}

/// Returns a failure of a device.
pub fn device_error(py: Python<'_>, message: String) -> PyErr {
    with_facts(py, "DeviceError", message, |_| Ok(()))
}

/// Returns an exception of the package, with attributes.
fn with_facts(
    py: Python<'_>,
    class: &str,
    message: String,
    add: impl Fn(&Bound<'_, PyDict>) -> PyResult<()>,
) -> PyErr {
    let made = || {
        let facts = PyDict::new(py);
        add(&facts)?;
        let class = py.import("wgpu_loss._errors")?.getattr(class)?;
        class.call((message,), Some(&facts))
    };
    made().map_or_else(|error| error, PyErr::from_value)
}

/// Calls `work`, and returns a panic as an exception that `except Exception` catches: PyO3's own is none.
pub fn guarded<T>(work: impl FnOnce() -> T) -> PyResult<T> {
    // What a panic leaves behind is locks, which do not poison, and devices, which report their state.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = text_of(&*panic);
        PyRuntimeError::new_err(format!("a fault of wgpu-loss itself: {message}"))
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("unknown")
}
