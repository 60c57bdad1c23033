//! One loss over named files: open, check the shapes, read, compute, check the result, save, report.
//!
//! Whatever can fail early does: destinations are probed and shapes compared before elements are
//! read, and the device is opened before that too. Nothing is saved unless all went well.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    CrossEntropy, ElementType, Error, Inputs, Loss, Nll, Outputs, Reduction, Softmax, TargetType,
    Tensor,
};

use crate::args::{CrossEntropyArgs, LossArgs, NllArgs, RunArgs, SoftmaxArgs};
use crate::check;
use crate::compute::{Computed, Device};
use crate::error::{Failure, Names, say};
use crate::files::{self, Destination, Element, OwnedLabels, Source};
use crate::report::{self, Report};

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
}

/// What was asked for, whatever the loss.
pub struct Job {
    command: &'static str,
    loss: Box<dyn Loss>,
    /// `None` for the softmaxes, which have no loss to reduce.
    reduction: Option<Reduction>,
    input: PathBuf,
    target: Option<PathBuf>,
    weight: Option<PathBuf>,
    upstream: Option<PathBuf>,
    outputs: Outputs,
    save: Vec<(Output, PathBuf)>,
    run: RunArgs,
}

impl From<CrossEntropyArgs> for Job {
    fn from(args: CrossEntropyArgs) -> Self {
        let mut loss = CrossEntropy::new()
            .label_smoothing(args.label_smoothing)
            .reduction(args.loss.reduction.into())
            .empty_mean(args.loss.empty_mean.into());
        if let Some(axis) = args.run.class_axis {
            loss = loss.class_axis(axis);
        }
        if let Some(label) = args.loss.ignore_index {
            loss = loss.ignore_index(label);
        }
        let mut job = Self::with_target(
            "cross-entropy",
            Box::new(loss),
            args.input,
            args.target,
            args.loss,
            args.run,
        );
        if let Some(file) = args.save_log_probs {
            job.outputs = job.outputs.with_log_probs();
            job.save.push((Output::LogProbs, file));
        }
        job
    }
}

impl From<NllArgs> for Job {
    fn from(args: NllArgs) -> Self {
        let mut loss = Nll::new()
            .reduction(args.loss.reduction.into())
            .empty_mean(args.loss.empty_mean.into());
        if let Some(axis) = args.run.class_axis {
            loss = loss.class_axis(axis);
        }
        if let Some(label) = args.loss.ignore_index {
            loss = loss.ignore_index(label);
        }
        Self::with_target("nll", Box::new(loss), args.input, args.target, args.loss, args.run)
    }
}

impl Job {
    /// `softmax` or `log-softmax`.
    pub fn softmax(command: &'static str, args: SoftmaxArgs) -> Self {
        let loss = if command == "softmax" { Softmax::probs() } else { Softmax::log_probs() };
        let axis = args.run.class_axis.unwrap_or(-1);
        Self {
            command,
            loss: Box::new(loss.axis(axis)),
            reduction: None,
            input: args.input,
            target: None,
            weight: None,
            upstream: None,
            outputs: Outputs::loss(),
            save: args.save_output.map(|file| (Output::Distribution, file)).into_iter().collect(),
            run: args.run,
        }
    }

    fn with_target(
        command: &'static str,
        loss: Box<dyn Loss>,
        input: PathBuf,
        target: PathBuf,
        args: LossArgs,
        run: RunArgs,
    ) -> Self {
        let mut outputs = Outputs::loss();
        let mut save = Vec::new();
        save.extend(args.save_loss.map(|file| (Output::Loss, file)));
        if let Some(file) = args.save_grad {
            outputs = outputs.with_grad();
            save.push((Output::Grad, file));
        }
        Self {
            command,
            loss,
            reduction: Some(args.reduction.into()),
            input,
            target: Some(target),
            weight: args.weight,
            upstream: args.upstream,
            outputs,
            save,
            run,
        }
    }
}

/// The opened files.
struct Sources {
    input: Source,
    target: Option<Source>,
    weight: Option<Source>,
    upstream: Option<Source>,
}

