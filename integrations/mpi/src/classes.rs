//! Cross-entropy of rows whose classes are split over ranks.
//!
//! ```text
//! chunk k      states of my classes -> all_gather -> loss and gradient of my classes, from all states
//! chunk k + 1                          states ...    (while the states of chunk k are exchanged)
//! ```
//!
//! A state is 16 to 36 bytes a row; nothing else of rows is exchanged. Each message begins with a word that is 1 if its
//! rank has failed, so that all ranks of a group stop at the same chunk; other groups hear of it at the end.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use mpi::request::scope;
use mpi::traits::*;
use wgpu_loss::reference::weight_in_divisor;
use wgpu_loss::stream::{Device, Progress};
use wgpu_loss::{
    CrossEntropy, Inputs, LargeOutput, Loss, Outputs, Partial, Problem, Reduction, Sink, Tensor,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::Error;
use crate::agree::{Failure, gathered_words, told};
use crate::chunks::{Chunk, cut};
use crate::merge::of_first;

/// The time between two looks at a message under way.
const LOOK: Duration = Duration::from_micros(50);

/// The states of a chunk's rows over a rank's classes.
type States = Result<Vec<u32>, Failure>;

/// The arguments of a rank.
pub struct Call<'a, D: ?Sized> {
    pub device: &'a D,
    pub loss: &'a CrossEntropy,
    pub inputs: &'a Inputs<'a>,
    pub outputs: Outputs,
    pub chunk_bytes: usize,
}

/// The result of a call on several ranks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Computed {
    /// The findings about the rows of all ranks.
    pub partial: Partial,
    /// The times of this rank, and the bytes that it has exchanged.
    pub times: Times,
}

/// The times of the parts of a call on one rank.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Times {
    /// Computing states. That of all chunks but the first goes on while the states of the chunk before are exchanged.
    pub states: Duration,
    /// Waiting for the states of other ranks, with nothing else to do.
    pub waiting: Duration,
    /// Computing loss and gradient from the states.
    pub rest: Duration,
    /// Bytes of states that the rank has sent to each of the others.
    pub sent: u64,
}

/// The ranks of a grid, in the order of the groups.
pub struct Ranks<'a, C> {
    pub all: &'a C,
    /// The ranks that share the classes of this rank's rows.
    pub group: &'a C,
}

impl<C: Communicator> Ranks<'_, C> {
    /// Returns the numbers of the ranks of a rank's group.
    fn group_of(&self, rank: usize) -> Range<usize> {
        let size = self.group.size() as usize;
        let first = rank / size * size;
        first..first + size
    }
}

/// Computes the loss of the rows of a group, whose divisor is that of all groups.
pub fn cross_entropy<D: Device + Sync + ?Sized, C: Communicator>(
    call: &Call<'_, D>,
    ranks: &Ranks<'_, C>,
    sink: &mut dyn Sink,
) -> Result<Computed, Error> {
    let group = ranks.group;
    let opened = shards(call, ranks).and_then(|shard| opened(call, ranks, shard));
    // Up to here, all ranks have failed or none has; from here on, those of a group.
    let computed = opened.and_then(|(work, divisor)| work.run(divisor, sink));
    let (partial, times) = told(ranks.all, computed)?;
    Ok(Computed { partial: of_first(group, &partial)?, times })
}

/// The classes of a rank, and the steps of the first axis in a chunk.
struct Shard {
    first: u64,
    of: u64,
    steps: usize,
}

/// Returns the classes of this rank, if all ranks fit together.
fn shards<D: ?Sized, C: Communicator>(
    call: &Call<'_, D>,
    ranks: &Ranks<'_, C>,
) -> Result<Shard, Failure> {
    let mine = Facts::of(call);
    let words = mine.as_ref().map_or(Facts::FAILED, |facts| *facts).words();
    let all = gathered_words(ranks.all, words);
    let all: Vec<Facts> = all.into_iter().map(Facts::from_words).collect();
    let of_first = |rank: usize| all[rank].difference(&all[ranks.group_of(rank).start]);
    let rank = ranks.all.rank() as usize;
    mine?;
    if let Some(what) = of_first(rank) {
        let message = format!("it was given other {what} than the first rank of its group");
        return Err(Failure::Own(message));
    }
    if (0..all.len()).any(|rank| all[rank] == Facts::FAILED || of_first(rank).is_some()) {
        return Err(Failure::Stopped);
    }
    let group = &all[ranks.group_of(rank)];
    let classes = |of: &[Facts]| of.iter().map(|facts| facts.classes).sum();
    let steps = group.iter().map(|facts| facts.steps).min().unwrap_or(1);
    let first = classes(&group[..ranks.group.rank() as usize]);
    Ok(Shard { first, of: classes(group), steps: (steps as usize).max(1) })
}

