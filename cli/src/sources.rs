//! The files of one loss, opened.

use std::path::PathBuf;

use wgpu_loss::loss::Shapes;
use wgpu_loss::{ElementType, Problem, TargetType};

use crate::compute::Device;
use crate::data::{BATCH, Data, Operand};
use crate::error::{Failure, Names};
use crate::files::{Kind, Source};

/// What the user called them.
pub struct Files {
    /// Logits or log-probabilities.
    pub input: PathBuf,
    /// Labels or class probabilities.
    pub target: Option<PathBuf>,
    /// Class weights.
    pub weight: Option<PathBuf>,
    /// The upstream gradient.
    pub upstream: Option<PathBuf>,
}

/// The opened files.
pub struct Sources {
    /// Logits or log-probabilities.
    pub input: Source,
    /// Labels or class probabilities.
    pub target: Option<Source>,
    /// Class weights.
    pub weight: Option<Source>,
    /// The upstream gradient.
    pub upstream: Option<Source>,
}

impl Sources {
    /// Opens them and says what 16-bit words are.
    pub fn open(files: &Files, words: Option<ElementType>) -> Result<Self, Failure> {
        let open = |name: &Option<PathBuf>| name.as_deref().map(Source::open).transpose();
        let mut sources = Self {
            input: Source::open(&files.input)?,
            target: open(&files.target)?,
            weight: open(&files.weight)?,
            upstream: open(&files.upstream)?,
        };
        if let Some(element_type) = words {
            sources.take_words_for(element_type)?;
        }
        sources.input.want_floats("input")?;
        match &mut sources.target {
            // Whoever has raw words for a target has to say what they are.
            Some(target) if target.kind().is_none() => drop(target.want_floats("target")?),
            _ => {}
        }
        if let Some(weight) = &sources.weight {
            weight.want_floats("weight")?;
        }
        if let Some(upstream) = &mut sources.upstream {
            upstream.want_floats("upstream gradient")?;
            upstream.as_f32();
        }
        Ok(sources)
    }

    /// The input has to be of the type, or words that may be. So may other floats; a target of words in
    /// the input's shape is class probabilities, since labels lack an axis.
    fn take_words_for(&mut self, element_type: ElementType) -> Result<(), Failure> {
        self.input.take_for(element_type)?;
        let shape = &self.input.shape;
        let target = self.target.as_mut().filter(|target| target.shape == *shape);
        for other in [target, self.weight.as_mut(), self.upstream.as_mut()].into_iter().flatten() {
            if other.element.is_raw_16() {
                other.take_for(element_type)?;
            }
        }
        Ok(())
    }

    /// Their shapes and types.
    pub fn shapes(&self) -> Shapes<'_> {
        let float_type = |source: &Source| match source.kind() {
            Some(Kind::Floats(element_type)) => element_type,
            _ => ElementType::F32,
        };
        let mut shapes = Shapes::new(&self.input.shape).input_type(float_type(&self.input));
        if let Some(target) = &self.target {
            let kind = match target.kind() {
                Some(Kind::Labels(label_type)) => TargetType::Labels(label_type),
                _ => TargetType::Probabilities(float_type(target)),
            };
            shapes = shapes.target(kind, &target.shape);
        }
        // Weights of another rank are refused once the number of classes is known.
        if let Some(weight) = self.weight.as_ref().filter(|weight| weight.shape.len() == 1) {
            shapes = shapes.weight(weight.count()).weight_type(float_type(weight));
        }
        if let Some(upstream) = &self.upstream {
            shapes = shapes.upstream(&upstream.shape);
        }
        shapes
    }

    /// What errors call them.
    pub fn names(&self, files: &Files, class_axis_given: bool) -> Names {
        Names {
            input: files.input.clone(),
            target: files.target.clone(),
            weight: files.weight.clone(),
            upstream: files.upstream.clone(),
            input_shape: self.input.shape.clone(),
            target_shape: self.target.as_ref().map_or_else(Vec::new, |t| t.shape.clone()),
            class_axis_given,
        }
    }

    /// Makes the elements readable. A large tensor that has to be converted is so by batches, as it is
    /// read, or on a GPU, where batches are steps of the first axis that are too long or the classes
    /// themselves, as a whole.
    pub fn prepare(&mut self, device: &Device, problem: &Problem) -> Result<(), Failure> {
        let step =
            self.input.stored_bytes() / problem.input_shape.first().map_or(1, |&n| n as u64).max(1);
        let in_batches = match device {
            Device::Gpu(_) => problem.class_axis > 0 && step <= BATCH as u64,
            Device::Cpu => true,
        };
        let (weight, upstream) = (self.weight.as_mut(), self.upstream.as_mut());
        let all = [Some(&mut self.input), self.target.as_mut(), weight, upstream];
        all.into_iter().flatten().try_for_each(|source| {
            match in_batches && source.stored_bytes() > BATCH as u64 {
                true => source.inflate(),
                false => source.settle(),
            }
        })
    }

    /// Any range of them.
    pub fn data(&self) -> Data<'_> {
        Data {
            input: Operand::File(&self.input),
            target: self.target.as_ref().map(Operand::File),
            weight: self.weight.as_ref().map(Operand::File),
            upstream: self.upstream.as_ref().map(Operand::File),
        }
    }

    /// How a person would call the target.
    pub fn target_name(&self) -> Option<String> {
        let target = self.target.as_ref()?;
        let kind = match target.kind() {
            Some(Kind::Labels(_)) => "labels",
            _ => "class probabilities",
        };
        Some(format!("{} {kind}", target.element.name()))
    }
}
