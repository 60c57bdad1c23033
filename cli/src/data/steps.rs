//! The tensors of some steps.

use std::ops::Range;

use wgpu_loss::{Floats, Inputs, Problem, Tensor};

use super::cut::{Spread, broadcast_shape};
use super::{BATCH, Cut, Data, Role};
use crate::error::Failure;
use crate::files::{Kind, Part};

/// A range of the tensors' steps.
pub struct Steps<'a>(Vec<Piece<'a>>);

/// That of a tensor.
struct Piece<'a> {
    role: Role,
    part: Part<'a>,
    shape: Vec<usize>,
}

impl Piece<'_> {
    fn tensor(&self) -> Tensor<'_> {
        Tensor::new(self.part.floats(), &self.shape)
    }
}

impl Data<'_> {
    /// A range of steps: what lies before the class axis is one axis, cut, and what lies behind it is
    /// another.
    pub fn steps(&self, problem: &Problem, range: Range<usize>) -> Result<Steps<'_>, Failure> {
        let (view, steps) = (&problem.view, range.len());
        let elements = [steps, view.classes, view.inner];
        self.shaped(problem, range, &elements, &[steps, view.inner])
    }

    /// Everything, in its own shape.
    pub fn whole(&self, problem: &Problem) -> Result<Steps<'_>, Failure> {
        let steps = 0..Cut::of(problem).steps;
        self.shaped(problem, steps, &problem.input_shape, &problem.row_shape)
    }

    /// How many steps of the first axis make a batch. The classes must not be on it.
    pub fn batch_steps(&self, problem: &Problem) -> usize {
        let step: usize = problem.input_shape.iter().skip(1).product();
        (BATCH / (step * problem.input_type.bytes() as usize).max(1)).max(1)
    }

    /// A range of the first axis, on which the classes must not be, in its own shape.
    pub fn batch(&self, problem: &Problem, range: Range<usize>) -> Result<Steps<'_>, Failure> {
        let (mut input, mut rows) = (problem.input_shape.clone(), problem.row_shape.clone());
        let by = problem.view.outer / input[0];
        (input[0], rows[0]) = (range.len(), range.len());
        self.shaped(problem, range.start * by..range.end * by, &input, &rows)
    }

    /// A range of steps, whose elements and rows have these shapes.
    fn shaped(
        &self,
        problem: &Problem,
        range: Range<usize>,
        elements: &[usize],
        rows: &[usize],
    ) -> Result<Steps<'_>, Failure> {
        let cut = Cut::of(problem);
        let pieces = self.0.iter().map(|given| {
            let by = cut.per_step(problem, given);
            let some = range.start * by..range.end * by;
            let (part, shape) = match Spread::of(problem, given) {
                Spread::Elements => (given.operand.part(some)?, elements.to_vec()),
                Spread::Rows => (given.operand.part(some)?, rows.to_vec()),
                Spread::Shared => (given.all()?, broadcast_shape(problem, given)),
                Spread::Broadcast(axis) => {
                    let mut shape = broadcast_shape(problem, given);
                    shape[axis] = range.len();
                    (given.operand.part(some)?, shape)
                }
            };
            Ok(Piece { role: given.role, part, shape })
        });
        pieces.collect::<Result<_, _>>().map(Steps)
    }
}

impl Steps<'_> {
    /// The floats in a role and their shape, which broadcasts to the input's.
    pub fn floats(&self, role: Role) -> Option<(Floats<'_>, &[usize])> {
        let piece = self.0.iter().find(|piece| piece.role == role)?;
        Some((piece.part.floats(), &piece.shape))
    }

    /// As the library takes them.
    pub fn inputs(&self) -> Inputs<'_> {
        let none = Tensor::new(Floats::F32(&[]), &[0]);
        let input = self.0.iter().find(|piece| piece.role == Role::Input);
        let mut inputs = Inputs::new(input.map_or(none, Piece::tensor));
        for piece in &self.0 {
            inputs = match piece.role {
                Role::Input => inputs,
                Role::Target => match &piece.part {
                    Part::Labels(_) | Part::Copied(Kind::Labels(_), _) => {
                        inputs.labels(piece.part.labels(), &piece.shape)
                    }
                    _ => inputs.probabilities(piece.tensor()),
                },
                Role::Values => inputs.target(piece.tensor()),
                Role::ElementWeight => inputs.element_weight(piece.tensor()),
                Role::PosWeight => inputs.pos_weight(piece.tensor()),
                Role::Var => inputs.var(piece.tensor()),
                Role::Weight => inputs.weight(piece.part.floats()),
                Role::RowWeights => inputs.row_weights(piece.tensor()),
                Role::Upstream => inputs.upstream(piece.tensor()),
            };
        }
        inputs
    }
}
