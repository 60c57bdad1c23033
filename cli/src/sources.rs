//! The files of one loss, opened.

use std::path::PathBuf;

use wgpu_loss::loss::Shapes;
use wgpu_loss::{ElementType, Problem, TargetType};

use crate::compute::Device;
use crate::data::{BATCH, Data, Given, Operand, Role};
use crate::error::{Failure, Names};
use crate::files::{Kind, Source};

/// What the user called them. The input is among them.
pub struct Files(Vec<(Role, PathBuf)>);

impl Files {
    /// An input alone.
    pub fn new(input: PathBuf) -> Self {
        Self(vec![(Role::Input, input)])
    }

    /// And a file in another role, if there is one.
    pub fn with(mut self, role: Role, file: Option<PathBuf>) -> Self {
        self.0.extend(file.map(|file| (role, file)));
        self
    }

    /// The input's name.
    pub fn input(&self) -> String {
        self.0.first().map(|(_, file)| file.display().to_string()).unwrap_or_default()
    }
}

/// The opened files.
pub struct Sources(Vec<(Role, Source)>);

impl Sources {
    /// Opens them and says what 16-bit words are.
    pub fn open(files: &Files, words: Option<ElementType>) -> Result<Self, Failure> {
        let opened = files.0.iter().map(|(role, file)| Ok((*role, Source::open(file)?)));
        let mut sources = Self(opened.collect::<Result<_, Failure>>()?);
        if let Some(element_type) = words {
            sources.take_words_for(element_type)?;
        }
        for (role, source) in &mut sources.0 {
            match role {
                // Integers are labels. Whoever has raw words for a target has to say what they are.
                Role::Target if source.kind().is_some() => {}
                role => drop(source.want_floats(role.name())?),
            }
        }
        Ok(sources)
    }

    /// The input has to be of the type, or words that may be. So may other floats; a target of words in
    /// the input's shape is class probabilities, since labels lack an axis.
    fn take_words_for(&mut self, element_type: ElementType) -> Result<(), Failure> {
        let mut shape = Vec::new();
        for (role, source) in &mut self.0 {
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

    /// The file in a role.
    pub fn get(&self, role: Role) -> Option<&Source> {
        self.0.iter().find(|(other, _)| *other == role).map(|(_, source)| source)
    }

    /// The file of the input.
    pub fn input(&self) -> &Source {
        // It is the first one, and always there.
        &self.0[0].1
    }

    /// Has floats in a role read as f32, whatever they are.
    pub fn as_f32(&mut self, role: Role) {
        self.0
            .iter_mut()
            .filter(|(other, _)| *other == role)
            .for_each(|(_, source)| source.as_f32());
    }

    /// Their shapes and types.
    pub fn shapes(&self) -> Shapes<'_> {
        let float_type = |source: &Source| match source.kind() {
            Some(Kind::Floats(element_type)) => element_type,
            _ => ElementType::F32,
        };
        let mut shapes = Shapes::new(&self.input().shape);
        for (role, source) in &self.0 {
            let (shape, element_type) = (&source.shape[..], float_type(source));
            shapes = match role {
                Role::Input => shapes.input_type(element_type),
                Role::Target => match source.kind() {
                    Some(Kind::Labels(label_type)) => {
                        shapes.target(TargetType::Labels(label_type), shape)
                    }
                    _ => shapes.target(TargetType::Probabilities(element_type), shape),
                },
                // Weights of another rank are refused once the number of classes is known.
                Role::Weight if shape.len() != 1 => shapes,
                Role::Weight => shapes.weight(source.count()).weight_type(element_type),
                Role::RowWeights => shapes.row_weights(shape),
                Role::Upstream => shapes.upstream(shape).upstream_type(element_type),
            };
        }
        shapes
    }

    /// What errors call them.
    pub fn names(&self, class_axis_given: bool) -> Names {
        let named =
            |(role, source): &(Role, Source)| (*role, source.name.clone(), source.shape.clone());
        Names { files: self.0.iter().map(named).collect(), class_axis_given }
    }

    /// Makes the elements readable. A large tensor that has to be converted is so by batches, as it is
    /// read, or on a GPU, where batches are steps of the first axis that are too long or the classes
    /// themselves, as a whole.
    pub fn prepare(&mut self, device: &Device, problem: &Problem) -> Result<(), Failure> {
        let steps = problem.input_shape.first().map_or(1, |&n| n as u64).max(1);
        let step = self.input().stored_bytes() / steps;
        let in_batches = match device {
            Device::Gpu(_) => problem.class_axis > 0 && step <= BATCH as u64,
            Device::Cpu => true,
        };
        self.0.iter_mut().try_for_each(|(_, source)| {
            match in_batches && source.stored_bytes() > BATCH as u64 {
                true => source.inflate(),
                false => source.settle(),
            }
        })
    }

    /// Any range of them.
    pub fn data(&self) -> Data<'_> {
        Data::new(self.0.iter().map(|(role, source)| Given {
            role: *role,
            operand: Operand::File(source),
            shape: &source.shape,
        }))
    }

    /// How a person would call the target.
    pub fn target_name(&self) -> Option<String> {
        let target = self.get(Role::Target)?;
        let kind = match target.kind() {
            Some(Kind::Labels(_)) => "labels",
            _ => "class probabilities",
        };
        Some(format!("{} {kind}", target.element.name()))
    }
}
