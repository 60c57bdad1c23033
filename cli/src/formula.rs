//! The losses there are, with options that can be changed.

use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, Entropy, Error, GaussianNll, KlDiv, Loss, Nll, Outputs,
    PoissonNll, Problem, Reduction, Softmax,
};

/// A loss, and what of its options the check needs to know.
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
        /// The target is logarithms.
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
        /// The input is the rate's logarithm.
        log_input: bool,
        /// With Stirling's terms.
        full: bool,
        /// What is added to a rate.
        eps: f32,
    },
}

/// Runs `$body` for the loss that it is, whatever it is.
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
    /// As the library takes it.
    pub fn loss(&self) -> &dyn Loss {
        each!(self, loss => loss)
    }

    /// The loss over these shapes.
    ///
    /// A call on host data writes tensors out that are broadcast along too many different axes, so here the
    /// problem is stated as if all were written out already.
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

    /// The same loss, reduced in another way.
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
