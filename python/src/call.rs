//! A question asked of arrays: whole, or in batches.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator};
use wgpu_loss::loss::{Divisor, Function, Loss, Problem, Shapes};
use wgpu_loss::reference::weight_in_divisor;
use wgpu_loss::{ElementType, Error, LargeOutput, Outputs, Reduction};

use crate::arrays::Arrays;
use crate::device::{Gpu, Here, Lent};
use crate::errors::{exception, guarded};
use crate::partial::Partial;
use crate::question::{Options, outputs};
use crate::results::results;
use crate::sink::{Destinations, NAMES};

/// A loss with its options and requested outputs.
#[pyclass(frozen, module = "wgpu_loss._native")]
pub struct Call {
    loss: Box<dyn Loss + Send + Sync>,
    outputs: Outputs,
}

#[pymethods]
impl Call {
    #[new]
    fn new(
        function: &str,
        options: &Bound<'_, PyDict>,
        names: Vec<String>,
        top_k: i64,
        in_f32: bool,
    ) -> PyResult<Self> {
        let top_k = u32::try_from(top_k).map_err(|_| {
            PyValueError::new_err(format!("top_k is {top_k}, but it must be a number of classes"))
        })?;
        let outputs = outputs(&names, top_k, in_f32)?;
        Ok(Self { loss: Options::new(options).loss(function)?, outputs })
    }

    /// Returns the large outputs of a call on inputs of some shapes: name, shape, type of elements.
    fn large_outputs(
        &self,
        py: Python<'_>,
        inputs: &Bound<'_, PyDict>,
    ) -> PyResult<Vec<(&'static str, Vec<usize>, &'static str)>> {
        let arrays = Arrays::of(inputs)?;
        let shapes = arrays.shapes()?;
        let problem = self.problem(&shapes).map_err(|error| exception(py, &error))?;
        let there = NAMES.into_iter().filter(|&(what, name)| is_there(&problem, what, name));
        Ok(there.map(|(what, name)| described(&problem, &shapes, what, name)).collect())
    }

    /// Computes the loss of whole inputs.
    #[pyo3(signature = (gpu, inputs, destinations, report))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        gpu: Option<&Bound<'py, Gpu>>,
        inputs: &Bound<'py, PyDict>,
        destinations: &Bound<'py, PyDict>,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let arrays = Arrays::of(inputs)?;
        let inputs = arrays.inputs()?;
        let mut sink = Destinations::of(destinations, report)?;
        let lent = Lent::of(py, gpu.map(|gpu| gpu.get()))?;
        let device = lent.device();
        let run = || device.run_into(&*self.loss, &inputs, self.outputs, &mut sink);
        let output = guarded(|| py.detach(run))?;
        let output = output.map_err(|error| raised(py, &error, &mut sink))?;
        results(py, &output, self.outputs)
    }

    /// Computes sums of whole inputs, which add up with those of others.
    #[pyo3(signature = (gpu, inputs, report))]
    fn partial<'py>(
        &self,
        py: Python<'py>,
        gpu: Option<&Bound<'py, Gpu>>,
        inputs: &Bound<'py, PyDict>,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Partial> {
        let arrays = Arrays::of(inputs)?;
        let inputs = arrays.inputs()?;
        let mut sink = Destinations::of(&PyDict::new(py), report)?;
        let lent = Lent::of(py, gpu.map(|gpu| gpu.get()))?;
        let device = lent.device();
        let run = || device.partial(&*self.loss, &inputs, self.outputs, &mut sink);
        let partial = guarded(|| py.detach(run))?;
        partial.map(Partial).map_err(|error| raised(py, &error, &mut sink))
    }

    /// Computes the loss of batches, as an iterator gives them.
    #[pyo3(signature = (gpu, batches, destinations, divisor, report))]
    fn run_batches<'py>(
        &self,
        py: Python<'py>,
        gpu: Option<&Bound<'py, Gpu>>,
        batches: &Bound<'py, PyIterator>,
        destinations: &Bound<'py, PyDict>,
        divisor: Option<f64>,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Partial> {
        let mut sink = Destinations::of(destinations, report)?;
        // The first batch is made before the device is taken: its maker may compute, too.
        let mut next = batches.clone().next().transpose()?;
        let lent = Lent::of(py, gpu.map(|gpu| gpu.get()))?;
        let mut stream = lent.device().stream(&*self.loss, self.outputs);
        if let Some(divisor) = divisor {
            stream.set_divisor(divisor);
        }
        while let Some(batch) = next {
            let arrays = Arrays::of(batch.cast::<PyDict>()?)?;
            let inputs = arrays.inputs()?;
            let push = Here(|| stream.push(&inputs, &mut sink));
            let pushed = guarded(|| py.detach(|| push.get()()))?;
            pushed.map_err(|error| raised(py, &error, &mut sink))?;
            next = batches.clone().next().transpose()?;
        }
        let finish = Here(|| stream.partial());
        let partial = guarded(|| py.detach(|| finish.get()()))?;
        partial.map(Partial).map_err(|error| raised(py, &error, &mut sink))
    }

    /// Returns the divisor of the mean over some inputs, for batches that compute its gradient: nothing, where a stream
    /// takes none. Of the inputs, labels and weights have memory.
    fn divisor(&self, py: Python<'_>, inputs: &Bound<'_, PyDict>) -> PyResult<Option<f64>> {
        let arrays = Arrays::of(inputs)?;
        let problem = self.problem(&arrays.shapes()?).map_err(|error| exception(py, &error))?;
        if !matches!(problem.reduction, Reduction::Mean | Reduction::BatchMean) {
            return Ok(None);
        }
        let (labels, classes) = (arrays.labels(), arrays.class_weights()?);
        let rows = arrays.floats("row_weights")?;
        Ok(Some(match problem.divisor {
            Divisor::Known(divisor) => divisor,
            Divisor::RowWeights => py.detach(|| {
                let of_row = |row| {
                    let own = rows.map_or(1.0, |weights| f64::from(weights.get(row)));
                    let label = labels.map(|labels| labels.get(row));
                    weight_in_divisor(&problem, label, classes, own)
                };
                (0..problem.view.rows()).map(of_row).sum()
            }),
        }))
    }
}

