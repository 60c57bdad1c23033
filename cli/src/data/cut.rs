//! A loss in steps that follow one another: what lies before the class axis, cut.

use wgpu_loss::Problem;
use wgpu_loss::loss::Upstream;

use super::Role;

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
        let view = &problem.view;
        Self { steps: view.outer, rows: view.inner, elements: view.classes * view.inner }
    }

    /// Rows of all steps.
    pub fn all_rows(&self) -> usize {
        self.steps * self.rows
    }

    /// How many elements a tensor has for each step; 0 where all steps share it.
    pub fn of_role(&self, problem: &Problem, role: Role) -> usize {
        match Spread::of(problem, role) {
            Spread::Elements => self.elements,
            Spread::Rows => self.rows,
            Spread::Shared => 0,
        }
    }
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
}

impl Spread {
    /// That of the tensor in a role.
    pub fn of(problem: &Problem, role: Role) -> Self {
        match role {
            Role::Input => Spread::Elements,
            Role::Target if problem.label_type().is_none() => Spread::Elements,
            Role::Target | Role::RowWeights => Spread::Rows,
            Role::Weight => Spread::Shared,
            Role::Upstream => match problem.upstream {
                Upstream::PerElement(_) => Spread::Elements,
                Upstream::PerRow => Spread::Rows,
                _ => Spread::Shared,
            },
        }
    }
}
