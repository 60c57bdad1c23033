//! One loss over many shards: files of a list, or runs of rows of one file.
//!
//! ```text
//! list         the shards of a job            ledger   what was found about shards, in files
//! fingerprint  of a shard's files and options report   the report of shards
//! ```
//!
//! A shard is a call of its own, whose partial is kept under the shard's fingerprint. Partials add up exactly, so it does
//! not matter which process has computed which shard, or when. A shard whose data cannot be read does not stop the
//! others.

mod fingerprint;
mod ledger;
mod list;
mod report;

use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wgpu_loss::{Error, Partial, Reduction, Summary};

use self::ledger::{Entry, Ledger, ListId};
use crate::args::{MergeArgs, Share};
use crate::compute::Device;
use crate::data::{Role, Stop};
use crate::error::{Failure, say};
use crate::files::{Destination, finish, finish_part, reason};
use crate::inputs::InputPaths;
use crate::progress::ShardMeter;
use crate::question::Question;
use crate::report::Tokens;
use crate::run::{Job, Request};

/// Returns true if a job is for shards: it is not, if it names one set of files and nothing that shards alone have.
pub fn are_meant_by(job: &Job) -> bool {
    let files = &job.files;
    let one = files.paths.len() <= if files.target.is_some() { 2 } else { 1 };
    let shards = &files.shards;
    let options =
        shards.shard.is_some() || shards.save_partial.is_some() || shards.resume.is_some();
    !one || options || shards.list.is_some()
}

/// Computes the shards of a job and reports them.
pub fn run(job: &Job) -> Result<(), Failure> {
    check(job)?;
    let options = &job.files.shards;
    let saved = options.save_partial.as_deref().map(Destination::json).transpose()?;
    let store = options.resume.as_deref().map(Store::open).transpose()?;
    let sets = list::file_sets(job)?;
    let (shards, list) = shards_of(job, &sets)?;
    let share = options.shard.unwrap_or(Share { first: 0, of: 1 });
    let mine: Vec<&Shard> =
        shards.iter().filter(|shard| shard.number % share.of == share.first).collect();
    let mut work = Work::new(job, list);
    work.compute(&mine, store.as_ref())?;
    let Work { list, entries, failed, .. } = work;
    let ledger = Ledger::new(job.command, reduction_of(job), list, entries);
    let saved = saved.filter(|_| failed == 0);
    if let Some(destination) = &saved {
        finish(vec![ledger.write(destination)?])?;
    }
    if failed < mine.len() || mine.is_empty() {
        report::print(&ledger, saved.as_ref(), job.run.json)?;
    }
    match failed {
        0 => Ok(()),
        count => Err(Failure::Failed(format!("{count} of {} shards failed", mine.len()))),
    }
}

/// Merges the files of several runs and reports them.
pub fn merge(args: &MergeArgs) -> Result<(), Failure> {
    let saved = args.save_partial.as_deref().map(Destination::json).transpose()?;
    let read = args.files.iter().map(|file| Ok((file.display().to_string(), Ledger::read(file)?)));
    let ledger = ledger::together(read.collect::<Result<_, Failure>>()?)?;
    if let Some(destination) = &saved {
        finish(vec![ledger.write(destination)?])?;
    }
    report::print(&ledger, saved.as_ref(), args.json)?;
    match ledger.missing() {
        None => Ok(()),
        Some((count, first)) => Err(Failure::Failed(format!(
            "{count} of {} shards are missing, the first is number {first}",
            ledger.list.shards
        ))),
    }
}

/// Refuses what shards do not have.
fn check(job: &Job) -> Result<(), Failure> {
    let refuse = |what: &str, why: &str| Err(Failure::Usage(format!("{what} {why}")));
    let several = "is for one set of files, without --list, --shard, --save-partial and --resume";
    if let Some((what, _)) = job.save.first() {
        return refuse(&format!("saving {}", what.name()), several);
    }
    if job.inspections.any() {
        return refuse("--histogram", several);
    }
    if job.run.check {
        return refuse("--check", several);
    }
    if job.operands.all().iter().any(|(role, _)| *role == Role::Upstream) {
        return refuse("--upstream", several);
    }
    match job.reduction {
        Some(Reduction::None) => refuse("--reduction none", several),
        None => refuse(job.command, several),
        Some(_) => Ok(()),
    }
}

fn reduction_of(job: &Job) -> &'static str {
    job.reduction.unwrap_or_default().name()
}

/// A shard: a set of files, or some of the rows in it.
struct Shard<'a> {
    number: u64,
    name: String,
    id: String,
    files: &'a InputPaths,
    /// Its steps of the first axis; `None` for all.
    steps: Option<Range<usize>>,
}

