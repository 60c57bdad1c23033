//! A loss in steps that follow one another: what lies before the class axis, cut. A loss of single elements
//! is cut along the first axis there is something on.

use wgpu_loss::Problem;
use wgpu_loss::loss::Upstream;

use super::{Given, Role};

/// How a loss is cut into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How many steps there are.
    pub steps: usize,
    /// Rows of a step: losses, where they are not reduced.
    pub rows: usize,
    /// Elements of the input in a step.
    pub elements: usize,
}

impl Cut {
    /// That of a problem.
    pub fn of(problem: &Problem) -> Self {
        if problem.pointwise.is_some() {
            let shape = &problem.input_shape;
            let steps = cut_axis(shape).map_or(1, |axis| shape[axis]);
            let elements = cut_axis(shape).map_or(1, |axis| shape[axis + 1..].iter().product());
            return Self { steps, rows: elements, elements };
        }
        let view = &problem.view;
        Self { steps: view.outer, rows: view.inner, elements: view.classes * view.inner }
    }

    /// Rows of all steps.
    pub fn all_rows(&self) -> usize {
        self.steps * self.rows
    }

    /// How many elements a tensor has for each step; 0 where all steps share it.
    pub fn per_step(&self, problem: &Problem, given: &Given<'_>) -> usize {
        match Spread::of(problem, given) {
            Spread::Elements => self.elements,
            Spread::Rows => self.rows,
            Spread::Shared => 0,
            Spread::Broadcast(axis) => broadcast_shape(problem, given)[axis + 1..].iter().product(),
        }
    }
}

/// The first axis that has not one element alone.
fn cut_axis(shape: &[usize]) -> Option<usize> {
    shape.iter().position(|&extent| extent != 1)
}

/// What a tensor has elements for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each element of the input.
    Elements,
    /// Each row.
    Rows,
    /// All of it.
    Shared,
    /// Each step, which are on this axis of the tensor.
    Broadcast(usize),
}

impl Spread {
    /// That of a tensor.
    pub fn of(problem: &Problem, given: &Given<'_>) -> Self {
        if problem.pointwise.is_some() {
            return Self::of_elements(problem, given);
        }
        match given.role {
            Role::Input => Spread::Elements,
            Role::Target if problem.label_type().is_none() => Spread::Elements,
            Role::Target | Role::RowWeights => Spread::Rows,
            Role::Upstream => match problem.upstream {
                Upstream::PerElement(_) => Spread::Elements,
                Upstream::PerRow => Spread::Rows,
                _ => Spread::Shared,
            },
            _ => Spread::Shared,
        }
    }

    fn of_elements(problem: &Problem, given: &Given<'_>) -> Self {
        let (input, shape) = (&problem.input_shape, broadcast_shape(problem, given));
        let Some(axis) = cut_axis(input) else { return Spread::Shared };
        // Shapes are aligned at their last axes. Before the axis that is cut, all extents are 1.
        match (axis + shape.len()).checked_sub(input.len()) {
            Some(own) if shape[own] == input[axis] => Spread::Broadcast(own),
            _ => Spread::Shared,
        }
    }
}

/// A tensor's shape as it is broadcast: a variance may lack the last axis.
pub fn broadcast_shape(problem: &Problem, given: &Given<'_>) -> Vec<usize> {
    let (input, shape) = (&problem.input_shape[..], given.shape);
    let one_less = input.split_last().is_some_and(|(_, rest)| rest == shape);
    match given.role == Role::Var && shape != input && one_less {
        true => [shape, &[1]].concat(),
        false => shape.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use wgpu_loss::loss::Shapes;
    use wgpu_loss::{ElementType, Floats, GaussianNll, Loss, Outputs, TargetType};

    use super::*;
    use crate::data::Operand;

    #[test]
    fn operands_of_elements_are_cut_where_the_input_is() {
        let shape = [1, 6, 5];
        let values = TargetType::Values(ElementType::F32);
        let shapes = Shapes::new(&shape).target(values, &[6, 1]).var(ElementType::F32, &[1, 6]);
        let problem = GaussianNll::new().problem(&shapes, Outputs::loss()).unwrap();
        let cut = Cut::of(&problem);
        assert_eq!(cut, Cut { steps: 6, rows: 5, elements: 5 });
        let per_step = |role, shape: &[usize]| {
            let given = Given { role, operand: Operand::Floats(Floats::F32(&[])), shape };
            cut.per_step(&problem, &given)
        };
        assert_eq!(per_step(Role::Input, &shape), 5);
        for (shape, wanted) in
            [(&[6, 1][..], 1), (&[5], 0), (&[6, 5], 5), (&[], 0), (&[1, 1, 5], 0)]
        {
            assert_eq!(per_step(Role::Values, shape), wanted, "{shape:?}");
        }
        // One for each row, without the last axis.
        assert_eq!(per_step(Role::Var, &[1, 6]), 1);
        assert_eq!(per_step(Role::Var, &[]), 0);
    }
}
