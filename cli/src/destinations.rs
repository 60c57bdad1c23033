//! The results that are saved, and their files.

use std::path::PathBuf;

use wgpu_loss::{LargeOutput, Problem};

use crate::computed::Computed;
use crate::data::{Data, Role};
use crate::error::Failure;
use crate::files::{Destination, Element, Unfinished, finish};
use crate::question::{has_loss, is_unreduced};
use crate::sinks::Sinks;

/// A result that can be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The loss, reduced or not.
    Loss,
    /// An output with a number for each row or each element.
    Large(LargeOutput),
    /// A picture of an image's losses.
    Heatmap,
}

impl Output {
    /// Returns its name in errors.
    pub fn name(self) -> &'static str {
        match self {
            Output::Loss => "the loss",
            Output::Large(what) => what.name(),
            Output::Heatmap => "a heatmap",
        }
    }
}

/// Returns a large output's element type and shape.
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
pub fn named(save: &[(Output, PathBuf)]) -> Result<Vec<(Output, Destination)>, Failure> {
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

/// Returns the place of each large result: its file, or temporary storage if it is compared, reported or shown. The
/// losses of rows may be wanted in addition to a reduced loss.
pub fn sinks(
    problem: &Problem,
    data: &Data<'_>,
    destinations: &[(Output, Destination)],
    check: bool,
    rows: bool,
) -> Result<Sinks, Failure> {
    let mut results = Sinks::default();
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

/// Gives the saved files their names. A reduced loss and a heatmap are written only now.
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
