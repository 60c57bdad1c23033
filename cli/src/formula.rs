//! The losses, with options that can be changed.

use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, Entropy, Error, GaussianNll, KlDiv, Loss, Nll, Outputs,
    PoissonNll, Problem, Reduction, Softmax,
};

/// A loss, and those of its options that the check needs.
#[derive(Clone, Debug)]
pub enum Formula {
    /// Cross-entropy.
    CrossEntropy(CrossEntropy),
    /// Negative log-likelihood.
    Nll(Nll),
    /// Softmax or its logarithm.
    Softmax(Softmax),
    /// Entropy.
    Entropy(Entropy),
    /// Binary cross-entropy of probabilities.
    Bce(Bce),
    /// Binary cross-entropy of logits.
    BceWithLogits(BceWithLogits),
    /// The Kullback-Leibler divergence.
    KlDiv {
        /// The loss.
        loss: KlDiv,
        /// True if the target is logarithms.
        log_target: bool,
    },
    /// Negative log-likelihood under a normal distribution.
    GaussianNll {
        /// The loss.
        loss: GaussianNll,
        /// The least variance.
        eps: f32,
    },
    /// Negative log-likelihood under a Poisson distribution.
    PoissonNll {
        /// The loss.
        loss: PoissonNll,
        /// True if the input is the rate's logarithm.
        log_input: bool,
        /// True if Stirling's terms are added.
        full: bool,
        /// The number that is added to a rate.
        eps: f32,
    },
}

/// Evaluates `$body` for the loss of any variant.
macro_rules! each {
    ($formula:expr, $loss:ident => $body:expr) => {
        match $formula {
            Formula::CrossEntropy($loss) => $body,
            Formula::Nll($loss) => $body,
            Formula::Softmax($loss) => $body,
            Formula::Entropy($loss) => $body,
            Formula::Bce($loss) => $body,
            Formula::BceWithLogits($loss) => $body,
            Formula::KlDiv { loss: $loss, .. } => $body,
            Formula::GaussianNll { loss: $loss, .. } => $body,
            Formula::PoissonNll { loss: $loss, .. } => $body,
        }
    };
}

impl Formula {
    /// Returns the loss as the library takes it.
    pub fn loss(&self) -> &dyn Loss {
        each!(self, loss => loss)
    }

    /// Returns the problem of the loss over these shapes.
    ///
    /// A call on host data expands tensors that are broadcast along too many different axes, so this states the problem
    /// as if all were expanded already.
    pub fn problem(&self, shapes: &Shapes<'_>, outputs: Outputs) -> Result<Problem, Error> {
        match self.loss().problem(shapes, outputs) {
            Err(Error::Groups { .. }) => {
                let (mut written, input) = (*shapes, shapes.input);
                written.target = shapes.target.map(|(kind, _)| (kind, input));
                written.element_weight = shapes.element_weight.map(|(kind, _)| (kind, input));
                written.pos_weight = shapes.pos_weight.map(|(kind, _)| (kind, input));
                self.loss().problem(&written, outputs)
            }
            problem => problem,
        }
    }

    /// Returns the same loss with another reduction.
    pub fn reduced(&self, reduction: Reduction) -> Self {
        let mut formula = self.clone();
        match &mut formula {
            Formula::CrossEntropy(loss) => *loss = loss.clone().reduction(reduction),
            Formula::Nll(loss) => *loss = loss.clone().reduction(reduction),
            Formula::Softmax(_) => {}
            Formula::Entropy(loss) => *loss = loss.clone().reduction(reduction),
            Formula::Bce(loss) => *loss = loss.clone().reduction(reduction),
            Formula::BceWithLogits(loss) => *loss = loss.clone().reduction(reduction),
            Formula::KlDiv { loss, .. } => *loss = loss.clone().reduction(reduction),
            Formula::GaussianNll { loss, .. } => *loss = loss.clone().reduction(reduction),
            Formula::PoissonNll { loss, .. } => *loss = loss.clone().reduction(reduction),
        }
        formula
    }
}