/// What ranks tell each other before they begin.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Facts {
    classes: u64,
    /// The most steps of the first axis that fit a chunk.
    steps: u64,
    /// Fingerprints.
    options: u64,
    labels: u64,
}

impl Facts {
    /// In place of the facts of a rank that has failed.
    const FAILED: Self = Self { classes: u64::MAX, steps: 0, options: 0, labels: 0 };

    fn of<D: ?Sized>(call: &Call<'_, D>) -> Result<Self, Failure> {
        let Call { loss, inputs, outputs, chunk_bytes, .. } = call;
        inputs.check()?;
        if outputs.states {
            return Err(Failure::Own("states are exchanged, and no output of this call".into()));
        }
        // The shape of class weights depends on the classes of all ranks, which are not known yet.
        let mut shapes = inputs.shapes().states(1);
        shapes.weight = None;
        let anywhere = (*loss).clone().class_shard(0, u64::from(u32::MAX) - 1);
        let problem = anywhere.problem(&shapes, *outputs)?;
        let extent = problem.input_shape.first().map_or(1, |&extent| extent.max(1));
        let step = problem.view.elements() / extent * problem.input_type.bytes() as usize;
        Ok(Self {
            classes: problem.view.classes as u64,
            steps: (chunk_bytes / step.max(1)) as u64,
            options: xxh3_64(format!("{loss:?} {outputs:?} {:?}", problem.row_shape).as_bytes()),
            labels: labels(inputs),
        })
    }

    fn words(self) -> [u64; 4] {
        [self.classes, self.steps, self.options, self.labels]
    }

    fn from_words([classes, steps, options, labels]: [u64; 4]) -> Self {
        Self { classes, steps, options, labels }
    }

    /// Returns what ranks of a group must have in common and have not.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        match (self.options == other.options, self.labels == other.labels) {
            _ if [self, other].contains(&&Self::FAILED) => None,
            (false, _) => Some("options"),
            (true, false) => Some("labels, weights or upstream gradients"),
            (true, true) => None,
        }
    }
}

/// Returns a fingerprint of the tensors that all ranks of a group have.
fn labels(inputs: &Inputs<'_>) -> u64 {
    let mut hash = Xxh3::new();
    if let Some((labels, _)) = inputs.labels {
        (0..labels.len()).for_each(|row| hash.update(&labels.get(row).to_le_bytes()));
    }
    let upstream = inputs.upstream.map(|upstream| upstream.data);
    for floats in [inputs.row_weights.map(|weights| weights.data), inputs.weight, upstream] {
        // One that is not there differs from one without elements.
        let count = floats.map_or(u64::MAX, |floats| floats.len() as u64);
        hash.update(&count.to_le_bytes());
        if let Some(floats) = floats {
            (0..floats.len()).for_each(|at| hash.update(&floats.get(at).to_bits().to_le_bytes()));
        }
    }
    hash.digest()
}

