//! What is saved, and where.

use std::path::PathBuf;

use wgpu_loss::{LargeOutput, Problem};

use crate::computed::Computed;
use crate::data::{Data, Role};
use crate::error::Failure;
use crate::files::{Destination, Element, Unfinished, finish};
use crate::question::{has_loss, is_unreduced};
use crate::results::Results;

/// What can be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The loss, reduced or not.
    Loss,
    /// What there is for each row or each element.
    Large(LargeOutput),
    /// A picture of an image's losses.
    Heatmap,
}

/// How a large output is stored, and its shape.
fn stored<'a>(
    problem: &'a Problem,
    data: &'a Data<'_>,
    what: LargeOutput,
) -> (Element, &'a [usize]) {
    let shape_of = |role| data.get(role).map_or(&[][..], |given| given.shape);
    let shape = match what {
        LargeOutput::Grad | LargeOutput::Distribution => &problem.input_shape,
        LargeOutput::TargetGrad => shape_of(Role::Values),
        LargeOutput::VarGrad => shape_of(Role::Var),
        _ => &problem.row_shape,
    };
    (problem.float_type_of(what).map_or(Element::WORD, Element::from), shape)
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
    data: &Data<'_>,
    destinations: &[(Output, Destination)],
    check: bool,
    rows: bool,
) -> Result<Results, Failure> {
    let mut results = Results::default();
    let unreduced = is_unreduced(problem);
    for (output, file) in destinations {
        let what = match output {
            Output::Loss if unreduced => LargeOutput::RowLoss,
            Output::Loss | Output::Heatmap => continue,
            Output::Large(what) => *what,
        };
        let (element, shape) = stored(problem, data, what);
        results.save(what, element, file, shape)?;
    }
    let mut kept = Vec::new();
    if rows || unreduced {
        kept.push(LargeOutput::RowLoss);
        if problem.z_loss != 0.0 {
            kept.push(LargeOutput::ZLoss);
        }
    }
    if !has_loss(problem) && check {
        kept.push(LargeOutput::Distribution);
    }
    for what in kept {
        let (element, shape) = stored(problem, data, what);
        results.keep(what, element, shape.iter().product())?;
    }
    Ok(results)
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
                let mut array = file.array(Element::F32, &[])?;
                array.write(0, &loss.to_le_bytes())?;
                files.push(array);
            }
            (Output::Heatmap, _, Some(png)) => files.push(file.bytes(png)?),
            _ => {}
        }
    }
    finish(files)
}
