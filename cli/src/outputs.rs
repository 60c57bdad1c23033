//! What is saved, and where.

use std::path::PathBuf;

use wgpu_loss::{ElementType, Problem, Reduction};

use crate::check::Given;
use crate::compute::Computed;
use crate::error::Failure;
use crate::files::{Destination, Unfinished, finish};
use crate::results::{Complete, Results, What};

/// What can be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The loss.
    Loss,
    /// The gradient with respect to the input.
    Grad,
    /// The log-probabilities beside a cross-entropy.
    LogProbs,
    /// The result of a softmax or log-softmax.
    Distribution,
    /// A picture of an image's losses.
    Heatmap,
}

/// Probes the files to be saved to.
pub fn destinations(save: &[(Output, PathBuf)]) -> Result<Vec<(Output, Destination)>, Failure> {
    let mut destinations: Vec<(Output, Destination)> = Vec::new();
    for (what, name) in save {
        let destination = match what {
            Output::Heatmap => Destination::heatmap(name)?,
            _ => Destination::new(name)?,
        };
        if destinations.iter().any(|(_, other)| other.same_file(&destination)) {
            let problem = "two results cannot be saved to one file";
            return Err(Failure::Usage(format!("{}: {problem}", name.display())));
        }
        destinations.push((*what, destination));
    }
    Ok(destinations)
}

/// Where results go: to their files, or for a while to where they can be compared, reported and looked
/// at. The losses of rows can be wanted beside a reduced loss.
pub fn places(
    problem: &Problem,
    destinations: &[(Output, Destination)],
    check: bool,
    rows: bool,
) -> Result<Results, Failure> {
    let mut results = Results::new(problem.output_type);
    for (output, file) in destinations {
        match output {
            Output::Loss if problem.reduction == Reduction::None => {
                results.save(What::RowLoss, file, problem.loss_shape())?;
            }
            Output::Loss | Output::Heatmap => {}
            Output::Grad => results.save(What::Grad, file, &problem.input_shape)?,
            Output::LogProbs | Output::Distribution => {
                results.save(What::Distribution, file, &problem.input_shape)?;
            }
        }
    }
    if rows || problem.target.is_some() && problem.reduction == Reduction::None {
        results.keep(What::RowLoss, problem.view.rows())?;
    }
    if problem.target.is_none() && check {
        results.keep(What::Distribution, problem.view.elements())?;
    }
    Ok(results)
}

/// What was computed, to be compared.
pub fn given<'a>(computed: &Computed, complete: &'a Complete) -> Given<'a> {
    Given {
        loss: computed.loss,
        summary: computed.summary,
        row_loss: complete.floats(What::RowLoss),
        grad: complete.floats(What::Grad),
        distribution: complete.floats(What::Distribution),
    }
}

/// Gives the results their names. A reduced loss and a heatmap are written only now.
pub fn save(
    mut files: Vec<Unfinished>,
    destinations: &[(Output, Destination)],
    computed: &Computed,
    heatmap: Option<&[u8]>,
) -> Result<(), Failure> {
    for (output, file) in destinations {
        match (output, computed.loss, heatmap) {
            (Output::Loss, Some(loss), _) => {
                let mut array = file.array(ElementType::F32, &[])?;
                array.write(0, &loss.to_le_bytes())?;
                files.push(array);
            }
            (Output::Heatmap, _, Some(png)) => files.push(file.bytes(png)?),
            _ => {}
        }
    }
    finish(files)
}
