//! What each class of a row weighs: `w_c q'_c` with `q'_c = (1 - e) q_c + e / C`, as sizes.

use wgpu_loss::Problem;
use wgpu_loss::TargetType;

use crate::data::{Given, Role};
use crate::error::Failure;
use crate::files::Part;
use crate::twin::{Piece, Question};

/// The shares of the rows of a piece.
pub struct Shares<'a> {
    problem: &'a Problem,
    /// The classes' weights.
    weights: Option<Part<'a>>,
    labels: Option<Part<'a>>,
    probabilities: Option<Part<'a>>,
    /// The rows' own weights.
    factors: Option<Part<'a>>,
}

impl<'a> Shares<'a> {
    /// Those of a piece.
    pub fn of(question: &Question<'a>, piece: &Piece<'_>) -> Result<Self, Failure> {
        let (problem, data) = (question.problem, question.data);
        let rows = piece.row..piece.row + piece.output.summary.rows as usize;
        let elements = piece.element..piece.element + rows.len() * problem.view.classes;
        let probabilities = match problem.target {
            Some(TargetType::Probabilities(_)) => data.part(Role::Target, elements)?,
            _ => None,
        };
        Ok(Self {
            problem,
            weights: data.get(Role::Weight).map(Given::all).transpose()?,
            labels: data.labels(problem, rows.clone())?,
            probabilities,
            factors: data.part(Role::RowWeights, rows)?,
        })
    }

    /// Whether every class has a share, so that a gradient is a difference.
    pub fn spread(&self) -> bool {
        self.probabilities.is_some() || self.problem.label_smoothing > 0.0
    }

    /// The row's own weight.
    pub fn factor(&self, row: usize) -> f64 {
        self.factors.as_ref().map_or(1.0, |part| f64::from(part.floats().get(row)).abs())
    }

    /// The weight of the row's label, 0 where that is no class; 1 without labels.
    pub fn own(&self, row: usize) -> f64 {
        match self.labels {
            Some(_) => self.label(row).map_or(0.0, |class| self.weight(class)),
            None => 1.0,
        }
    }

    /// The class of the row, if that is what the target is.
    pub fn label(&self, row: usize) -> Option<usize> {
        let label = self.labels.as_ref()?.labels().get(row);
        let class = usize::try_from(label).ok().filter(|&class| class < self.problem.view.classes);
        class.filter(|_| label != i128::from(self.problem.ignore_index))
    }

    /// The share of a class, without the row's own weight.
    pub fn share(&self, row: usize, class: usize, element: usize) -> f64 {
        let q = match (&self.probabilities, &self.labels) {
            (Some(part), _) => f64::from(part.floats().get(element)).abs(),
            (None, Some(_)) => match self.label(row) {
                None => return 0.0,
                Some(label) => f64::from(u8::from(label == class)),
            },
            (None, None) => return 0.0,
        };
        let e = f64::from(self.problem.label_smoothing);
        self.weight(class) * ((1.0 - e) * q + e / self.problem.view.classes as f64)
    }

    fn weight(&self, class: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |part| f64::from(part.floats().get(class)).abs())
    }
}
