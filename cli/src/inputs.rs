//! The files of one loss, opened.

use std::path::PathBuf;

use wgpu_loss::loss::Shapes;
use wgpu_loss::{ElementType, Floats, Problem, TargetType};

use crate::args::Tensor;
use crate::data::{BATCH, Data, Given, Operand, Role};
use crate::error::Failure;
use crate::files::{Kind, Source};
use crate::names::Names;

/// The user's names of the tensors. The input is the first of them.
#[derive(Clone, Debug, Default)]
pub struct InputPaths(Vec<(Role, Tensor)>);

impl InputPaths {
    /// Begins with the input.
    pub fn new(input: PathBuf) -> Self {
        Self(vec![(Role::Input, Tensor::File(input))])
    }

    /// Returns the tensors.
    pub fn all(&self) -> &[(Role, Tensor)] {
        &self.0
    }

    /// Adds all tensors of another list.
    pub fn and(mut self, others: &Self) -> Self {
        self.0.extend(others.0.iter().cloned());
        self
    }

    /// Adds a file in another role, if there is one.
    pub fn with(self, role: Role, file: Option<PathBuf>) -> Self {
        self.with_tensor(role, file.map(Tensor::File))
    }

    /// Adds a file or a number in another role, if there is one.
    pub fn with_tensor(mut self, role: Role, tensor: Option<Tensor>) -> Self {
        self.0.extend(tensor.map(|tensor| (role, tensor)));
        self
    }
}

/// The opened files.
pub struct InputFiles {
    files: Vec<(Role, Source)>,
    numbers: Vec<(Role, [f32; 1])>,
}

impl InputFiles {
    /// Opens the files, and gives 16-bit words a type.
    pub fn open(files: &InputPaths, words: Option<ElementType>) -> Result<Self, Failure> {
        let mut sources = Self { files: Vec::new(), numbers: Vec::new() };
        for (role, tensor) in &files.0 {
            match tensor {
                Tensor::File(file) => sources.files.push((*role, Source::open(file)?)),
                Tensor::Number(number) => sources.numbers.push((*role, [*number])),
            }
        }
        if let Some(element_type) = words {
            sources.take_words_for(element_type)?;
        }
        for (role, source) in &mut sources.files {
            match role {
                Role::RowWeights => source.as_f32(),
                // Masks and counts may be integers or bools.
                Role::Values | Role::ElementWeight | Role::PosWeight | Role::Var
                    if source.element.float_type().is_none() =>
                {
                    source.as_f32();
                }
                _ => {}
            }
            match role {
                // Integers are labels. For raw words as a target the user has to give the type.
                Role::Target if source.kind().is_some() => {}
                role => drop(source.want_floats(role.name())?),
            }
        }
        Ok(sources)
    }

