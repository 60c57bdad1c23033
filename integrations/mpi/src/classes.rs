//! Cross-entropy of rows whose classes are split over ranks.
//!
//! ```text
//! chunk k      states of my classes -> all_gather -> loss and gradient of my classes, from all states
//! chunk k + 1                          states ...    (while the states of chunk k are exchanged)
//! ```
//!
//! A state is 16 to 36 bytes a row; nothing else is exchanged. Each message begins with a word that is 1 if its rank has
//! failed, so that all ranks of a group stop at the same chunk.

use std::thread;
use std::time::{Duration, Instant};

use mpi::collective::SystemOperation;
use mpi::request::scope;
use mpi::traits::*;
use wgpu_loss::reference::weight_in_divisor;
use wgpu_loss::stream::Device;
use wgpu_loss::{
    CrossEntropy, Inputs, LargeOutput, Loss, Outputs, Partial, Problem, Reduction, Sink, Tensor,
};
use xxhash_rust::xxh3::Xxh3;

use crate::agree::{Failure, agreed, gathered, same};
use crate::chunks::{Chunk, cut};
use crate::merge::of_first;

/// The time between two looks at a message under way.
const LOOK: Duration = Duration::from_micros(50);

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

/// Computes the loss of the rows of a group, whose divisor is that of all groups.
pub fn cross_entropy<D: Device + Sync + ?Sized, C: Communicator>(
    call: &Call<'_, D>,
    group: &C,
    groups: &C,
    sink: &mut dyn Sink,
) -> Result<Computed, Failure> {
    let (loss, problem) = sharded(call, group)?;
    let divisor = divisor(call, &problem, groups);
    let work = Work { call, group, loss, problem };
    let computed = work.run(divisor, sink);
    let (partial, times) = agreed(group, computed)?;
    Ok(Computed { partial: of_first(group, &partial)?, times })
}

/// Returns the loss over the classes of this rank, and its problem.
fn sharded<D: ?Sized, C: Communicator>(
    call: &Call<'_, D>,
    group: &C,
) -> Result<(CrossEntropy, Problem), Failure> {
    let Call { loss, inputs, outputs, .. } = call;
    let all = gathered(group, agreed(group, classes_of(call))?);
    let first: u64 = all[..group.rank() as usize].iter().sum();
    let loss = (*loss).clone().class_shard(first, all.iter().sum());
    let shapes = inputs.shapes().states(group.size() as usize);
    let problem = loss.problem(&shapes, *outputs).map_err(Failure::from);
    let problem = agreed(group, problem)?;
    agreed(group, same(group, "options", options(call, &problem)))?;
    agreed(group, same(group, "labels or weights", labels(inputs)))?;
    Ok((loss, problem))
}

/// Returns the number of this rank's classes.
fn classes_of<D: ?Sized>(call: &Call<'_, D>) -> Result<u64, Failure> {
    // The shape of class weights depends on the classes of all ranks, which are not known yet.
    let mut shapes = call.inputs.shapes().states(1);
    shapes.weight = None;
    let anywhere = call.loss.clone().class_shard(0, u64::from(u32::MAX) - 1);
    Ok(anywhere.problem(&shapes, call.outputs)?.view.classes as u64)
}

/// Returns a fingerprint of what ranks of a group have in common apart from their labels.
fn options<D: ?Sized>(call: &Call<'_, D>, problem: &Problem) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(format!("{:?} {:?} {:?}", call.loss, call.outputs, problem.row_shape).as_bytes());
    hash.digest()
}

/// Returns a fingerprint of the labels and weights that all ranks of a group have.
fn labels(inputs: &Inputs<'_>) -> u64 {
    let mut hash = Xxh3::new();
    if let Some((labels, _)) = inputs.labels {
        (0..labels.len()).for_each(|row| hash.update(&labels.get(row).to_le_bytes()));
    }
    for weights in inputs.row_weights.map(|weights| weights.data).into_iter().chain(inputs.weight) {
        (0..weights.len()).for_each(|at| hash.update(&weights.get(at).to_bits().to_le_bytes()));
    }
    hash.digest()
}

