//! Sums over some of the rows, which add up.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::exception;
use crate::question;
use crate::results::{results, summary};

/// The library's partial; what Python's users see wraps it.
#[pyclass(frozen, eq, module = "wgpu_loss._native")]
#[derive(PartialEq)]
pub struct Partial(pub wgpu_loss::Partial);

#[pymethods]
impl Partial {
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        wgpu_loss::Partial::from_bytes(bytes).map(Self).map_err(|error| exception(py, &error))
    }

    #[staticmethod]
    fn from_json(py: Python<'_>, text: &str) -> PyResult<Self> {
        wgpu_loss::Partial::from_json(text).map(Self).map_err(|error| exception(py, &error))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    fn to_json(&self) -> String {
        self.0.to_json()
    }

    /// Returns the sum of both; the rows of `later` follow these.
    fn merged(&self, py: Python<'_>, later: &Bound<'_, Self>) -> PyResult<Self> {
        let mut sum = self.0.clone();
        sum.merge(&later.get().0).map_err(|error| exception(py, &error))?;
        Ok(Self(sum))
    }

    fn reduced(&self, reduction: &str) -> PyResult<Self> {
        Ok(Self(self.0.clone().reduced(question::reduction(reduction)?)))
    }

    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let output = self.0.finish().map_err(|error| exception(py, &error))?;
        results(py, &output, self.0.outputs())
    }

    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        summary(py, &self.0.summary(), self.0.outputs())
    }

    #[getter]
    fn function(&self) -> &'static str {
        self.0.loss()
    }

    #[getter]
    fn classes(&self) -> u64 {
        self.0.classes()
    }

    #[getter]
    fn standard_error(&self) -> Option<f64> {
        self.0.standard_error()
    }
}