    /// Gives the input a 16-bit type; it must have this type already, or be words. Other words are taken for floats of
    /// the type too; a target of words in the input's shape is class probabilities, since labels lack an axis.
    fn take_words_for(&mut self, element_type: ElementType) -> Result<(), Failure> {
        let mut shape = Vec::new();
        for (role, source) in &mut self.files {
            match role {
                Role::Input => {
                    source.take_for(element_type)?;
                    shape.clone_from(&source.shape);
                }
                Role::Target if source.shape != shape => {}
                _ if source.element.is_raw_16() => source.take_for(element_type)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the file in a role.
    pub fn get(&self, role: Role) -> Option<&Source> {
        self.files.iter().find(|(other, _)| *other == role).map(|(_, source)| source)
    }

    /// Returns the file of the input.
    pub fn input(&self) -> &Source {
        // The first one always exists.
        &self.files[0].1
    }

    /// Reads floats in a role as f32, whatever their type.
    pub fn as_f32(&mut self, role: Role) {
        let those = self.files.iter_mut().filter(|(other, _)| *other == role);
        those.for_each(|(_, source)| source.as_f32());
    }

    /// Returns the shapes and types of all files.
    pub fn shapes(&self) -> Shapes<'_> {
        let mut shapes = Shapes::new(&self.input().shape);
        for (role, source) in &self.files {
            let (shape, element_type) = (&source.shape[..], source.float_type());
            shapes = match (role, source.kind()) {
                (Role::Input, _) => shapes.input_type(element_type),
                (Role::Target, Some(Kind::Labels(label_type))) => {
                    shapes.target(TargetType::Labels(label_type), shape)
                }
                (Role::Target, _) => shapes.target(TargetType::Probabilities(element_type), shape),
                (Role::Values, _) => shapes.target(TargetType::Values(element_type), shape),
                // Weights of another rank are refused once the number of classes is known.
                (Role::Weight, _) if shape.len() != 1 => shapes,
                (Role::Weight, _) => shapes.weight(source.count()).weight_type(element_type),
                (Role::RowWeights, _) => shapes.row_weights(shape),
                (Role::ElementWeight, _) => shapes.element_weight(element_type, shape),
                (Role::PosWeight, _) => shapes.pos_weight(element_type, shape),
                (Role::Var, _) => shapes.var(element_type, shape),
                (Role::Upstream, _) => shapes.upstream(shape).upstream_type(element_type),
            };
        }
        for (role, _) in &self.numbers {
            shapes = match role {
                Role::Var => shapes.var(ElementType::F32, &[]),
                _ => shapes.pos_weight(ElementType::F32, &[]),
            };
        }
        shapes
    }

    /// Returns the names for errors.
    pub fn names(&self, class_axis_given: bool) -> Names {
        let named = |(role, source): &(Role, Source)| {
            (*role, source.name.display().to_string(), source.shape.clone())
        };
        let numbers = self.numbers.iter().map(|(role, [number])| {
            (*role, format!("--{} {number}", role.name().replace('_', "-")), Vec::new())
        });
        Names { all: self.files.iter().map(named).chain(numbers).collect(), class_axis_given }
    }

    /// Makes the elements readable. A large tensor that has to be converted is converted in batches, as it is read; if
    /// batches are steps of the first axis that are too long, or if that axis has the classes, or if tensors are
    /// broadcast, it is converted as a whole.
    pub fn prepare(&mut self, problem: &Problem) -> Result<(), Failure> {
        let steps = problem.input_shape.first().map_or(1, |&n| n as u64).max(1);
        let step = self.input().stored_bytes() / steps;
        let batches = problem.class_axis > 0 && problem.pointwise.is_none();
        let in_batches = batches && step <= BATCH as u64;
        self.files.iter_mut().try_for_each(|(_, source)| {
            match in_batches && source.stored_bytes() > BATCH as u64 {
                true => source.inflate(),
                false => source.settle(),
            }
        })
    }

    /// Refuses files that are damaged. To be called when they have been read.
    pub fn verify(&self) -> Result<(), Failure> {
        self.files.iter().try_for_each(|(_, source)| source.verify())
    }

    /// Returns the tensors, of which any range can be read.
    pub fn data(&self) -> Data<'_> {
        let files = self.files.iter().map(|(role, source)| Given {
            role: *role,
            operand: Operand::File(source),
            shape: &source.shape,
        });
        let numbers = self.numbers.iter().map(|(role, number)| {
            let operand = Operand::Floats(Floats::F32(number));
            Given { role: *role, operand, shape: &[] }
        });
        Data::new(files.chain(numbers))
    }

    /// Returns a description of the target for a person.
    pub fn target_name(&self) -> Option<String> {
        let of =
            |role, kind| self.get(role).map(|source| format!("{} {kind}", source.element.name()));
        let labels = self.get(Role::Target).and_then(Source::kind);
        match labels {
            Some(Kind::Labels(_)) => of(Role::Target, "labels"),
            Some(Kind::Floats(_)) => of(Role::Target, "class probabilities"),
            None => of(Role::Values, "targets"),
        }
    }
}