/// Returns all shards of a job, those of other processes too, and the identity of their list.
fn shards_of<'a>(job: &Job, sets: &'a [InputPaths]) -> Result<(Vec<Shard<'a>>, ListId), Failure> {
    let options = fingerprint::options(job);
    let runs = match sets {
        [files] if job.files.shards.shard.is_some() && job.files.shards.list.is_none() => {
            let request = Request::new(job, files)?;
            check_rows(&request)?;
            let (extent, steps) = (request.problem.input_shape[0], request.steps_of_run());
            list::runs(extent, steps).into_iter().map(Some).collect()
        }
        _ => vec![None],
    };
    let names = list::names(sets);
    let of_set = |(files, name): (&'a InputPaths, String)| {
        let options = &options;
        runs.iter().map(move |steps| {
            let id = fingerprint::of_shard(options, files, steps.as_ref());
            let name = match steps {
                None => name.clone(),
                Some(Range { start, end }) => format!("{name} {start}..{end}"),
            };
            (files, steps.clone(), name, id)
        })
    };
    let all = sets.iter().zip(names).flat_map(of_set).zip(0..);
    let shards: Vec<Shard<'a>> = all
        .map(|((files, steps, name, id), number)| Shard { number, name, id, files, steps })
        .collect();
    let mut seen = HashSet::new();
    if let Some(shard) = shards.iter().find(|shard| !seen.insert(&shard.id)) {
        let twice = format!("{} is there twice, under two names", shard.name);
        return Err(Failure::Usage(twice));
    }
    let id = fingerprint::of_list(&options, sets, runs.len());
    let list = ListId { id, shards: shards.len() as u64 };
    Ok((shards, list))
}

/// Refuses to cut a file whose first axis has no rows.
fn check_rows(request: &Request<'_>) -> Result<(), Failure> {
    let problem = &request.problem;
    let classes_first = problem.pointwise.is_none() && problem.class_axis == 0;
    match classes_first || problem.input_shape.is_empty() {
        false => Ok(()),
        true => Err(Failure::Usage(
            "--shard cuts a file along its first axis, which has no rows here".into(),
        )),
    }
}

/// A folder with a file for each shard.
struct Store(PathBuf);

impl Store {
    fn open(folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder)
            .map_err(|error| Failure::of(folder.display(), reason(&error)))?;
        Ok(Self(folder.to_path_buf()))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }

    /// Returns what is known of a shard. One whose file cannot be read is computed again.
    fn load(&self, job: &Job, list: &ListId, shard: &Shard<'_>) -> Result<Option<Entry>, Failure> {
        let Ok(ledger) = Ledger::read(&self.file(&shard.id)) else { return Ok(None) };
        let same = ledger.list == *list && ledger.reduction == reduction_of(job);
        let entries = ledger.shards;
        let Some(found) = entries.into_iter().find(|entry| entry.id == shard.id) else {
            return Ok(None);
        };
        let partial = found.partial.clone().reduced(job.reduction.unwrap_or_default());
        let entry = Entry { number: shard.number, name: shard.name.clone(), partial, ..found };
        if !same {
            // It was found for another list, or for another reduction of the same losses.
            self.keep(job, list, &entry)?;
        }
        Ok(Some(entry))
    }

    fn keep(&self, job: &Job, list: &ListId, entry: &Entry) -> Result<(), Failure> {
        let ledger = Ledger::new(job.command, reduction_of(job), list.clone(), vec![entry.clone()]);
        finish_part(vec![ledger.write(&Destination::json(&self.file(&entry.id))?)?])
    }
}

/// The shards of one run.
struct Work<'a> {
    job: &'a Job,
    list: ListId,
    /// Opened for the first shard that has to be computed.
    device: Option<Device>,
    entries: Vec<Entry>,
    /// The number of shards that could not be computed.
    failed: usize,
}

impl<'a> Work<'a> {
    fn new(job: &'a Job, list: ListId) -> Self {
        Self { job, list, device: None, entries: Vec::new(), failed: 0 }
    }

