//! The losses on the CPU in f64: the oracle of the tests, and the fallback without a GPU.
//!
//! Needs the feature `reference`.
//!
//! [`run`] takes the same losses and inputs as the GPU and returns the same [`Output`], in f64. Each function has one
//! file here with its formula. All of them use the state of a set of classes,
//!
//! ```text
//! max        = max x
//! sum_exp_m1 = sum exp(x - max), over all classes but one at the maximum
//! ```
//!
//! from which every loss is a sum of nonnegative terms, `(max - x_t) + log(1 + sum_exp_m1)`, exact to about 1e-15 of
//! itself even if it is 1e-13. If logits are scaled or capped first, the same holds for the distances between the
//! mapped logits.
//!
//! [`run`] takes and returns whole tensors. Data of any size can be computed in pieces, so that memory stays bounded:
//! [`run_into`] and [`stream()`] pass large outputs to a [`Sink`](crate::stream::Sink) as a GPU does, [`run_pieces`]
//! and [`Stream::push_pieces`] pass them on in f64. [`Cpu`] is the reference as a [`Device`](crate::stream::Device),
//! for a choice at run time between it and a `Gpu`.
//!
//! rayon spreads rows over the threads, in chunks that depend on the shape alone; the chunks' sums are added in order,
//! so a result has the same bits every time. No data is kept per row unless the gradient, the distribution or unreduced
//! losses need it.

mod cpu;
mod cross_entropy;
mod entropy;
mod from_states;
mod logits;
mod nll;
mod piece;
mod pieces;
mod pointwise;
mod row_states;
mod rows;
mod scale;
mod shares;
mod softmax;
mod state;
mod stream;
mod sum;
mod sums;
mod walk;
mod weights;

pub use cpu::Cpu;
pub use piece::Piece;
pub(crate) use scale::gradient_scale;
pub use stream::{Stream, run_into, run_pieces, stream};
pub(crate) use sums::Sums;
pub use weights::weight_in_divisor;
pub(crate) use weights::weight_sums;

use self::scale::Scale;
use crate::broadcast::stated;
use crate::loss::Function;
use crate::stream::Call;
use crate::{Error, Inputs, Loss, Output, Outputs, Problem};

/// Computes a loss in f64.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Reduction, Tensor, reference};
///
/// let logits = [3.5, -3.45, 0.23, 1.25, -2.14, 0.54, 2.67, -5.23];
/// let inputs = Inputs::new(Tensor::new(&logits, &[2, 4])).labels(&[0u8, 2], &[2]);
/// let loss = CrossEntropy::new().reduction(Reduction::None);
/// let output = reference::run(&loss, &inputs, Outputs::loss())?;
/// assert!((output.loss[0] - 0.13484927).abs() < 1e-7);
/// assert!((output.loss[1] - 0.11987498).abs() < 1e-7);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
///
/// # Errors
/// Shapes, lengths and options that do not fit, and [`Error::BadTargets`] for labels that are neither a class nor
/// `ignore_index`.
pub fn run(
    loss: &(impl Loss + ?Sized),
    inputs: &Inputs<'_>,
    outputs: Outputs,
) -> Result<Output<f64>, Error> {
    let mut room = None;
    let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
    inputs.check()?;
    let call = Call::new(problem, &inputs)?;
    let mut output = compute(&call.problem, &inputs, call.scale)?;
    call.set_weight(&mut output.summary);
    output.summary.check(&call.problem)?;
    Ok(output)
}

/// Computes a loss whose gradient is multiplied by `scale`, unless each row has an upstream gradient of its own. Rows
/// with bad labels or values are NaN and counted.
fn compute(problem: &Problem, inputs: &Inputs<'_>, scale: f64) -> Result<Output<f64>, Error> {
    let scale = Scale::new(problem, inputs, scale);
    match problem.function {
        _ if problem.outputs.states => row_states::run(problem, inputs),
        _ if problem.states.is_some() => from_states::run(problem, inputs, &scale),
        Function::CrossEntropy => cross_entropy::run(problem, inputs, &scale),
        Function::Nll => nll::run(problem, inputs, &scale),
        Function::Softmax => softmax::run(problem, inputs),
        Function::Entropy => entropy::run(problem, inputs, &scale),
        Function::Bce
        | Function::BceWithLogits
        | Function::KlDiv
        | Function::GaussianNll
        | Function::PoissonNll => pointwise::run(problem, inputs, &scale),
    }
}