impl Call {
    fn problem(&self, shapes: &Shapes<'_>) -> Result<Problem, Error> {
        match self.loss.problem(shapes, self.outputs) {
            // A call writes such operands out, and its outputs are as if there were none.
            Err(Error::Groups { .. }) => {
                let mut plain = *shapes;
                (plain.element_weight, plain.pos_weight) = (None, None);
                plain.target = plain.target.map(|(target, _)| (target, plain.input));
                self.loss.problem(&plain, self.outputs)
            }
            problem => problem,
        }
    }
}

/// Returns the exception that ended a call: one of Python's own, or the library's error.
fn raised(py: Python<'_>, error: &Error, sink: &mut Destinations) -> PyErr {
    sink.raised.take().unwrap_or_else(|| exception(py, error))
}

/// Returns true if a call has an output, under this of its names.
fn is_there(problem: &Problem, what: LargeOutput, name: &str) -> bool {
    let asked = problem.outputs;
    if asked.states {
        return what == LargeOutput::States;
    }
    let is_softmax = problem.function == Function::Softmax;
    let by_row = problem.reduction == Reduction::None && !is_softmax;
    match what {
        LargeOutput::RowLoss => by_row,
        LargeOutput::ZLoss => by_row && problem.z_loss != 0.0,
        LargeOutput::Grad => asked.grad,
        LargeOutput::Distribution if name == "log_probs" => asked.log_probs,
        LargeOutput::Distribution => is_softmax && !asked.log_probs,
        LargeOutput::TargetGrad => asked.target_grad,
        LargeOutput::VarGrad => asked.var_grad,
        LargeOutput::Lse => asked.lse,
        LargeOutput::Argmax => asked.argmax,
        LargeOutput::Rank => asked.rank,
        LargeOutput::Entropy => asked.entropy,
        LargeOutput::Variance => asked.variance,
        LargeOutput::RowWeights => asked.row_weights,
        _ => false,
    }
}

/// Returns name, shape and type of an output.
fn described(
    problem: &Problem,
    shapes: &Shapes<'_>,
    what: LargeOutput,
    name: &'static str,
) -> (&'static str, Vec<usize>, &'static str) {
    let shape = match what {
        LargeOutput::Grad | LargeOutput::Distribution => shapes.input,
        LargeOutput::TargetGrad => shapes.target.map_or(shapes.input, |(_, shape)| shape),
        LargeOutput::VarGrad => shapes.var.map_or(shapes.input, |(_, shape)| shape),
        LargeOutput::States => &[&problem.row_shape[..], &[problem.state_fields().len()]].concat(),
        _ => &problem.row_shape,
    };
    let kind = problem.float_type_of(what).map_or("u32", ElementType::name);
    (name, shape.to_vec(), kind)
}