/// Returns the work on this rank's classes, and the divisor of a mean over the rows of all groups if a gradient needs it.
fn opened<'a, D: ?Sized, C: Communicator>(
    call: &'a Call<'a, D>,
    ranks: &Ranks<'a, C>,
    Shard { first, of, steps }: Shard,
) -> Result<(Work<'a, D, C>, Option<f64>), Failure> {
    let group = ranks.group;
    let loss = call.loss.clone().class_shard(first, of);
    let shapes = call.inputs.shapes().states(group.size() as usize);
    let problem = loss.problem(&shapes, call.outputs);
    let weight = problem.as_ref().map_or(0.0, |problem| weight(call.inputs, problem));
    let all = gathered_words(ranks.all, [u64::from(problem.is_err()), weight.to_bits()]);
    let problem = problem?;
    if all.iter().any(|[failed, _]| *failed != 0) {
        return Err(Failure::Stopped);
    }
    let of_groups = all.iter().skip(group.rank() as usize).step_by(group.size() as usize);
    let divisor: f64 = of_groups.map(|[_, weight]| f64::from_bits(*weight)).sum();
    let is_mean = matches!(problem.reduction, Reduction::Mean | Reduction::BatchMean);
    let needed = is_mean && problem.outputs.grad;
    Ok((Work { call, group, loss, problem, steps }, needed.then_some(divisor)))
}

/// Returns the part of a group's rows in the divisor of a mean, if a gradient needs it.
fn weight(inputs: &Inputs<'_>, problem: &Problem) -> f64 {
    match problem.reduction {
        _ if !problem.outputs.grad => 0.0,
        Reduction::None | Reduction::Sum => 0.0,
        Reduction::BatchMean => problem.row_shape.first().map_or(1.0, |&extent| extent as f64),
        Reduction::Mean => {
            let of_row = |row| {
                let own =
                    inputs.row_weights.map_or(1.0, |weights| f64::from(weights.data.get(row)));
                let label = inputs.labels.map(|(labels, _)| labels.get(row));
                weight_in_divisor(problem, label, inputs.weight, own)
            };
            (0..problem.view.rows()).map(of_row).sum()
        }
    }
}

/// Returns the factor of the gradient of a mean.
fn scale(inputs: &Inputs<'_>, divisor: f64) -> f32 {
    let upstream: f64 =
        inputs.upstream.map_or(1.0, |upstream| upstream.data.iter().map(f64::from).sum());
    // The gradient of a mean over nothing is zero.
    if divisor == 0.0 { 0.0 } else { (upstream / divisor) as f32 }
}

/// A sink for the outputs of a chunk, at their places in those of all chunks.
struct Placed<'a> {
    sink: &'a mut dyn Sink,
    problem: &'a Problem,
    rows_before: u64,
}

impl Sink for Placed<'_> {
    fn write(
        &mut self,
        what: LargeOutput,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), wgpu_loss::Error> {
        let classes = match what {
            LargeOutput::Grad | LargeOutput::Distribution => self.problem.view.classes as u64,
            _ => 1,
        };
        let element = self.problem.float_type_of(what).map_or(4, |of| u64::from(of.bytes()));
        self.sink.write(what, self.rows_before * classes * element + offset, bytes)
    }

    fn progress(&mut self, done: &Progress) -> Result<(), wgpu_loss::Error> {
        let mut of_all = *done;
        of_all.rows += self.rows_before;
        of_all.of = Some(self.problem.view.rows() as u64);
        self.sink.progress(&of_all)
    }
}

/// A call with its shard of the classes.
struct Work<'a, D: ?Sized, C> {
    call: &'a Call<'a, D>,
    group: &'a C,
    loss: CrossEntropy,
    problem: Problem,
    /// Steps of the first axis in a chunk.
    steps: usize,
}

