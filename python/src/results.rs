//! The small results of calls and partials, as dictionaries.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use wgpu_loss::{ClassLosses, Output, Outputs, Summary};

/// Returns the small outputs of a call.
pub fn results<'py, T: Copy + Into<f64>>(
    py: Python<'py>,
    output: &Output<T>,
    asked: Outputs,
) -> PyResult<Bound<'py, PyDict>> {
    let results = PyDict::new(py);
    let number = |loss: &[T]| loss.first().map(|&loss| loss.into());
    results.set_item("loss", number(&output.loss))?;
    results.set_item("z_loss", number(&output.z_loss))?;
    results.set_item("summary", summary(py, &output.summary, asked)?)?;
    if let Some(ClassLosses { loss, rows, correct, .. }) = &output.classes {
        let bytes = |bytes| PyBytes::new(py, bytes);
        let [rows, correct] = [rows, correct].map(|counts| bytes(bytemuck::cast_slice(counts)));
        results.set_item("class_losses", (bytes(bytemuck::cast_slice(loss)), rows, correct))?;
    }
    Ok(results)
}

/// Returns a summary as the arguments of the class of that name: counts that were not asked for are nothing.
pub fn summary<'py>(py: Python<'py>, of: &Summary, asked: Outputs) -> PyResult<Bound<'py, PyDict>> {
    let summary = PyDict::new(py);
    summary.set_item("rows", of.rows)?;
    summary.set_item("live", of.live)?;
    summary.set_item("ignored", of.ignored())?;
    summary.set_item("weight", of.weight)?;
    summary.set_item("bad", of.bad)?;
    summary.set_item("first_bad", of.first_bad)?;
    summary.set_item("nonfinite", of.nonfinite)?;
    summary.set_item("first_nonfinite", of.first_nonfinite)?;
    summary.set_item("correct", asked.accuracy.then_some(of.correct))?;
    summary.set_item("in_top_k", (asked.top_k > 0).then_some(of.top_k))?;
    Ok(summary)
}
