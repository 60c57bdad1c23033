//! The library's errors in the user's words: files instead of roles, flags instead of options.

use wgpu_loss::Error;

use crate::data::{Role, Stop};
use crate::error::Failure;
use crate::position::position;

/// The user's names of the tensors, for the library's errors.
#[derive(Debug, Default)]
pub struct Names {
    /// Each tensor's name and shape.
    pub all: Vec<(Role, String, Vec<usize>)>,
    /// True if the user gave the class axis, so that it is not the default.
    pub class_axis_given: bool,
}

impl Names {
    /// Returns the reason why work over data stopped, in the user's words.
    pub fn stopped(&self, stop: Stop) -> Failure {
        match stop {
            Stop::Library(error) => self.explain(error),
            Stop::Failure(failure) => failure,
        }
    }

    /// Returns the library's error in the user's words: files instead of roles, flags instead of
    /// options.
    pub fn explain(&self, error: Error) -> Failure {
        let (input, input_shape) = self.of(&[Role::Input]);
        let (target, target_shape) = self.of(&[Role::Target, Role::Values]);
        match error {
            Error::Shape { what, ref given, ref wanted } => {
                let (file, _) = self.of(Self::roles(what));
                // Labels that were saved as floats are taken for probabilities; the error says so.
                let hint = match what {
                    "class probabilities" => "; labels are integers",
                    _ => "",
                };
                let role = match what {
                    "class probabilities" => "floats as class probabilities",
                    what => what,
                };
                Failure::of(
                    file,
                    format_args!(
                        "{role} of shape {given:?}, but {input} of shape {input_shape:?} needs {wanted:?}{hint}"
                    ),
                )
            }
            Error::BadTargets { count, rows, first, value, classes, ignore_index } => {
                let position = position(first, target_shape);
                let range = match classes {
                    0 => "there are no classes".into(),
                    n => format!("classes are 0 to {}", n - 1),
                };
                Failure::of(
                    target,
                    format_args!(
                        "{count} of {rows} labels are out of range: the first is {value} at \
                         {position}; {range}, and ignore_index is {ignore_index}"
                    ),
                )
            }
            Error::Broadcast { what, ref given, input: ref shape } => Failure::of(
                self.of(Self::roles(what)).0,
                format_args!(
                    "{what} of shape {given:?}, which does not broadcast to that of {input}, {shape:?}"
                ),
            ),
            Error::BadValues { what, count, of, first, value, wanted } => {
                let (name, shape) = self.of(Self::roles(what));
                let position = position(first, shape);
                Failure::of(
                    name,
                    format_args!(
                        "{count} of {of} elements have values out of range: the first is {what} {value} at \
                         {position}, expected {wanted}"
                    ),
                )
            }
            Error::Option { option, given, wanted } => {
                let flag = option.replace('_', "-");
                Failure::Usage(format!("--{flag} is {given}, but {wanted}"))
            }
            Error::ClassAxis { .. } if self.class_axis_given => {
                Failure::Usage(format!("{input}: {error}"))
            }
            Error::ClassAxis { .. } => Failure::of(input, error),
            Error::Budget { .. } => {
                Failure::of(input, format_args!("{error}; see --memory-budget"))
            }
            Error::Target { .. } => Failure::of(target, error),
            error => Failure::Failed(error.to_string()),
        }
    }

    /// Returns the name and shape of the tensor in one of the roles; the input's if there is none.
    fn of(&self, roles: &[Role]) -> (&str, &[usize]) {
        let find = |roles: &[Role]| self.all.iter().find(|(other, ..)| roles.contains(other));
        match find(roles).or_else(|| find(&[Role::Input])) {
            Some((_, name, shape)) => (name, shape),
            None => ("", &[]),
        }
    }

    /// Returns the roles that the library's errors mean.
    fn roles(what: &str) -> &'static [Role] {
        match what {
            "labels" | "class probabilities" | "target" => &[Role::Target, Role::Values],
            "weight" | "element weight" => &[Role::Weight, Role::ElementWeight],
            "row weights" => &[Role::RowWeights],
            "pos_weight" => &[Role::PosWeight],
            "var" => &[Role::Var],
            "upstream gradient" => &[Role::Upstream],
            _ => &[Role::Input],
        }
    }
}
