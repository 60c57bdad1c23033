//! The distribution itself: softmax and log-softmax along an axis.

use super::options::shared_options;
use super::{
    ClassAxis, ClassShard, Function, Given, Loss, Outputs, Problem, Shapes, Taken, Upstream,
    check_shape,
};
use crate::{Error, TargetType};

/// Softmax or log-softmax along an axis, by default the last one.
///
/// ```text
/// log_softmax: y_c = x_c - log(sum_j exp x_j)
/// softmax:     y_c = exp(x_c) / sum_j exp x_j
/// ```
///
/// With an upstream gradient `u` in the input's shape, the gradient is the product of `u` and the Jacobian:
///
/// ```text
/// log_softmax: dx_c = u_c - p_c sum_j u_j
/// softmax:     dx_c = p_c (u_c - sum_j p_j u_j)
/// ```
///
/// There is no loss: the result is in [`Output::log_probs`](crate::Output::log_probs) or
/// [`Output::probs`](crate::Output::probs). Classes at `-inf` have probability exactly 0; a row of only `-inf`, or with
/// `+inf` or NaN, is NaN.
///
/// ```
/// use wgpu_loss::{Inputs, Outputs, Softmax, Tensor, reference};
///
/// let x = [0.0, 0.0, 1.0, 1.0];
/// let inputs = Inputs::new(Tensor::new(&x, &[2, 2]));
/// let output = reference::run(&Softmax::probs(), &inputs, Outputs::loss())?;
/// assert_eq!(output.probs, Some(vec![0.5; 4]));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    axis: isize,
    log: bool,
    class_shard: Option<ClassShard>,
}

impl Softmax {
    shared_options!(class_shard);

    /// Returns a softmax whose result is probabilities.
    pub fn probs() -> Self {
        Self { axis: -1, log: false, class_shard: None }
    }

    /// Returns a softmax whose result is log-probabilities.
    pub fn log_probs() -> Self {
        Self { axis: -1, log: true, class_shard: None }
    }

    /// Sets the axis that is normalised; negative counts from the end.
    pub fn axis(mut self, axis: isize) -> Self {
        self.axis = axis;
        self
    }

    /// Checks that a gradient and an upstream gradient are requested together: neither is of use alone.
    fn upstream(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Upstream, Error> {
        match (shapes.upstream, outputs.grad) {
            (Some(shape), true) => {
                check_shape("upstream gradient", shape, shapes.input)?;
                Ok(Upstream::PerElement(shapes.upstream_type))
            }
            (None, false) => Ok(Upstream::Ones),
            (given, _) => Err(Error::Option {
                option: "upstream gradient",
                given: if given.is_some() { "given" } else { "missing" }.into(),
                wanted: "a softmax takes one in the input's shape where its gradient is asked for",
            }),
        }
    }
}

impl Loss for Softmax {
    fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        if let Some((target, _)) = shapes.target {
            return Err(Error::Target {
                loss: "softmax",
                given: TargetType::described(Some(target)),
                wanted: "no target",
            });
        }
        if outputs.log_probs {
            return Err(Error::Option {
                option: "log_probs",
                given: "asked for".into(),
                wanted: "Softmax::log_probs gives them",
            });
        }
        shapes.check_class_axis(
            "softmax",
            Taken { class_weights: false, row_weights: false, states: true },
        )?;
        // A scalar is a distribution over one class, as in PyTorch.
        let scalar = shapes.input.is_empty() && (self.axis == 0 || self.axis == -1);
        let axis = ClassAxis::new(if scalar { &[1] } else { shapes.input }, Some(self.axis))?;
        let instead = "a distribution alone has no labels and no weights";
        let class_shard = ClassShard::of_call(self.class_shard, &axis.view, shapes, outputs)?;
        if class_shard.is_some() && outputs.grad {
            return Err(Error::Option {
                option: "grad",
                given: "asked for".into(),
                wanted: "states do not have it: it needs the upstream gradients of all classes",
            });
        }
        let classes = axis.all_classes(class_shard);
        let given = Given { classes, distribution: true, labels: false, rows: false, instead };
        let outputs = outputs.checked_but_for_states(given)?;
        let asked = Outputs { log_probs: self.log, probs: !self.log, ..outputs };
        Ok(Problem {
            upstream: self.upstream(shapes, outputs)?,
            class_shard,
            states: shapes.states,
            ..axis.problem(Function::Softmax, shapes, asked)
        })
    }
}