    /// Computes the shards that are not stored yet.
    fn compute(&mut self, shards: &[&Shard<'_>], store: Option<&Store>) -> Result<(), Failure> {
        let mut meter = ShardMeter::new(shards.len(), self.job.run.quiet);
        // The shards of one set of files follow each other.
        for of_set in shards.chunk_by(|a, b| std::ptr::eq(a.files, b.files)) {
            let mut opened = None;
            for shard in of_set {
                meter.begin(&shard.name);
                let known = store.map(|store| store.load(self.job, &self.list, shard));
                if let Some(entry) = known.transpose()?.flatten() {
                    self.entries.push(entry);
                    continue;
                }
                let computed = self.compute_one(shard, &mut opened, &mut meter);
                match computed {
                    Ok(entry) => {
                        if let Some(store) = store {
                            store.keep(self.job, &self.list, &entry)?;
                        }
                        self.entries.push(entry);
                    }
                    Err(Broken::Shard(failure)) => {
                        meter.hidden(|| say(&failure.message()));
                        self.failed += 1;
                    }
                    Err(Broken::Run(failure)) => return Err(failure),
                }
            }
        }
        Ok(())
    }

    fn compute_one(
        &mut self,
        shard: &Shard<'_>,
        opened: &mut Option<Request<'a>>,
        meter: &mut ShardMeter,
    ) -> Result<Entry, Broken> {
        let job = self.job;
        let device = match &mut self.device {
            Some(device) => device,
            none => {
                none.insert(Device::open(&job.run, job.run.memory_budget).map_err(Broken::Run)?)
            }
        };
        let request = match opened {
            Some(request) => request,
            none => none.insert(open(job, shard.files).map_err(Broken::Shard)?),
        };
        let start = Instant::now();
        let partial = partial(job, request, shard, device, meter)?;
        let (problem, sources) = (&request.problem, &request.sources);
        Ok(Entry {
            number: shard.number,
            name: shard.name.clone(),
            id: shard.id.clone(),
            dtype: sources.input().element.name().into(),
            target: sources.target_name(),
            weighted: problem.is_weighted(),
            row_weights: problem.row_weights,
            tokens: Tokens::are_rows_of(problem),
            adapter: device.adapter(),
            seconds: start.elapsed().as_secs_f64(),
            partial,
        })
    }
}

/// The reason why a shard has no result.
enum Broken {
    /// Its own data or files.
    Shard(Failure),
    /// A part that all shards need.
    Run(Failure),
}

fn open<'a>(job: &'a Job, files: &InputPaths) -> Result<Request<'a>, Failure> {
    let mut request = Request::new(job, files)?;
    request.open()?;
    Ok(request)
}

/// Computes a shard. The losses of its rows come one by one, so that their squares are summed too.
fn partial(
    job: &Job,
    request: &Request<'_>,
    shard: &Shard<'_>,
    device: &mut Device,
    meter: &mut ShardMeter,
) -> Result<Partial, Broken> {
    let formula = &job.formula.reduced(Reduction::None);
    let problem = formula.problem(&request.sources.shapes(), job.outputs);
    let problem = &problem.map_err(|error| Broken::Shard(request.names.explain(error)))?;
    let data = &request.sources.data();
    let question = Question { formula, outputs: job.outputs, data, problem };
    let steps = shard.steps.as_ref();
    let of_step = problem.losses() / problem.input_shape.first().map_or(1, |&extent| extent.max(1));
    let first = steps.map_or(0, |steps| (steps.start * of_step) as u64);
    let rows = steps.map_or(problem.losses(), |steps| steps.len() * of_step) as u64;
    let mut released = first;
    let computed = device.with_smaller_budgets(&job.run, |device| {
        device.partial(&question, steps.cloned(), &mut |done| {
            meter.done(done, rows);
            released = data.release(problem, released, first + done);
        })
    });
    let finished =
        computed.and_then(|partial| match placed(partial.summary(), first).check(problem) {
            Ok(()) => Ok(partial.reduced(job.reduction.unwrap_or_default())),
            Err(error) => Err(Stop::Library(error)),
        });
    if finished.as_ref().map_or_else(Stop::is_of_data, |_| true) {
        // First, because a damaged file explains why its elements are refused.
        request.sources.verify().map_err(Broken::Shard)?;
    }
    finished.map_err(|stop| match stop {
        Stop::Library(error @ (Error::Lost { .. } | Error::Device { .. })) => {
            Broken::Run(request.names.explain(error))
        }
        Stop::Library(error) => Broken::Shard(request.names.explain(error)),
        Stop::Failure(failure) => Broken::Shard(failure),
    })
}

/// Returns the summary of a run of rows with positions in its file; `before` are the rows, or elements, before it.
fn placed(run: Summary, before: u64) -> Summary {
    let mut placed = run;
    placed.first_bad = run.first_bad.map(|(row, label)| (row + before, label));
    if let Some(value) = &mut placed.first_bad_value {
        value.position += before;
    }
    placed
}
