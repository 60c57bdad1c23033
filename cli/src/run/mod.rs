//! One loss over named files in five steps: request, open, compute, check, report. The losses of rows are shown, and
//! results are saved, before the report.
//!
//! Errors are found as early as possible: destinations are probed and shapes compared before
//! elements are read, and the device is opened before that too. Results are saved only if all steps
//! succeed.

mod losses;
#[cfg(test)]
mod mutants;
mod points;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use wgpu_loss::{ElementType, Error, Floats, LargeOutput, Outputs, Problem, Reduction};

use crate::args::{RunArgs, ShardArgs};
use crate::check::{self, Answer, Compared};
use crate::compute::Device;
use crate::computed::Computed;
use crate::data::{Data, Role, Stop};
use crate::destinations::{self, Output};
use crate::error::{Failure, say};
use crate::files::{Destination, Unfinished};
use crate::formula::Formula;
use crate::inputs::{InputFiles, InputPaths};
use crate::inspect::{self, Inspected, Inspections, Rows, Unreduced};
use crate::names::Names;
use crate::progress::Meter;
use crate::question::{Question, is_unreduced};
use crate::report::{self, Classes, Report, Tokens};
use crate::sinks::{Complete, Sinks};

/// A user's request, for any loss.
pub struct Job {
    pub command: &'static str,
    pub formula: Formula,
    /// `None` for the softmaxes, which have no loss to reduce.
    pub reduction: Option<Reduction>,
    pub files: Named,
    /// The tensors other than input and target.
    pub operands: InputPaths,
    pub outputs: Outputs,
    pub save: Vec<(Output, PathBuf)>,
    pub inspections: Inspections,
    class_axis_given: bool,
    pub run: RunArgs,
}

/// The files that are named without an option: an input and a target, once or for each shard.
pub struct Named {
    /// The role of the targets, if there are any.
    pub target: Option<Role>,
    pub paths: Vec<PathBuf>,
    pub shards: ShardArgs,
}

impl Named {
    /// Inputs with their targets.
    fn pairs(
        role: Role,
        input: Option<PathBuf>,
        target: Option<PathBuf>,
        shards: ShardArgs,
    ) -> Self {
        let paths = input.into_iter().chain(target).chain(shards.more.iter().cloned()).collect();
        Self { target: Some(role), paths, shards }
    }

    /// Inputs alone.
    fn inputs(input: Option<PathBuf>, shards: ShardArgs) -> Self {
        let paths = input.into_iter().chain(shards.more.iter().cloned()).collect();
        Self { target: None, paths, shards }
    }

    /// Returns the input, or the input and the target, of each shard.
    ///
    /// # Errors
    /// An input without its target.
    pub fn sets(&self) -> Result<Vec<InputPaths>, Failure> {
        let each = if self.target.is_some() { 2 } else { 1 };
        if !self.paths.len().is_multiple_of(each) {
            let last = self.paths.last().map_or(String::new(), |path| path.display().to_string());
            return Err(Failure::Usage(format!(
                "{last} has no target: shards are pairs INPUT TARGET"
            )));
        }
        let sets = self.paths.chunks(each).map(|set| {
            let target = self.target.zip(set.get(1));
            let input = InputPaths::new(set[0].clone());
            target.map_or(input.clone(), |(role, file)| input.with(role, Some(file.clone())))
        });
        Ok(sets.collect())
    }
}

/// Runs the job over one set of files and reports it.
pub fn run(job: &Job) -> Result<(), Failure> {
    let sets = job.files.sets()?;
    let paths = sets.into_iter().next().unwrap_or_default().and(&job.operands);
    let mut request = Request::new(job, &paths)?;
    let (mut device, start) = timed(|| Device::open(&job.run, job.run.memory_budget))?;
    let read = request.open()?;
    let data = request.sources.data();
    let work = request.work(&data);
    let mut done = work.compute(&mut device)?;
    let on_gpu = device.adapter().is_some();
    done.seconds.splice(0..0, on_gpu.then_some(("start", start)));
    done.seconds.insert(0, ("read", read));
    let checked = work.checked(&device, &mut done)?;
    let failed = checked.iter().flatten().find(|compared| !compared.passed());
    let failed = failed.map(|compared| compared.complaint(!request.destinations.is_empty()));
    let seen = work.see(&mut done)?;
    let saved = match failed {
        None => work.save(&mut done, &seen)?,
        Some(_) => Vec::new(),
    };
    work.report(&device, &done, checked.as_deref(), &seen, saved)?;
    match failed {
        None => Ok(()),
        Some(complaint) => Err(Failure::Failed(complaint)),
    }
}

