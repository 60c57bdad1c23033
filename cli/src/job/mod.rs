//! One loss over named files: open, check the shapes, read, compute, check the result, save, report.
//!
//! Whatever can fail early does: destinations are probed and shapes compared before elements are
//! read, and the device is opened before that too. Nothing is saved unless all went well.

mod losses;
#[cfg(test)]
mod mutants;
mod points;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use wgpu_loss::{ElementType, Error, Floats, LargeOutput, Outputs, Problem, Reduction};

use crate::args::RunArgs;
use crate::check::{self, Answer, Compared};
use crate::compute::Device;
use crate::computed::Computed;
use crate::data::{Cut, Role, Stop};
use crate::error::{Failure, say};
use crate::files::Unfinished;
use crate::formula::Formula;
use crate::look::{self, Looks, Rows, Seen, Unreduced};
use crate::outputs::{self, Output};
use crate::progress::Meter;
use crate::report::{self, Classes, Report, Tokens};
use crate::results::{Complete, Results};
use crate::sources::{Files, Sources};
use crate::twin::Question;

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
    looks: Looks,
    class_axis_given: bool,
    run: RunArgs,
}

/// Does the job and reports it.
pub fn run(job: Job) -> Result<(), Failure> {
    let destinations = outputs::destinations(&job.save)?;
    let mut sources = Sources::open(&job.files, job.run.dtype.map(ElementType::from))?;
    if !matches!(job.formula, Formula::Softmax(_)) {
        sources.as_f32(Role::Upstream);
    }
    let names = sources.names(job.class_axis_given);
    let problem = problem(&job, &sources).map_err(|error| names.explain(error))?;
    check_top_k(&job, &problem)?;
    let input = sources.input().name.display().to_string();
    job.looks.check(&problem, &input)?;

    let (mut device, start) = timed(|| Device::open(&job.run, job.run.memory_budget))?;
    let ((), read) = timed(|| sources.prepare(&device, &problem))?;
    let data = sources.data();
    let (check, rows) = (job.run.check, job.looks.any());
    let results = outputs::places(&problem, &data, &destinations, check, rows)?;
    let (formula, outputs) = (&job.formula, job.outputs);
    let question = Question { formula, outputs, data: &data, problem: &problem };
    let work = Work { job: &job, question: &question, sources: &sources };
    let computed = work.compute(&mut device, results);
    if computed.as_ref().map_or_else(Stop::is_of_data, |_| true) {
        // That a file is damaged explains what is refused in it.
        sources.verify()?;
    }
    let (computed, complete, files) = computed.map_err(|stop| names.stopped(stop))?;
    let mut seconds = vec![("read", read)];
    if device.adapter().is_some() {
        seconds.push(("start", start));
    }
    seconds.extend(&computed.seconds);

    let mut checked: Option<Vec<Compared>> = None;
    if job.run.check {
        if device.adapter().is_none() && !job.run.quiet {
            say("the CPU twin is the reference itself: --check compares it with its own f32");
        }
        let answer = complete.answer(&computed);
        let (compared, time) = timed(|| work.check(&answer).map_err(|stop| names.stopped(stop)))?;
        seconds.push(("check", time));
        checked = Some(compared);
    }
    let failed = checked.iter().flatten().find(|compared| !compared.passed());
    let failed = failed.map(|compared| compared.complaint(!destinations.is_empty()));

    let mut seen = Seen::default();
    if let Some(losses) = complete.floats(LargeOutput::RowLoss).filter(|_| job.looks.any()) {
        let rows = Rows { losses, kept: &complete, data: &data, problem: &problem };
        let title = format!("{} of {input}", job.command);
        let (looked, time) = timed(|| job.looks.see(&rows, &title))?;
        seconds.push(("look", time));
        seen = looked;
    }
    let mut saved = Vec::new();
    if failed.is_none() && !destinations.is_empty() {
        let png = seen.png.as_deref();
        let ((), time) = timed(|| outputs::save(files, &destinations, &computed, png))?;
        seconds.push(("save", time));
        saved.extend(destinations.iter().map(|(_, file)| file.name.display().to_string()));
    }
    let of_rows =
        |what| match complete.floats(what).filter(|_| problem.reduction == Reduction::None) {
            Some(Floats::F32(losses)) => Some(losses),
            _ => None,
        };
    let losses = of_rows(LargeOutput::RowLoss).unwrap_or(computed.loss.as_slice());
    let report = Report {
        command: job.command,
        reduction: job.reduction.map(reduction_name),
        shape: &problem.input_shape,
        dtype: sources.input().element.name(),
        target: sources.target_name(),
        weighted: problem.is_weighted(),
        row_shape: &problem.row_shape,
        adapter: device.adapter(),
        summary: computed.summary,
        losses,
        loss_shape: problem.loss_shape(),
        seconds,
        check: checked.as_deref(),
        z_losses: of_rows(LargeOutput::ZLoss).unwrap_or(computed.z_loss.as_slice()),
        row_weights: problem.row_weights,
        outputs: job.outputs,
        classes: computed.classes.as_ref().map(|all| Classes::of(all, job.outputs.accuracy)),
        tokens: Tokens::of(&problem, losses, &computed.summary),
        seen: &seen,
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

/// Refuses to count labels among more classes than there are.
fn check_top_k(job: &Job, problem: &Problem) -> Result<(), Failure> {
    let (k, classes) = (job.outputs.top_k, problem.view.classes);
    match usize::try_from(k).is_ok_and(|k| k <= classes) {
        true => Ok(()),
        false => Err(Failure::Usage(format!("--top-k is {k}, but there are {classes} classes"))),
    }
}

/// What is computed and checked.
struct Work<'a> {
    job: &'a Job,
    question: &'a Question<'a>,
    sources: &'a Sources,
}

impl Work<'_> {
    /// Computes everything that there is a place for.
    fn compute(
        &self,
        device: &mut Device,
        mut results: Results,
    ) -> Result<(Computed, Complete, Vec<Unfinished>), Stop> {
        let Self { question, .. } = *self;
        if !self.job.looks.any() || question.problem.reduction == Reduction::None {
            let computed = self.tirelessly(device, question, &mut results)?;
            let (complete, files) = results.complete()?;
            return Ok((computed, complete, files));
        }
        let unreduced = Unreduced::of(question, &self.sources.shapes())?;
        let data = unreduced.data(question.data);
        let mut computed = self.tirelessly(device, &unreduced.question(&data), &mut results)?;
        let (complete, files) = results.complete()?;
        look::reduced(question.problem, &complete, &mut computed);
        Ok((computed, complete, files))
    }

    /// A GPU that runs out of memory gets less of it at a time, as often as that helps.
    fn tirelessly(
        &self,
        device: &mut Device,
        question: &Question<'_>,
        results: &mut Results,
    ) -> Result<Computed, Stop> {
        let run = &self.job.run;
        loop {
            let mut progress = self.watched("computing", question);
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

    /// Compares what was computed with the reference.
    fn check(&self, answer: &Answer<'_>) -> Result<Vec<Compared>, Stop> {
        check::run(self.question, answer, &mut self.watched("checking", self.question))
    }

    /// Shows how far the work is, and gives memory back behind it.
    fn watched<'a>(
        &self,
        what: &'static str,
        question: &'a Question<'_>,
    ) -> impl FnMut(u64) + use<'a> {
        let (data, problem) = (question.data, question.problem);
        let bytes = self.sources.input().stored_bytes();
        let mut meter =
            Meter::new(what, Cut::of(problem).all_rows() as u64, bytes, self.job.run.quiet);
        let mut released = 0;
        move |rows| {
            meter.done(rows);
            released = data.release(problem, released, rows);
        }
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
