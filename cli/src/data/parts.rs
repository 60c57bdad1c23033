//! The tensors of a call, all of them or some steps of the first axis.

use std::ops::Range;

use wgpu_loss::{Floats, Inputs, Problem, Tensor};

use super::{BATCH, Data, Role};
use crate::error::Failure;
use crate::files::{Kind, Part};

/// The tensors of a call.
pub struct Parts<'a>(Vec<TensorPart<'a>>);

/// The part of one tensor.
struct TensorPart<'a> {
    role: Role,
    part: Part<'a>,
    shape: Vec<usize>,
}

impl TensorPart<'_> {
    fn tensor(&self) -> Tensor<'_> {
        Tensor::new(self.part.floats(), &self.shape)
    }
}

impl Data<'_> {
    /// Returns everything.
    pub fn whole(&self) -> Result<Parts<'_>, Failure> {
        let parts = self.0.iter().map(|given| {
            let (role, shape) = (given.role, given.shape.to_vec());
            Ok(TensorPart { role, part: given.all()?, shape })
        });
        parts.collect::<Result<_, _>>().map(Parts)
    }

    /// Returns how many steps of the first axis make a batch.
    pub fn batch_steps(&self, problem: &Problem) -> usize {
        let step: usize = problem.input_shape.iter().skip(1).product();
        (BATCH / (step * problem.input_type.bytes() as usize).max(1)).max(1)
    }

    /// Returns some steps of the first axis, on which the classes must not be.
    pub fn batch(&self, problem: &Problem, steps: Range<usize>) -> Result<Parts<'_>, Failure> {
        let parts = self.0.iter().map(|given| {
            let (role, mut shape) = (given.role, given.shape.to_vec());
            if !given.is_of_rows(problem) {
                return Ok(TensorPart { role, part: given.all()?, shape });
            }
            let by = shape.iter().skip(1).product::<usize>();
            shape[0] = steps.len();
            let part = given.operand.part(steps.start * by..steps.end * by)?;
            Ok(TensorPart { role, part, shape })
        });
        parts.collect::<Result<_, _>>().map(Parts)
    }
}

impl Parts<'_> {
    /// Returns the parts as the library takes them.
    pub fn inputs(&self) -> Inputs<'_> {
        let none = Tensor::new(Floats::F32(&[]), &[0]);
        let input = self.0.iter().find(|part| part.role == Role::Input);
        let mut inputs = Inputs::new(input.map_or(none, TensorPart::tensor));
        for part in &self.0 {
            inputs = match part.role {
                Role::Input => inputs,
                Role::Target => match &part.part {
                    Part::Labels(_) | Part::Copied(Kind::Labels(_), _) => {
                        inputs.labels(part.part.labels(), &part.shape)
                    }
                    _ => inputs.probabilities(part.tensor()),
                },
                Role::Values => inputs.target(part.tensor()),
                Role::ElementWeight => inputs.element_weight(part.tensor()),
                Role::PosWeight => inputs.pos_weight(part.tensor()),
                Role::Var => inputs.var(part.tensor()),
                Role::Weight => inputs.weight(part.part.floats()),
                Role::RowWeights => inputs.row_weights(part.tensor()),
                Role::Upstream => inputs.upstream(part.tensor()),
            };
        }
        inputs
    }
}