impl Sources {
    fn open(job: &Job) -> Result<Self, Failure> {
        let open = |name: &Option<PathBuf>| name.as_deref().map(Source::open).transpose();
        let sources = Self {
            input: Source::open(&job.input)?,
            target: open(&job.target)?,
            weight: open(&job.weight)?,
            upstream: open(&job.upstream)?,
        };
        sources.input.want_floats("input")?;
        if let Some(weight) = &sources.weight {
            weight.want_floats("weight")?;
        }
        if let Some(upstream) = &sources.upstream {
            upstream.want_floats("upstream gradient")?;
        }
        Ok(sources)
    }

    fn shapes(&self) -> Shapes<'_> {
        let mut shapes = Shapes::new(&self.input.shape);
        if let Some(target) = &self.target {
            let kind = target.element.label_type();
            // Floats are read as f32, whatever they are in the file.
            let kind = kind.map_or(TargetType::Probabilities(ElementType::F32), TargetType::Labels);
            shapes = shapes.target(kind, &target.shape);
        }
        // Weights of another rank are refused once the number of classes is known.
        if let Some([classes]) = self.weight.as_ref().map(|weight| &weight.shape[..]) {
            shapes = shapes.weight(*classes);
        }
        if let Some(upstream) = &self.upstream {
            shapes = shapes.upstream(&upstream.shape);
        }
        shapes
    }

    fn names(&self, job: &Job) -> Names {
        Names {
            input: job.input.clone(),
            target: job.target.clone(),
            weight: job.weight.clone(),
            upstream: job.upstream.clone(),
            input_shape: self.input.shape.clone(),
            target_shape: self.target.as_ref().map_or_else(Vec::new, |t| t.shape.clone()),
            class_axis_given: job.run.class_axis.is_some(),
        }
    }

    fn read(self) -> Result<Data, Failure> {
        let (input_type, input_shape) = (self.input.element, self.input.shape.clone());
        let target_type = self.target.as_ref().map(|target| target.element);
        let target = match self.target {
            None => None,
            Some(source) => {
                let shape = source.shape.clone();
                let target = if source.is_float() {
                    Target::Probabilities(source.floats()?)
                } else {
                    Target::Labels(source.labels()?)
                };
                Some((target, shape))
            }
        };
        let upstream = match self.upstream {
            None => None,
            Some(source) => {
                let shape = source.shape.clone();
                Some((source.floats()?, shape))
            }
        };
        Ok(Data {
            input: self.input.floats()?,
            input_type,
            input_shape,
            target,
            target_type,
            weight: self.weight.map(Source::floats).transpose()?,
            upstream,
        })
    }
}

enum Target {
    Labels(OwnedLabels),
    Probabilities(Vec<f32>),
}

/// What was in the files.
struct Data {
    input: Vec<f32>,
    input_type: Element,
    input_shape: Vec<usize>,
    target: Option<(Target, Vec<usize>)>,
    target_type: Option<Element>,
    weight: Option<Vec<f32>>,
    upstream: Option<(Vec<f32>, Vec<usize>)>,
}

impl Data {
    fn inputs(&self) -> Inputs<'_> {
        let mut inputs = Inputs::new(Tensor::new(&self.input, &self.input_shape));
        match &self.target {
            None => {}
            Some((Target::Labels(labels), shape)) => {
                inputs = inputs.labels(labels.borrow(), shape);
            }
            Some((Target::Probabilities(probabilities), shape)) => {
                inputs = inputs.probabilities(Tensor::new(probabilities, shape));
            }
        }
        if let Some(weight) = &self.weight {
            inputs = inputs.weight(weight);
        }
        if let Some((upstream, shape)) = &self.upstream {
            inputs = inputs.upstream(Tensor::new(upstream, shape));
        }
        inputs
    }

    /// How a person would call the target.
    fn target_name(&self) -> Option<String> {
        let kind = match self.target.as_ref()?.0 {
            Target::Labels(_) => "labels",
            Target::Probabilities(_) => "class probabilities",
        };
        Some(format!("{} {kind}", self.target_type?.name()))
    }
}