/// A request whose files exist and have matching shapes. No element has been read.
pub struct Request<'a> {
    job: &'a Job,
    pub sources: InputFiles,
    pub names: Names,
    pub problem: Problem,
    destinations: Vec<(Output, Destination)>,
    /// The user's name for the input.
    input: String,
}

impl<'a> Request<'a> {
    pub fn new(job: &'a Job, paths: &InputPaths) -> Result<Self, Failure> {
        let destinations = destinations::named(&job.save)?;
        let mut sources = InputFiles::open(paths, job.run.dtype.map(ElementType::from))?;
        if !matches!(job.formula, Formula::Softmax(_)) {
            sources.as_f32(Role::Upstream);
        }
        let names = sources.names(job.class_axis_given);
        let problem = problem(job, &sources).map_err(|error| names.explain(error))?;
        check_top_k(job, &problem)?;
        let input = sources.input().name.display().to_string();
        job.inspections.check(&problem, &input)?;
        Ok(Self { job, sources, names, problem, destinations, input })
    }

    /// Makes the elements readable, and returns the time that it took.
    pub fn open(&mut self) -> Result<Duration, Failure> {
        timed(|| self.sources.prepare(&self.problem)).map(|((), time)| time)
    }

    /// Returns the steps of the first axis in a run of rows: they depend on the input alone.
    pub fn steps_of_run(&self) -> usize {
        self.sources.data().batch_steps(&self.problem)
    }

    /// Returns the work over its data.
    fn work<'b>(&'b self, data: &'b Data<'b>) -> Work<'b> {
        let (formula, outputs) = (&self.job.formula, self.job.outputs);
        let question = Question { formula, outputs, data, problem: &self.problem };
        Work { request: self, question }
    }
}

/// Returns the problem of the loss over the files' shapes.
fn problem(job: &Job, sources: &InputFiles) -> Result<Problem, Error> {
    let problem = job.formula.problem(&sources.shapes(), job.outputs)?;
    let wanted = [problem.view.classes];
    match sources.get(Role::Weight).filter(|weight| weight.shape != wanted) {
        None => Ok(problem),
        Some(weight) => {
            let (given, wanted) = (weight.shape.clone(), wanted.to_vec());
            Err(Error::Shape { what: "weight", given, wanted })
        }
    }
}

/// Refuses a `--top-k` that is larger than the number of classes.
fn check_top_k(job: &Job, problem: &Problem) -> Result<(), Failure> {
    let (k, classes) = (job.outputs.top_k, problem.view.classes);
    match usize::try_from(k).is_ok_and(|k| k <= classes) {
        true => Ok(()),
        false => Err(Failure::Usage(format!("--top-k is {k}, but there are {classes} classes"))),
    }
}

/// A request with its data: computes, checks and reports.
struct Work<'a> {
    request: &'a Request<'a>,
    question: Question<'a>,
}

/// The results, and the place of each.
struct Done {
    computed: Computed,
    complete: Complete,
    files: Vec<Unfinished>,
    /// The time of each step so far.
    seconds: Vec<(&'static str, Duration)>,
}

impl Work<'_> {
    /// Computes all requested outputs.
    fn compute(&self, device: &mut Device) -> Result<Done, Failure> {
        let Request { job, sources, names, problem, destinations, .. } = self.request;
        let (check, rows) = (job.run.check, job.inspections.any());
        let results = destinations::sinks(problem, self.question.data, destinations, check, rows)?;
        let done = self.results(device, results);
        if done.as_ref().map_or_else(Stop::is_of_data, |_| true) {
            // First, because a damaged file explains why its elements are refused.
            sources.verify()?;
        }
        done.map_err(|stop| names.stopped(stop))
    }

