//! The shards of a job: the lines of a list, pairs of files, or runs of rows of one file.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};

use crate::args::{Tensor, values};
use crate::data::Role;
use crate::error::Failure;
use crate::inputs::InputPaths;
use crate::run::{Job, Named};

/// Returns the files of each shard, or of the one file that is cut.
pub fn file_sets(job: &Job) -> Result<Vec<InputPaths>, Failure> {
    let sets = match &job.files.shards.list {
        Some(list) => listed(list, &job.files)?,
        None => job.files.sets()?,
    };
    let mut seen = HashSet::new();
    for files in &sets {
        if !seen.insert(format!("{:?}", files.all())) {
            let name = input_of(files).display().to_string();
            return Err(Failure::Usage(format!("{name} is there twice, with the same target")));
        }
        let given =
            |(role, _): &&(Role, Tensor)| job.operands.all().iter().any(|(other, _)| other == role);
        if let Some((role, _)) = files.all().iter().find(given) {
            let role = role.name();
            return Err(Failure::Usage(format!(
                "the list has a column for {role}, which an option gives too"
            )));
        }
    }
    Ok(sets.into_iter().map(|files| files.and(&job.operands)).collect())
}

/// Reads a list of shards.
fn listed(list: &Path, named: &Named) -> Result<Vec<InputPaths>, Failure> {
    let fault = |what: String| Failure::of(list.display(), what);
    let mut lines = ReaderBuilder::new()
        .delimiter(b'\t')
        .quoting(false)
        .comment(Some(b'#'))
        .from_path(list)
        .map_err(|error| fault(reason(&error)))?;
    let header = lines.headers().map_err(|error| fault(reason(&error)))?.clone();
    let roles = roles(&header, named.target).map_err(fault)?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut sets = Vec::new();
    for line in lines.records() {
        let line = line.map_err(|error| fault(reason(&error)))?;
        let at = line.position().map_or(0, csv::Position::line);
        let mut files = InputPaths::default();
        for (&role, text) in roles.iter().zip(&line) {
            let file = |name: &str| Tensor::File(folder.join(name));
            let tensor = match role {
                _ if text.is_empty()
                    && matches!(role, Role::Input | Role::Target | Role::Values) =>
                {
                    let what = role.name();
                    return Err(fault(format!("line {at} has no {what}")));
                }
                _ if text.is_empty() => None,
                Role::Var | Role::PosWeight => match values::tensor(text) {
                    Ok(Tensor::File(name)) => Some(Tensor::File(folder.join(name))),
                    Ok(number) => Some(number),
                    Err(wrong) => return Err(fault(format!("line {at}: {wrong}"))),
                },
                _ => Some(file(text)),
            };
            files = files.with_tensor(role, tensor);
        }
        sets.push(files);
    }
    match sets.is_empty() {
        true => Err(fault("has no shards below its header".into())),
        false => Ok(sets),
    }
}

/// Returns the roles of a list's columns. The input is the first of them.
fn roles(header: &StringRecord, target: Option<Role>) -> Result<Vec<Role>, String> {
    let known = |name: &str| match name {
        "input" => Some(Role::Input),
        "target" => target,
        "row-weights" => Some(Role::RowWeights),
        "weight" if target == Some(Role::Values) => Some(Role::ElementWeight),
        "weight" => Some(Role::Weight),
        "pos-weight" => Some(Role::PosWeight),
        "var" => Some(Role::Var),
        _ => None,
    };
    let mut roles = Vec::new();
    for name in header {
        match known(name.trim()) {
            Some(role) if roles.contains(&role) => return Err(format!("has two columns {name:?}")),
            Some(role) => roles.push(role),
            None => {
                return Err(format!(
                    "has a column {name:?}: the first line names the columns, such as input, target, row-weights"
                ));
            }
        }
    }
    let missing =
        [Some(Role::Input), target].into_iter().flatten().find(|role| !roles.contains(role));
    match missing {
        Some(role) => Err(format!("has no column {:?} in its first line", role.name())),
        None if roles[0] != Role::Input => Err("has another first column than \"input\"".into()),
        None => Ok(roles),
    }
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => crate::files::reason(error),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} columns, and the first line has {expected_len}")
        }
        _ => error.to_string(),
    }
}

/// Returns the runs into which the first axis of one file is cut: they do not depend on who computes which.
pub fn runs(extent: usize, steps: usize) -> Vec<Range<usize>> {
    // At least one, so that a file without rows has a report.
    (0..extent.max(1)).step_by(steps).map(|start| start..extent.min(start + steps)).collect()
}

/// Returns a shard's name for a person: its input's, without the folder that all have.
pub fn names(sets: &[InputPaths]) -> Vec<String> {
    let inputs: Vec<&Path> = sets.iter().map(input_of).collect();
    let folders = || inputs.iter().map(|input| input.parent().unwrap_or(Path::new("")));
    let shared = folders().next().filter(|first| folders().all(|folder| folder == *first));
    let shown = |input: &&Path| match (shared, input.file_name()) {
        (Some(_), Some(name)) => Path::new(name).display().to_string(),
        _ => input.display().to_string(),
    };
    inputs.iter().map(shown).collect()
}

fn input_of(files: &InputPaths) -> &Path {
    let input = files.all().iter().find_map(|(role, tensor)| match tensor {
        Tensor::File(file) if *role == Role::Input => Some(file.as_path()),
        _ => None,
    });
    input.unwrap_or(Path::new(""))
}

/// Returns the files of a set, with their roles.
pub fn files_of(files: &InputPaths) -> impl Iterator<Item = (Role, &PathBuf)> {
    files.all().iter().filter_map(|(role, tensor)| match tensor {
        Tensor::File(file) => Some((*role, file)),
        Tensor::Number(_) => None,
    })
}