/// Does the job and reports it.
pub fn run(job: Job) -> Result<(), Failure> {
    let destinations = destinations(&job.save)?;
    let sources = Sources::open(&job)?;
    let names = sources.names(&job);
    let explain = |error: Error| names.explain(error);
    let problem = job.loss.problem(&sources.shapes(), job.outputs).map_err(explain)?;
    let wanted = [problem.view.classes];
    if let Some(weight) = sources.weight.as_ref().filter(|weight| weight.shape != wanted) {
        let (given, wanted) = (weight.shape.clone(), wanted.to_vec());
        return Err(explain(Error::Shape { what: "weight", given, wanted }));
    }

    let (device, start) = timed(|| Device::open(&job.run))?;
    let (data, read) = timed(|| sources.read())?;
    let inputs = data.inputs();
    let mut computed = device.run(&*job.loss, &inputs, job.outputs).map_err(explain)?;
    let mut seconds = vec![("read", read)];
    if device.adapter().is_some() {
        seconds.push(("start", start));
    }
    seconds.append(&mut computed.seconds);

    let checked = match job.run.check {
        false => None,
        true => {
            if device.adapter().is_none() {
                say("the CPU twin is the reference itself: --check compares it with its own f32");
            }
            let question = check::Question {
                loss: &*job.loss,
                inputs: &inputs,
                weight: data.weight.as_deref(),
                upstream: data.upstream.as_ref().map(|(upstream, _)| &upstream[..]),
                problem: &problem,
            };
            let run = || check::run(&question, &computed).map_err(explain);
            let (checked, time) = timed(run)?;
            seconds.push(("check", time));
            Some(checked)
        }
    };
    let failed = checked.iter().flatten().find(|compared| !compared.passed());
    let failed = failed.map(|compared| compared.complaint(!destinations.is_empty()));

    let mut saved = Vec::new();
    if failed.is_none() && !destinations.is_empty() {
        let save = || save_all(&destinations, &computed, &names.input_shape);
        let ((), time) = timed(save)?;
        seconds.push(("save", time));
        saved.extend(destinations.iter().map(|(_, file)| file.name.display().to_string()));
    }
    let report = Report {
        command: job.command,
        reduction: job.reduction.map(reduction_name),
        shape: &data.input_shape,
        dtype: data.input_type.name(),
        target: data.target_name(),
        weighted: problem.is_weighted(),
        row_shape: &problem.row_shape,
        adapter: device.adapter(),
        computed: &computed,
        seconds,
        check: checked.as_deref(),
        saved,
    };
    report::print(&if job.run.json { report.json() } else { report.text() })?;
    match failed {
        None => Ok(()),
        Some(complaint) => Err(Failure::Failed(complaint)),
    }
}

/// Probes the files to be saved to.
fn destinations(save: &[(Output, PathBuf)]) -> Result<Vec<(Output, Destination)>, Failure> {
    let mut destinations: Vec<(Output, Destination)> = Vec::new();
    for (what, name) in save {
        let destination = Destination::new(name)?;
        if destinations.iter().any(|(_, other)| other.same_file(&destination)) {
            let problem = "two results cannot be saved to one file";
            return Err(Failure::Usage(format!("{}: {problem}", name.display())));
        }
        destinations.push((*what, destination));
    }
    Ok(destinations)
}

/// Saves what was asked for.
fn save_all(
    destinations: &[(Output, Destination)],
    computed: &Computed,
    input_shape: &[usize],
) -> Result<(), Failure> {
    let mut arrays = Vec::new();
    for (what, destination) in destinations {
        let (shape, elements) = match what {
            Output::Loss => (&computed.loss_shape[..], Some(&computed.loss)),
            Output::Grad => (input_shape, computed.grad.as_ref()),
            Output::LogProbs => (input_shape, computed.log_probs.as_ref()),
            Output::Distribution => {
                (input_shape, computed.probs.as_ref().or(computed.log_probs.as_ref()))
            }
        };
        let Some(elements) = elements else {
            return Err(Failure::of(destination.name.display(), "the device gave no such result"));
        };
        arrays.push((destination, shape, &elements[..]));
    }
    files::save(&arrays)
}

fn reduction_name(reduction: Reduction) -> &'static str {
    match reduction {
        Reduction::None => "none",
        Reduction::Mean => "mean",
        Reduction::Sum => "sum",
        Reduction::BatchMean => "batchmean",
    }
}

fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Duration), Failure> {
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed()))
}
