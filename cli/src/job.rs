//! One loss over named files: open, check the shapes, read, compute, check the result, save, report.
//!
//! Whatever can fail early does: destinations are probed and shapes compared before elements are
//! read, and the device is opened before that too. Nothing is saved unless all went well.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use wgpu_loss::{
    CrossEntropy, ElementType, Error, Floats, Nll, Outputs, Problem, Reduction, Softmax,
};

use crate::args::{CrossEntropyArgs, LossArgs, NllArgs, OutType, RunArgs, SoftmaxArgs};
use crate::check::{self, Compared};
use crate::compute::{Computed, Device};
use crate::data::Stop;
use crate::error::{Failure, say};
use crate::outputs::{self, Output};
use crate::progress::Meter;
use crate::report::{self, Report};
use crate::results::{Results, What};
use crate::sources::{Files, Sources};
use crate::twin::{Formula, Question};

/// A GPU that has no memory for less is not tried again.
const LEAST_BUDGET: u64 = 1 << 20;

/// What was asked for, whatever the loss.
pub struct Job {
    command: &'static str,
    formula: Formula,
    /// `None` for the softmaxes, which have no loss to reduce.
    reduction: Option<Reduction>,
    files: Files,
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
            files: Files { input: args.input, target: None, weight: None, upstream: None },
            outputs: outputs_of(&args.run),
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
        let mut outputs = outputs_of(&run);
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
            files: Files {
                input,
                target: Some(target),
                weight: args.weight,
                upstream: args.upstream,
            },
            outputs,
            save,
            run,
        }
    }
}

/// Does the job and reports it.
pub fn run(job: Job) -> Result<(), Failure> {
    let destinations = outputs::destinations(&job.save)?;
    let mut sources = Sources::open(&job.files, job.run.dtype.map(ElementType::from))?;
    let names = sources.names(&job.files, job.run.class_axis.is_some());
    let problem = problem(&job, &sources).map_err(|error| names.explain(error))?;
    let explain = |stop: Stop| match stop {
        Stop::Library(error) => names.explain(error),
        Stop::Failure(failure) => failure,
    };

    let (mut device, start) = timed(|| Device::open(&job.run, job.run.memory_budget))?;
    let ((), read) = timed(|| sources.prepare(&device, &problem))?;
    let mut results = outputs::places(&problem, &destinations, job.run.check)?;
    let data = sources.data();
    let question = Question { formula: &job.formula, data: &data, problem: &problem };
    let bytes = sources.input.stored_bytes();
    let mut computed =
        compute(&job.run, &mut device, &question, &mut results, bytes).map_err(explain)?;
    let (complete, files) = results.complete()?;
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
        let given = outputs::given(&computed, &complete);
        let mut progress = watched("checking", &question, bytes, job.run.quiet);
        let (compared, time) =
            timed(|| check::run(&question, &given, &mut progress).map_err(explain))?;
        seconds.push(("check", time));
        checked = Some(compared);
    }
    let failed = checked.iter().flatten().find(|compared| !compared.passed());
    let failed = failed.map(|compared| compared.complaint(!destinations.is_empty()));

    let losses = match complete.floats(What::RowLoss) {
        Some(Floats::F32(losses)) => losses,
        _ => computed.loss.as_slice(),
    };
    let mut saved = Vec::new();
    if failed.is_none() && !destinations.is_empty() {
        let ((), time) = timed(|| outputs::save(files, &destinations, &computed))?;
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
        losses,
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

/// The loss over the files' shapes.
fn problem(job: &Job, sources: &Sources) -> Result<Problem, Error> {
    let problem = job.formula.loss().problem(&sources.shapes(), job.outputs)?;
    let wanted = [problem.view.classes];
    match sources.weight.as_ref().filter(|weight| weight.shape != wanted) {
        None => Ok(problem),
        Some(weight) => {
            let (given, wanted) = (weight.shape.clone(), wanted.to_vec());
            Err(Error::Shape { what: "weight", given, wanted })
        }
    }
}

/// Computes. A GPU that runs out of memory gets less of it at a time, as often as that helps.
fn compute(
    run: &RunArgs,
    device: &mut Device,
    question: &Question<'_>,
    results: &mut Results,
    bytes: u64,
) -> Result<Computed, Stop> {
    loop {
        let mut progress = watched("computing", question, bytes, run.quiet);
        let computed = device.run(question, results, &mut progress);
        drop(progress);
        let budget = match (&computed, &*device) {
            (Err(Stop::Library(Error::OutOfMemory { .. })), Device::Gpu(gpu)) => {
                gpu.memory_budget() / 2
            }
            _ => 0,
        };
        let Err(Stop::Library(error)) = computed else { return computed };
        if budget < LEAST_BUDGET {
            return Err(error.into());
        }
        if !run.quiet {
            say(&format!("{error}; trying again with --memory-budget {budget}"));
        }
        // The device that had no memory goes before the next one comes.
        *device = Device::Cpu;
        *device = Device::open(run, Some(budget))?;
    }
}

/// Shows how far the work is, and gives memory back behind it.
fn watched<'a>(
    what: &'static str,
    question: &'a Question<'_>,
    bytes: u64,
    quiet: bool,
) -> impl FnMut(u64) + 'a {
    let (data, problem) = (question.data, question.problem);
    let mut meter = Meter::new(what, problem.view.rows() as u64, bytes, quiet);
    let mut released = 0;
    move |rows| {
        meter.done(rows);
        released = data.release(problem, released, rows);
    }
}

/// A loss in the type that is wanted of its outputs.
fn outputs_of(run: &RunArgs) -> Outputs {
    match run.out_dtype {
        OutType::Same => Outputs::loss(),
        OutType::F32 => Outputs::loss().in_f32(),
    }
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