    fn results(&self, device: &mut Device, mut results: Sinks) -> Result<Done, Stop> {
        let Self { request, question } = self;
        let mut compute = |question: &Question<'_>, results: &mut Sinks| {
            let run = &request.job.run;
            device.with_smaller_budgets(run, |device| {
                device.run(question, results, &mut self.watched("computing", question))
            })
        };
        let inspections =
            request.job.inspections.any() && question.problem.reduction != Reduction::None;
        let (computed, complete, files) = if inspections {
            let unreduced = Unreduced::of(question, &request.sources.shapes())?;
            let data = unreduced.data(question.data);
            let question_of_rows = unreduced.question(&data);
            let mut computed = compute(&question_of_rows, &mut results)?;
            let (complete, files) = results.complete()?;
            inspect::reduced(question.problem, &complete, &mut computed);
            (computed, complete, files)
        } else {
            let computed = compute(question, &mut results)?;
            let (complete, files) = results.complete()?;
            (computed, complete, files)
        };
        let seconds = computed.seconds.clone();
        Ok(Done { computed, complete, files, seconds })
    }

    /// Compares the results with the reference, if `--check` is given.
    fn checked(&self, device: &Device, done: &mut Done) -> Result<Option<Vec<Compared>>, Failure> {
        let Request { job, names, .. } = self.request;
        if !job.run.check {
            return Ok(None);
        }
        if device.adapter().is_none() && !job.run.quiet {
            say(
                "--device cpu is the reference itself: --check compares it with its own results in f32",
            );
        }
        let answer = done.complete.answer(&done.computed);
        let check = || self.check(&answer).map_err(|stop| names.stopped(stop));
        let (compared, time) = timed(check)?;
        done.seconds.push(("check", time));
        Ok(Some(compared))
    }

    /// Compares an answer with the reference.
    fn check(&self, answer: &Answer<'_>) -> Result<Vec<Compared>, Stop> {
        check::run(&self.question, answer, &mut self.watched("checking", &self.question))
    }

    /// Shows the losses of rows, if that is requested.
    fn see(&self, done: &mut Done) -> Result<Inspected, Failure> {
        let Request { job, problem, input, .. } = self.request;
        let losses = done.complete.floats(LargeOutput::RowLoss);
        let Some(losses) = losses.filter(|_| job.inspections.any()) else {
            return Ok(Inspected::default());
        };
        let rows = Rows { losses, kept: &done.complete, data: self.question.data, problem };
        let title = format!("{} of {input}", job.command);
        let (seen, time) = timed(|| job.inspections.see(&rows, &title))?;
        done.seconds.push(("inspect", time));
        Ok(seen)
    }

    /// Gives the saved files their names, and returns these.
    fn save(&self, done: &mut Done, seen: &Inspected) -> Result<Vec<String>, Failure> {
        let destinations = &self.request.destinations;
        if destinations.is_empty() {
            return Ok(Vec::new());
        }
        let (files, png) = (std::mem::take(&mut done.files), seen.png.as_deref());
        let ((), time) = timed(|| destinations::save(files, destinations, &done.computed, png))?;
        done.seconds.push(("save", time));
        Ok(destinations.iter().map(|(_, file)| file.name.display().to_string()).collect())
    }

    /// Prints the report.
    fn report(
        &self,
        device: &Device,
        done: &Done,
        check: Option<&[Compared]>,
        seen: &Inspected,
        saved: Vec<String>,
    ) -> Result<(), Failure> {
        let Request { job, sources, problem, .. } = self.request;
        let Done { computed, complete, seconds, .. } = done;
        let of_rows = |what| match complete.floats(what).filter(|_| is_unreduced(problem)) {
            Some(Floats::F32(losses)) => Some(losses),
            _ => None,
        };
        let losses = of_rows(LargeOutput::RowLoss).unwrap_or(computed.loss.as_slice());
        let report = Report {
            command: job.command,
            reduction: job.reduction.map(Reduction::name),
            shape: Some(&problem.input_shape),
            dtype: sources.input().element.name(),
            target: sources.target_name(),
            weighted: problem.is_weighted(),
            row_shape: &problem.row_shape,
            adapters: device.adapters(),
            summary: computed.summary,
            losses,
            loss_shape: problem.loss_shape(),
            seconds: seconds.clone(),
            check,
            z_losses: of_rows(LargeOutput::ZLoss).unwrap_or(computed.z_loss.as_slice()),
            row_weights: problem.row_weights,
            outputs: job.outputs,
            classes: computed.classes.as_ref().map(|all| Classes::of(all, job.outputs.accuracy)),
            tokens: Tokens::of(problem, losses, &computed.summary),
            shards: None,
            standard_error: None,
            seen,
            saved,
            output_type: problem.output_type,
        };
        match job.run.json {
            true => report::print(&report.json()),
            false => report::print_styled(&report.text()),
        }
    }

    /// Shows the progress, and releases the memory of elements that have been read.
    fn watched<'a>(
        &self,
        what: &'static str,
        question: &'a Question<'_>,
    ) -> impl FnMut(u64) + use<'a> {
        let (data, problem) = (question.data, question.problem);
        let Request { job, sources, .. } = self.request;
        let bytes = sources.input().stored_bytes();
        let mut meter = Meter::new(what, problem.losses() as u64, bytes, job.run.quiet);
        let mut released = 0;
        move |rows| {
            meter.done(rows);
            released = data.release(problem, released, rows);
        }
    }
}

fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Duration), Failure> {
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed()))
}
