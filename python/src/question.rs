//! A loss with its options and outputs, by the names of Python's arguments.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, EmptyMean, Entropy, GaussianNll, KlDiv, Loss, Nll, Outputs,
    PoissonNll, Reduction, Softmax,
};

/// The options of a call.
pub struct Options<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'a, 'py> Options<'a, 'py> {
    pub fn new(given: &'a Bound<'py, PyDict>) -> Self {
        Self(given)
    }

    /// Returns an option; `None` and what is missing are the default.
    fn get<T: for<'b> FromPyObject<'b, 'py, Error = PyErr>>(
        &self,
        name: &str,
    ) -> PyResult<Option<T>> {
        let Some(value) = self.0.get_item(name)?.filter(|value| !value.is_none()) else {
            return Ok(None);
        };
        let fault = |error: PyErr| {
            // Python's functions have one name for the axis of either.
            let name = if matches!(name, "class_axis" | "axis") { "dim" } else { name };
            let message = format!("{name}: {}", error.value(self.0.py()));
            match error.is_instance_of::<PyTypeError>(self.0.py()) {
                true => PyTypeError::new_err(message),
                // An integer that is too large.
                false => PyValueError::new_err(message),
            }
        };
        value.extract().map(Some).map_err(fault)
    }

    fn reduction(&self) -> PyResult<Reduction> {
        if self.0.get_item("reduction")?.is_some_and(|given| given.is_none()) {
            return Err(PyTypeError::new_err(
                "reduction is None: for the losses of rows it is \"none\"",
            ));
        }
        // The distributions have none.
        self.get::<String>("reduction")?.map_or(Ok(Reduction::Mean), |name| reduction(&name))
    }

    fn empty_mean(&self) -> PyResult<EmptyMean> {
        match self.get::<String>("empty_mean")?.as_deref() {
            None | Some("nan") => Ok(EmptyMean::Nan),
            Some("zero") => Ok(EmptyMean::Zero),
            Some(other) => Err(PyValueError::new_err(format!(
                "empty_mean is {other:?}, but it must be \"nan\" or \"zero\""
            ))),
        }
    }

    /// Returns a loss over some of the classes, if it is: the first of them, and the number of all.
    fn sharded<L>(&self, loss: L, class_shard: impl Fn(L, u64, u64) -> L) -> PyResult<L> {
        let shard: Option<(u64, u64)> = self.get("class_shard")?;
        Ok(match shard {
            Some((first, of)) => class_shard(loss, first, of),
            None => loss,
        })
    }

    /// Returns the loss of a name.
    pub fn loss(&self, function: &str) -> PyResult<Box<dyn Loss + Send + Sync>> {
        let (reduction, empty_mean) = (self.reduction()?, self.empty_mean()?);
        /// A loss with the options that are given, each by its builder's method.
        macro_rules! with {
            ($loss:expr, $($option:ident),*) => {{
                let mut loss = $loss.reduction(reduction).empty_mean(empty_mean);
                $(if let Some(value) = self.get(stringify!($option))? {
                    loss = loss.$option(value);
                })*
                Box::new(loss)
            }};
        }
        let along = |softmax: Softmax| -> PyResult<Box<Softmax>> {
            Ok(Box::new(match self.get("axis")? {
                Some(axis) => softmax.axis(axis),
                None => softmax,
            }))
        };
        Ok(match function {
            "cross_entropy" => with!(
                self.sharded(CrossEntropy::new(), CrossEntropy::class_shard)?,
                class_axis,
                ignore_index,
                label_smoothing,
                logit_scale,
                softcap,
                z_loss
            ),
            "nll_loss" => with!(Nll::new(), class_axis, ignore_index),
            "entropy" => with!(self.sharded(Entropy::new(), Entropy::class_shard)?, axis),
            "binary_cross_entropy" => {
                Box::new(Bce::new().reduction(reduction).empty_mean(empty_mean))
            }
            "binary_cross_entropy_with_logits" => {
                Box::new(BceWithLogits::new().reduction(reduction).empty_mean(empty_mean))
            }
            "kl_div" => with!(KlDiv::new(), log_target),
            "gaussian_nll_loss" => with!(GaussianNll::new(), full, eps),
            "poisson_nll_loss" => with!(PoissonNll::new(), log_input, full, eps),
            "softmax" => along(Softmax::probs())?,
            "log_softmax" => along(Softmax::log_probs())?,
            other => return Err(PyValueError::new_err(format!("there is no loss {other:?}"))),
        })
    }
}

/// Returns the reduction of a name.
pub fn reduction(name: &str) -> PyResult<Reduction> {
    let all = [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean];
    all.into_iter().find(|one| one.name() == name).ok_or_else(|| {
        PyValueError::new_err(format!(
            "reduction is {name:?}, but it must be \"none\", \"mean\", \"sum\" or \"batchmean\""
        ))
    })
}

/// Returns the outputs of some names.
pub fn outputs(names: &[String], top_k: u32, in_f32: bool) -> PyResult<Outputs> {
    let mut outputs = Outputs::loss();
    for name in names {
        let asked = match &**name {
            "grad" => &mut outputs.grad,
            "log_probs" => &mut outputs.log_probs,
            "target_grad" => &mut outputs.target_grad,
            "var_grad" => &mut outputs.var_grad,
            "lse" => &mut outputs.lse,
            "argmax" => &mut outputs.argmax,
            "rank" => &mut outputs.rank,
            "entropy" => &mut outputs.entropy,
            "variance" => &mut outputs.variance,
            "row_weights" => &mut outputs.row_weights,
            "accuracy" => &mut outputs.accuracy,
            "class_losses" => &mut outputs.class_losses,
            "states" => &mut outputs.states,
            other => {
                return Err(PyValueError::new_err(format!(
                    "there is no output {other:?}; the documentation of the loss lists those there are"
                )));
            }
        };
        *asked = true;
    }
    outputs.top_k = top_k;
    outputs.in_f32 = in_f32;
    Ok(outputs)
}
