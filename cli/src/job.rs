//! One loss over named files: open, check the shapes, read, compute, check the result, save, report.
//!
//! Whatever can fail early does: destinations are probed and shapes compared before elements are
//! read, and the device is opened before that too. Nothing is saved unless all went well.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    CrossEntropy, ElementType, Error, Floats, Nll, Outputs, Problem, Reduction, Softmax, TargetType,
};

use crate::args::{CrossEntropyArgs, LossArgs, NllArgs, OutType, RunArgs, SoftmaxArgs};
use crate::check::{self, Compared, Given};
use crate::compute::{Computed, Device};
use crate::data::{Data, Operand, Stop};
use crate::error::{Failure, Names, say};
use crate::files::{Destination, Kind, Source};
use crate::progress::Meter;
use crate::report::{self, Report};
use crate::results::{Complete, Results, What};
use crate::twin::{Formula, Question};

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
    formula: Formula,
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
            Formula::CrossEntropy(loss),
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
        let formula = Formula::Nll(loss);
        Self::with_target("nll", formula, args.input, args.target, args.loss, args.run)
    }
}

impl Job {
    /// `softmax` or `log-softmax`.
    pub fn softmax(command: &'static str, args: SoftmaxArgs) -> Self {
        let loss = if command == "softmax" { Softmax::probs() } else { Softmax::log_probs() };
        let axis = args.run.class_axis.unwrap_or(-1);
        Self {
            command,
            formula: Formula::Softmax(loss.axis(axis)),
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
        formula: Formula,
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
            formula,
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
        let mut sources = Self {
            input: Source::open(&job.input)?,
            target: open(&job.target)?,
            weight: open(&job.weight)?,
            upstream: open(&job.upstream)?,
        };
        if let Some(word_type) = job.run.dtype {
            sources.take_words_for(word_type.into())?;
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

    fn shapes(&self) -> Shapes<'_> {
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

    /// Makes the elements readable: the CPU twin takes any range as it comes, a GPU wants all of it.
    fn prepare(&mut self, device: &Device) -> Result<(), Failure> {
        let (weight, upstream) = (self.weight.as_mut(), self.upstream.as_mut());
        let all = [Some(&mut self.input), self.target.as_mut(), weight, upstream];
        all.into_iter().flatten().try_for_each(|source| match device {
            Device::Gpu(_) => source.settle(),
            Device::Cpu => source.inflate(),
        })
    }

    fn data(&self) -> Data<'_> {
        Data {
            input: Operand::File(&self.input),
            target: self.target.as_ref().map(Operand::File),
            weight: self.weight.as_ref().map(Operand::File),
            upstream: self.upstream.as_ref().map(Operand::File),
        }
    }

    /// How a person would call the target.
    fn target_name(&self) -> Option<String> {
        let target = self.target.as_ref()?;
        let kind = match target.kind() {
            Some(Kind::Labels(_)) => "labels",
            _ => "class probabilities",
        };
        Some(format!("{} {kind}", target.element.name()))
    }
}

/// Does the job and reports it.
pub fn run(job: Job) -> Result<(), Failure> {
    let destinations = destinations(&job.save)?;
    let mut sources = Sources::open(&job)?;
    let names = sources.names(&job);
    let explain = |error: Error| names.explain(error);
    let mut outputs = job.outputs;
    if job.run.out_dtype == OutType::F32 {
        outputs = outputs.in_f32();
    }
    let problem = job.formula.loss().problem(&sources.shapes(), outputs).map_err(explain)?;
    let wanted = [problem.view.classes];
    if let Some(weight) = sources.weight.as_ref().filter(|weight| weight.shape != wanted) {
        let (given, wanted) = (weight.shape.clone(), wanted.to_vec());
        return Err(explain(Error::Shape { what: "weight", given, wanted }));
    }

    let (device, start) = timed(|| Device::open(&job.run))?;
    let ((), read) = timed(|| sources.prepare(&device))?;
    let mut results = places(&job, &problem, &destinations)?;
    let data = sources.data();
    let question = Question { formula: &job.formula, data: &data, problem: &problem };
    let bytes = sources.input.stored_bytes();
    let stopped = |stop: Stop| match stop {
        Stop::Library(error) => names.explain(error),
        Stop::Failure(failure) => failure,
    };
    let rows = problem.view.rows() as u64;
    let mut computed = {
        let mut meter = Meter::new("computing", rows, bytes, job.run.quiet);
        let mut progress = |rows| meter.done(rows);
        device.run(&question, outputs, &mut results, &mut progress).map_err(stopped)?
    };
    let complete = results.complete()?;
    let mut seconds = vec![("read", read)];
    if device.adapter().is_some() {
        seconds.push(("start", start));
    }
    seconds.append(&mut computed.seconds);

    let mut checked: Option<Vec<Compared>> = None;
    if job.run.check {
        if device.adapter().is_none() && !job.run.quiet {
            say("the CPU twin is the reference itself: --check compares it with its own f32");
        }
        let mut meter = Meter::new("checking", rows, bytes, job.run.quiet);
        let given = given(&computed, &complete);
        let (compared, time) =
            timed(|| check::run(&question, &given, &mut |rows| meter.done(rows)).map_err(stopped))?;
        seconds.push(("check", time));
        checked = Some(compared);
    }
    let failed = checked.iter().flatten().find(|compared| !compared.passed());
    let failed = failed.map(|compared| compared.complaint(!destinations.is_empty()));

    let losses: Vec<f32> = match complete.floats(What::RowLoss) {
        Some(Floats::F32(losses)) => losses.to_vec(),
        _ => computed.loss.into_iter().collect(),
    };
    let mut saved = Vec::new();
    if failed.is_none() && !destinations.is_empty() {
        let ((), time) = timed(|| save(complete, &destinations, &computed))?;
        seconds.push(("save", time));
        saved.extend(destinations.iter().map(|(_, file)| file.name.display().to_string()));
    }
    let report = Report {
        command: job.command,
        reduction: job.reduction.map(reduction_name),
        shape: &problem.input_shape,
        dtype: sources.input.element.name(),
        target: sources.target_name(),
        weighted: problem.is_weighted(),
        row_shape: &problem.row_shape,
        adapter: device.adapter(),
        summary: computed.summary,
        losses: &losses,
        loss_shape: problem.loss_shape(),
        seconds,
        check: checked.as_deref(),
        saved,
        output_type: problem.output_type,
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

/// Where results go: to their files, or for a while to where they can be compared and reported.
fn places(
    job: &Job,
    problem: &Problem,
    destinations: &[(Output, Destination)],
) -> Result<Results, Failure> {
    let mut results = Results::new(problem.output_type);
    for (output, file) in destinations {
        match output {
            Output::Loss if problem.reduction == Reduction::None => {
                results.save(What::RowLoss, file, problem.loss_shape())?;
            }
            Output::Loss => {}
            Output::Grad => results.save(What::Grad, file, &problem.input_shape)?,
            Output::LogProbs | Output::Distribution => {
                results.save(What::Distribution, file, &problem.input_shape)?;
            }
        }
    }
    if problem.target.is_some() && problem.reduction == Reduction::None {
        results.keep(What::RowLoss, problem.view.rows())?;
    }
    if problem.target.is_none() && job.run.check {
        results.keep(What::Distribution, problem.view.elements())?;
    }
    Ok(results)
}

/// What was computed, to be compared.
fn given<'a>(computed: &Computed, complete: &'a Complete) -> Given<'a> {
    Given {
        loss: computed.loss,
        summary: computed.summary,
        row_loss: complete.floats(What::RowLoss),
        grad: complete.floats(What::Grad),
        distribution: complete.floats(What::Distribution),
    }
}

/// Gives the results their names. A reduced loss is written only now.
fn save(
    complete: Complete,
    destinations: &[(Output, Destination)],
    computed: &Computed,
) -> Result<(), Failure> {
    let mut others = Vec::new();
    let reduced = destinations.iter().find(|(output, _)| *output == Output::Loss);
    if let (Some((_, file)), Some(loss)) = (reduced, computed.loss) {
        let mut file = file.array(ElementType::F32, &[])?;
        file.write(0, &loss.to_le_bytes())?;
        others.push(file);
    }
    complete.save(others)
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