/// Returns the divisor of a mean over the rows of all groups, if a gradient needs it.
fn divisor<D: ?Sized, C: Communicator>(
    call: &Call<'_, D>,
    problem: &Problem,
    groups: &C,
) -> Option<f64> {
    let inputs = call.inputs;
    let mine = match problem.reduction {
        Reduction::Mean => {
            let weight = |row| {
                let own =
                    inputs.row_weights.map_or(1.0, |weights| f64::from(weights.data.get(row)));
                let label = inputs.labels.map(|(labels, _)| labels.get(row));
                weight_in_divisor(problem, label, inputs.weight, own)
            };
            (0..problem.view.rows()).map(weight).sum()
        }
        Reduction::BatchMean => problem.row_shape.first().map_or(1.0, |&extent| extent as f64),
        Reduction::None | Reduction::Sum => 0.0,
    };
    let all: f64 = gathered(groups, mine).iter().sum();
    let is_mean = matches!(problem.reduction, Reduction::Mean | Reduction::BatchMean);
    (is_mean && problem.outputs.grad).then_some(all)
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
}

/// A call with its shard of the classes.
struct Work<'a, D: ?Sized, C> {
    call: &'a Call<'a, D>,
    group: &'a C,
    loss: CrossEntropy,
    problem: Problem,
}

impl<D: Device + Sync + ?Sized, C: Communicator> Work<'_, D, C> {
    /// Computes all chunks. The exchanges of a group are the same on all of its ranks.
    fn run(&self, divisor: Option<f64>, sink: &mut dyn Sink) -> Result<(Partial, Times), Failure> {
        let Self { call, problem, .. } = self;
        let chunks = cut(problem, call.inputs, self.steps());
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
            let partial = call.device.partial(&loss, &inputs, call.outputs, &mut placed);
            rows_before += chunk.rows as u64;
            let merged = partial.and_then(|next| match &mut found {
                None => {
                    found = Some(next);
                    Ok(())
                }
                Some(found) => found.merge(&next),
            });
            times.rest += start.elapsed();
            // The others hear of a failure in the next message, or after the last chunk.
            mine = match (merged, next) {
                (Ok(()), Some(next)) => next,
                (Err(error), Some(_)) => Err(error.into()),
                (Err(error), None) => return Err(error.into()),
                (Ok(()), None) => break,
            };
        }
        let found = found.ok_or_else(|| Failure::Own("there was no chunk".into()))?;
        Ok((found.reduced(problem.reduction), times))
    }

    /// Returns the steps of the first axis in a chunk: the same on all ranks of a group.
    fn steps(&self) -> usize {
        let Problem { view, input_type, input_shape, .. } = &self.problem;
        let steps = input_shape.first().map_or(1, |&extent| extent.max(1));
        let step = view.elements() / steps * input_type.bytes() as usize;
        let (step, mut largest) = (step as u64, 0u64);
        self.group.all_reduce_into(&step, &mut largest, SystemOperation::max());
        (self.call.chunk_bytes / (largest as usize).max(1)).max(1)
    }

    /// Exchanges the states of a chunk, `words` words of each rank, and computes those of the next one meanwhile. Returns
    /// the states of all ranks, one rank after the other.
    fn exchange(
        &self,
        mine: Result<Vec<u32>, Failure>,
        words: usize,
        next: Option<&Chunk<'_>>,
        times: &mut Times,
    ) -> Result<(Vec<u32>, Option<Result<Vec<u32>, Failure>>), Failure> {
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
) -> (Result<Vec<u32>, Failure>, Duration) {
    let start = Instant::now();
    let computed = call.device.run(loss, &chunk.inputs(), call.outputs.only_states());
    let states = computed.map_err(Failure::from).and_then(|output| match output.states {
        Some(states) => Ok(states.into_words()),
        None => Err(Failure::Own("the device returned no states".into())),
    });
    (states, start.elapsed())
}
