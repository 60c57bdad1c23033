//! Weights of the classes of a row: `w_c q'_c` with `q'_c = (1 - e) q_c + e / C`, as sizes.

use wgpu_loss::reference::Piece;
use wgpu_loss::{Floats, Inputs, Labels, Problem};

/// The shares of the rows of a piece.
pub struct Shares<'a> {
    problem: &'a Problem,
    inputs: &'a Inputs<'a>,
}

impl<'a> Shares<'a> {
    /// Returns the shares of a piece.
    pub fn of(piece: &Piece<'a>) -> Self {
        Self { problem: piece.problem, inputs: piece.inputs }
    }

    fn labels(&self) -> Option<Labels<'a>> {
        self.inputs.labels.map(|(labels, _)| labels)
    }

    fn probabilities(&self) -> Option<Floats<'a>> {
        self.inputs.probabilities.map(|tensor| tensor.data)
    }

    /// Returns true if every class has a share, so that a gradient is a difference.
    pub fn is_dense(&self) -> bool {
        self.inputs.probabilities.is_some() || self.problem.label_smoothing > 0.0
    }

    /// Returns the row's own weight.
    pub fn factor(&self, row: usize) -> f64 {
        self.inputs.row_weights.map_or(1.0, |all| f64::from(all.data.get(row)).abs())
    }

    /// Returns the weight of the row's label, 0 if the label is not a class; 1 without labels.
    pub fn own(&self, row: usize) -> f64 {
        match self.labels() {
            Some(_) => self.label(row).map_or(0.0, |class| self.weight(class)),
            None => 1.0,
        }
    }

    /// Returns the class of the row, if the target is labels.
    pub fn label(&self, row: usize) -> Option<usize> {
        let label = self.labels()?.get(row);
        let class = usize::try_from(label).ok().filter(|&class| class < self.problem.view.classes);
        class.filter(|_| label != i128::from(self.problem.ignore_index))
    }

    /// Returns the share of a class, without the row's own weight.
    pub fn share(&self, row: usize, class: usize, element: usize) -> f64 {
        let q = match (self.probabilities(), self.labels()) {
            (Some(all), _) => f64::from(all.get(element)).abs(),
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
        self.inputs.weight.map_or(1.0, |all| f64::from(all.get(class)).abs())
    }
}