impl<D: Device + Sync + ?Sized, C: Communicator> Work<'_, D, C> {
    /// Computes all chunks. The exchanges of a group are the same on all of its ranks.
    fn run(&self, divisor: Option<f64>, sink: &mut dyn Sink) -> Result<(Partial, Times), Failure> {
        let Self { call, problem, .. } = self;
        let chunks = cut(problem, call.inputs, self.steps);
        // The gradient of a mean is that of the sum, for an upstream gradient that contains the divisor.
        let loss = match divisor {
            Some(_) => self.loss.clone().reduction(Reduction::Sum),
            None => self.loss.clone(),
        };
        let upstream = divisor.map(|divisor| [scale(call.inputs, divisor)]);
        let mut times = Times::default();
        let mut found: Option<Partial> = None;
        let (mut mine, took) = states(call, &self.loss, &chunks[0]);
        times.states += took;
        let mut rows_before = 0;
        for (number, chunk) in chunks.iter().enumerate() {
            let words = problem.state_fields().len() * chunk.rows;
            let (all, next) = self.exchange(mine, words, chunks.get(number + 1), &mut times)?;
            let start = Instant::now();
            let mut inputs = chunk.inputs().states(&all, self.group.size() as usize);
            if let Some(upstream) = &upstream {
                inputs = inputs.upstream(Tensor::new(upstream, &[]));
            }
            let mut placed = Placed { sink, problem, rows_before };
            let partial =
                guarded(|| call.device.partial(&loss, &inputs, call.outputs, &mut placed));
            rows_before += chunk.rows as u64;
            let merged = partial.and_then(|next| match &mut found {
                None => {
                    found = Some(next);
                    Ok(())
                }
                Some(found) => found.merge(&next).map_err(Failure::from),
            });
            times.rest += start.elapsed();
            // The others hear of a failure in the next message, or after the last chunk.
            mine = match (merged, next) {
                (Ok(()), Some(next)) => next,
                (Err(failure), Some(_)) => Err(failure),
                (Err(failure), None) => return Err(failure),
                (Ok(()), None) => break,
            };
        }
        let found = found.ok_or_else(|| Failure::Own("there was no chunk".into()))?;
        Ok((found.reduced(problem.reduction), times))
    }

    /// Exchanges the states of a chunk, `words` words of each rank, and computes those of the next one meanwhile. Returns
    /// the states of all ranks, one rank after the other.
    fn exchange(
        &self,
        mine: States,
        words: usize,
        next: Option<&Chunk<'_>>,
        times: &mut Times,
    ) -> Result<(Vec<u32>, Option<States>), Failure> {
        let mut sent = vec![0u32; 1 + words];
        match &mine {
            Ok(states) => sent[1..].copy_from_slice(states),
            Err(_) => sent[0] = 1,
        }
        let mut received = vec![0u32; sent.len() * self.group.size() as usize];
        times.sent += 4 * sent.len() as u64;
        let next = thread::scope(|threads| {
            // The thread knows nothing of MPI.
            let (call, loss) = (self.call, &self.loss);
            let computing = next.map(|chunk| threads.spawn(move || states(call, loss, chunk)));
            scope(|scope| {
                let mut request =
                    Some(self.group.immediate_all_gather_into(scope, &sent[..], &mut received[..]));
                // Messages make progress only while their rank looks at them.
                while let Some(under_way) = request.take() {
                    let busy = computing.as_ref().is_some_and(|computing| !computing.is_finished());
                    match (busy, under_way) {
                        (true, under_way) => {
                            request = under_way.test().err();
                            thread::sleep(LOOK);
                        }
                        (false, under_way) => {
                            let start = Instant::now();
                            under_way.wait();
                            times.waiting += start.elapsed();
                        }
                    }
                }
            });
            computing.map(|computing| computing.join())
        });
        let next = next.map(|joined| match joined {
            Ok((states, took)) => {
                times.states += took;
                states
            }
            Err(_) => Err(Failure::Own("computing states panicked".into())),
        });
        let parts = || received.chunks_exact(sent.len());
        match parts().any(|part| part[0] != 0) {
            true => Err(mine.err().unwrap_or(Failure::Stopped)),
            false => Ok((parts().flat_map(|part| &part[1..]).copied().collect(), next)),
        }
    }
}

/// Computes the states of a chunk over this rank's classes, and returns them with the time that it took.
fn states<D: Device + ?Sized>(
    call: &Call<'_, D>,
    loss: &CrossEntropy,
    chunk: &Chunk<'_>,
) -> (States, Duration) {
    let start = Instant::now();
    let outputs = call.outputs.only_states();
    let computed = guarded(|| call.device.run(loss, &chunk.inputs(), outputs));
    let states = computed.and_then(|output| match output.states {
        Some(states) => Ok(states.into_words()),
        None => Err(Failure::Own("the device returned no states".into())),
    });
    (states, start.elapsed())
}

/// Runs a part of a call; a panic in it is a failure of this rank, of which the others hear.
fn guarded<T>(work: impl FnOnce() -> Result<T, wgpu_loss::Error>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failure::Own("a part of the call panicked".into())),
    }
}
