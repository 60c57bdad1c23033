//! Passes pieces through one GPU or several and merges the results.
//!
//! The calling thread does all that the host does: it fills the buffers of a GPU that has room for a piece, and takes the
//! results of the GPU that is done first. Copies use all cores by themselves, and sinks belong to the caller's thread;
//! threads of our own would add copies and waits.
//!
//! A batch is cut before anybody computes, into pieces that every GPU has room for, so that the results do not depend on
//! which GPU was faster. If one fails, the others compute its pieces.

use std::cmp::Reverse;
use std::sync::Arc;

use super::lane::{Batch, Given, Lane};
use super::queue::Queue;
use super::results::Results;
use super::ring::COMPUTING;
use super::schedule::{Worker, taker};
use super::share::Ledger;
use crate::gpu::Gpu;
use crate::gpu::stopwatch::Stopwatch;
use crate::poll::{Wait, explained, first_answered};
use crate::reference::Sums;
use crate::stream::{Cut, Room, RowRange, Sink, outer_bytes, problem_of};
use crate::tensor::{Axes, TensorSlot};
use crate::{Error, Inputs, Problem};

/// The most pieces under way on a GPU: one that the host fills, one that the device computes, and one that waits for
/// either of them.
const TURNS: usize = 3;
/// The most times that pieces are halved if the device has no memory for them.
const HALVINGS: u32 = 8;

/// The classes of a view, and the axes of the operands.
type Kind = (usize, [Option<Axes>; 4]);

fn kind_of(problem: &Problem) -> Option<Kind> {
    let pointwise = problem.pointwise?;
    let operands = [Some(pointwise.target), pointwise.weight, pointwise.pos_weight, pointwise.var];
    Some((problem.view.classes, operands.map(|operand| operand.map(|operand| operand.axes))))
}

/// Sends batches through the devices in pieces and merges the results.
#[derive(Debug)]
pub(in crate::gpu) struct Executor<'g> {
    /// The GPUs that take part. One that fails is left out, unless it is the last.
    pub(super) lanes: Vec<Lane<'g>>,
    pub(super) wait: Wait<'g>,
    /// True if more batches may follow this one.
    open: bool,
    /// The kind that the rings' plans are for: plans are kept by the extents of pieces alone.
    kind: Option<Kind>,
    halvings: u32,
    /// Rows of the batches before this one.
    rows: u64,
    pub(super) results: Results,
}

/// A failure, by its origin.
enum Fault {
    /// Of a GPU: others may take its pieces.
    Gpu(usize, Error),
    /// Of the caller's sink, or of the results: it ends the call.
    Call(Error),
}

impl<'g> Executor<'g> {
    /// Returns an executor for one batch, or for any number of them if `open`.
    pub fn new(gpu: &'g Gpu, wait: Wait<'g>, open: bool) -> Self {
        Self::of(vec![Lane::new(gpu, None)], wait, open)
    }

    /// Returns an executor on several GPUs, for calls that block.
    pub fn shared(gpus: impl Iterator<Item = (&'g Gpu, &'g Ledger)>, open: bool) -> Self {
        let lanes = gpus.map(|(gpu, ledger)| Lane::new(gpu, Some(ledger)));
        Self::of(lanes.collect(), Wait::Here, open)
    }

    /// Returns the results, and an executor that has computed nothing, on the GPUs that have not failed. It has no
    /// buffers: those that were made are freed, because the next ones may need the whole memory budget.
    pub(super) fn anew(self) -> (Results, Self) {
        let lanes = self.lanes.into_iter().map(Lane::anew).collect();
        (self.results, Self::of(lanes, self.wait, self.open))
    }

    fn of(lanes: Vec<Lane<'g>>, wait: Wait<'g>, open: bool) -> Self {
        let results = Results::default();
        Self { lanes, wait, open, kind: None, halvings: 0, rows: 0, results }
    }

    /// Computes a batch, whose gradient is multiplied by `scale`. Large outputs are all written when this returns; sums
    /// may still be under way on a single GPU.
    pub async fn push(
        &mut self,
        problem: &Problem,
        inputs: &Inputs<'_>,
        scale: f64,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let rows = problem.losses();
        self.results.variance.open(problem)?;
        if problem.pointwise.is_some() && self.kind != kind_of(problem) {
            // Operands of a batch of one step are broadcast along other axes than those of larger batches.
            self.drain(sink).await?;
            self.lanes.iter_mut().for_each(Lane::clear);
            self.kind = kind_of(problem);
        }
        if rows > 0 && outer_bytes(problem) == 0 {
            // Distributions over no classes: there is nothing to read or write.
            self.results.found.add(&Sums::empty_rows(rows));
        } else if rows > 0 {
            let batch = Arc::new(Batch { problem: problem.clone(), rows_before: self.rows });
            let given = Given { batch: &batch, inputs, scale };
            match self.cut(problem) {
                Ok((cut, turns)) => self.compute(given, Queue::new(&cut), turns, sink).await?,
                // The budget does not hold one row.
                Err(refused @ Error::Budget { .. }) if problem.pointwise.is_none() => {
                    self.drain(sink).await?;
                    self.lanes.iter_mut().for_each(Lane::clear);
                    let done = self.long_rows(given, sink).await;
                    done.map_err(|error| cheaper(error, refused))?;
                }
                Err(error) => return Err(error),
            }
        }
        self.rows += rows as u64;
        self.results.variance.close(problem, sink)
    }

    /// Waits for all pieces under way.
    pub async fn drain(&mut self, sink: &mut (impl Sink + ?Sized)) -> Result<(), Error> {
        while let Some(lane) = self.first_done() {
            let retired = self.retire(lane, sink).await;
            retired.map_err(|fault| self.ended_by(fault))?;
        }
        Ok(())
    }

    /// Returns the pieces of a batch, and the number of them that may be under way on a GPU. A GPU whose budget does not
    /// hold one row takes no part, if another's does.
    fn cut(&mut self, problem: &Problem) -> Result<(Cut, usize), Error> {
        let (halvings, mut refused) = (self.halvings, None);
        for lane in &mut self.lanes {
            let alone = Cut::new(problem, lane.room(problem, 1, halvings));
            lane.takes_part = alone.is_ok();
            if let Err(bytes) = alone {
                let (needed, given) = (lane.budget_of(problem, bytes), lane.gpu.memory_budget);
                let error = Error::Budget { what: "one row", needed, given };
                refused = Some(refused.map_or(error.clone(), |other| cheaper(error, other)));
            }
        }
        for turns in (1..=TURNS).rev() {
            let able = self.lanes.iter().filter(|lane| lane.takes_part);
            let rooms = able.map(|lane| lane.room(problem, turns, halvings));
            let common = rooms.reduce(Room::both);
            if let Some(Ok(cut)) = common.map(|room| Cut::new(problem, room)) {
                return Ok((cut, turns));
            }
        }
        Err(refused.unwrap_or(Error::Lost { during: "an earlier call" }))
    }

    /// Computes the pieces of a batch.
    async fn compute(
        &mut self,
        given: Given<'_>,
        mut queue: Queue,
        turns: usize,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        self.lanes.iter_mut().for_each(Lane::open_batch);
        // The sums of classes are merged later.
        let is_large = |slot: TensorSlot| slot.is_output() && slot != TensorSlot::Classes;
        let writes = given.batch.problem.tensors().any(|tensor| is_large(tensor.slot));
        // Another GPU can take a piece only as long as the caller lends its tensors.
        let to_the_end = writes || self.lanes.len() > 1;
        loop {
            let step = match self.taker(queue.left()) {
                Some(lane) => self.submit(lane, given, &mut queue, turns, sink).await,
                None if queue.left() == 0 && !to_the_end => return Ok(()),
                None => match self.first_done() {
                    Some(lane) => self.retire(lane, sink).await,
                    None if queue.left() == 0 => return Ok(()),
                    // Pieces that no GPU takes must not be missing from the results in silence.
                    None => return Err(Error::Lost { during: "choosing a GPU for a piece" }),
                },
            };
            if let Err(fault) = step {
                self.recover(fault, &mut queue, sink).await?;
            }
        }
    }

    /// Returns the GPU that takes the next of `left` pieces, unless the piece waits for one that is busy.
    fn taker(&self, left: usize) -> Option<usize> {
        let workers: Vec<Worker> = self.lanes.iter().map(Lane::worker).collect();
        taker(&workers, left)
    }

    /// Submits the next piece to a GPU that has room for it. Its buffers are made for the first one.
    async fn submit(
        &mut self,
        number: usize,
        given: Given<'_>,
        queue: &mut Queue,
        turns: usize,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Fault> {
        let (outer, inner) = queue.largest();
        let largest = problem_of(&given.batch.problem, outer, inner);
        if !self.lanes[number].holds(&largest) {
            while !self.lanes[number].is_idle() {
                self.retire(number, sink).await?;
            }
            let turns = if self.open { turns } else { turns.min(queue.left()) };
            let made = self.lanes[number].make_room(&largest, turns, &mut self.results.timing);
            made.map_err(|error| Fault::Gpu(number, error))?;
        }
        let Some(rows) = queue.take() else { return Ok(()) };
        let submitted = self.lanes[number].submit(given, &rows, &mut self.results.timing);
        submitted.map_err(|error| {
            queue.give_back(rows);
            Fault::Gpu(number, error)
        })
    }

    /// Waits until the oldest piece of a GPU is done, and returns the GPU.
    fn first_done(&mut self) -> Option<usize> {
        let start = Stopwatch::start();
        let lanes = self.lanes.iter().enumerate();
        let mut busy: Vec<_> =
            lanes.filter_map(|(number, lane)| Some((number, lane.answers()?))).collect();
        // The wait for a single one is in `retire`.
        if busy.len() < 2 {
            return busy.first().map(|(number, _)| *number);
        }
        // Of several that are done, the one that has waited for longest: a fast GPU, which is always done, must not keep
        // the others waiting.
        busy.sort_by_key(|(number, _)| Reverse(self.lanes[*number].age()));
        let device = |number: usize| &self.lanes[number].gpu.device;
        let asked: Vec<_> = busy.iter().map(|&(number, asked)| (device(number), asked)).collect();
        let first = first_answered(&asked, COMPUTING).map(|place| busy[place].0);
        self.results.timing.kernel += start.elapsed();
        first
    }

    /// Waits for the oldest piece of a GPU, and merges its results.
    async fn retire(
        &mut self,
        number: usize,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Fault> {
        let Self { lanes, results, wait, .. } = self;
        let lane = &mut lanes[number];
        let of_gpu = |error| Fault::Gpu(number, error);
        lane.wait(*wait, &mut results.timing).await.map_err(of_gpu)?;

        let start = Stopwatch::start();
        let Some((piece, decoded, outputs)) = lane.oldest().map_err(of_gpu)? else {
            return Ok(());
        };
        let before = results.progress;
        results.take(piece, &decoded, &outputs, sink).map_err(Fault::Call)?;
        let rows = results.progress.rows - before.rows;
        let bytes = results.progress.bytes - before.bytes;
        drop(outputs);
        // The piece is done, whatever happens to the GPU from now on.
        let released = lane.release(rows, bytes);
        results.timing.read_back += start.elapsed();
        sink.progress(&results.progress).map_err(Fault::Call)?;
        released.map_err(of_gpu)
    }

    /// Returns the number of GPUs that take part.
    fn takers(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.takes_part).count()
    }

    /// Goes on without a GPU that has failed, or with smaller pieces if it has no memory for them and no other takes part.
    async fn recover(
        &mut self,
        fault: Fault,
        queue: &mut Queue,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        match fault {
            Fault::Gpu(number, error @ Error::OutOfMemory { .. })
                if self.takers() == 1 && self.halvings < HALVINGS && queue.halve() =>
            {
                log::warn!("{error}; trying with half as much");
                self.drain(sink).await?;
                self.lanes[number].clear();
                self.halvings += 1;
            }
            Fault::Gpu(number, error) => {
                let pieces = self.leave_out(number, error)?;
                // The oldest is taken first.
                pieces.into_iter().rev().for_each(|rows| queue.give_back(rows));
            }
            Fault::Call(error) => return Err(error),
        }
        Ok(())
    }

    /// Goes on without a GPU that has failed and returns the pieces that it leaves.
    ///
    /// # Errors
    /// Its error, if there is no other.
    pub(super) fn leave_out(
        &mut self,
        number: usize,
        error: Error,
    ) -> Result<Vec<RowRange>, Error> {
        let error = self.ended_by(Fault::Gpu(number, error));
        let pieces = self.lanes[number].fail(&error);
        let mut others = self.lanes.iter().enumerate().filter(|(other, _)| *other != number);
        if !others.any(|(_, lane)| lane.takes_part) {
            return Err(error);
        }
        let lane = self.lanes.remove(number);
        log::warn!("{}: {error}; other GPUs go on without it", lane.gpu.info.name);
        Ok(pieces)
    }

    /// Returns the error of a call that ends.
    fn ended_by(&self, fault: Fault) -> Error {
        match fault {
            Fault::Gpu(number, error) => explained(&self.lanes[number].gpu.device, error),
            Fault::Call(error) => error,
        }
    }
}

/// Returns the error that needs the smaller budget.
fn cheaper(error: Error, other: Error) -> Error {
    match (&error, &other) {
        (Error::Budget { needed: a, .. }, Error::Budget { needed: b, .. }) if b < a => other,
        _ => error,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::{CrossEntropy, Loss, Outputs, Tensor};

    const ROWS: usize = 2_500_000;
    const CLASSES: usize = 100;
    const MIB: u64 = 1 << 20;

    /// A memory limit holds for a whole process, so this test runs one of its own.
    #[test]
    fn pieces_shrink_where_the_device_runs_out_of_memory() {
        const CHILD: &str = "WGPU_LOSS_TEST_SHORT_OF_MEMORY";
        if std::env::var_os(CHILD).is_some() {
            return short_of_memory();
        }
        let this =
            "gpu::stream::executor::tests::pieces_shrink_where_the_device_runs_out_of_memory";
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        let child = child.args(["--exact", this, "--nocapture"]).env(CHILD, "1");
        let output = child.output().expect("a process");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        // A GPU has memory of its own, which the limit does not count.
        if text.contains("software") {
            assert!(text.contains("halved"), "{text}");
        }
    }

    /// One GPU computes, the other's budget does not hold a row.
    fn one_of_two(test: impl FnOnce(Executor<'_>, Given<'_>, Queue)) {
        let shape = [64, 10];
        let (zeros, labels) = ([0f32; 640], [7u8; 64]);
        let inputs = Inputs::new(Tensor::new(&zeros, &shape)).labels(&labels, &shape[..1]);
        let problem = CrossEntropy::new().problem(&inputs.shapes(), Outputs::loss());
        let batch = Arc::new(Batch { problem: problem.expect("a problem"), rows_before: 0 });
        let given = Given { batch: &batch, inputs: &inputs, scale: 1.0 };
        let gpu = Gpu::new().expect("a GPU adapter");
        let tiny = gpu.with_memory_budget(1);
        let lanes = [&gpu, &tiny].map(|gpu| Lane::new(gpu, None));
        let mut executor = Executor::of(lanes.into(), Wait::Here, false);
        let (cut, _) = executor.cut(&batch.problem).expect("pieces");
        assert_eq!(executor.takers(), 1);
        test(executor, given, Queue::new(&cut));
    }

    #[test]
    fn pieces_shrink_where_no_other_gpu_takes_part() {
        one_of_two(|mut executor, _, mut queue| {
            let fault = Fault::Gpu(0, Error::OutOfMemory { what: "a piece", bytes: 5 });
            let went_on = pollster::block_on(executor.recover(fault, &mut queue, &mut ()));
            assert_eq!(went_on, Ok(()));
            assert_eq!((executor.halvings, queue.largest().0), (1, 32));
        });
    }

    #[test]
    fn pieces_that_nobody_takes_are_an_error() {
        one_of_two(|mut executor, given, queue| {
            executor.lanes[0].takes_part = false;
            let done = pollster::block_on(executor.compute(given, queue, 1, &mut ()));
            assert!(matches!(done, Err(Error::Lost { .. })), "{done:?}");
        });
    }

    fn short_of_memory() {
        let mut gpu = Gpu::new().expect("a GPU adapter");
        let zeros = vec![0f32; ROWS * CLASSES];
        let labels = vec![7u8; ROWS];
        let run = |gpu: &Gpu, rows: usize| {
            let shape = [rows, CLASSES];
            let inputs = Inputs::new(Tensor::new(&zeros[..rows * CLASSES], &shape));
            let inputs = inputs.labels(&labels[..rows], &shape[..1]);
            let output = gpu.run(&CrossEntropy::new(), &inputs, Outputs::loss())?;
            assert!((output.loss[0] - (CLASSES as f32).ln()).abs() < 1e-5);
            Ok::<_, Error>(output)
        };
        // Allocates kernels, threads and all else that is made once.
        run(&gpu, 100_000).expect("a loss");
        if !gpu.kernels.profile().is_software() {
            return;
        }
        println!("a software driver");
        limit_memory(600 * MIB);
        // Three pieces of this size do not fit, and three of half the size do.
        gpu.piece_bytes = 256 * MIB;
        gpu.memory_budget = 4096 * MIB;
        let error = resident(&gpu, &zeros, &labels).expect_err("more than there is");
        let Error::OutOfMemory { bytes, .. } = error else { panic!("{error}") };
        assert_eq!(bytes, 4 * (ROWS * CLASSES) as u64);

        let shape = [ROWS, CLASSES];
        let inputs = Inputs::new(Tensor::new(&zeros, &shape)).labels(&labels, &shape[..1]);
        let problem = CrossEntropy::new().problem(&inputs.shapes(), Outputs::loss());
        let problem = problem.expect("a problem");
        let mut executor = Executor::new(&gpu, Wait::Here, false);
        pollster::block_on(async {
            executor.push(&problem, &inputs, 1.0, &mut ()).await?;
            executor.drain(&mut ()).await
        })
        .expect("a loss, in smaller pieces");
        assert!((1..HALVINGS).contains(&executor.halvings));
        assert_eq!(executor.results.found.summary().live, ROWS as u64);
        println!("halved");
        run(&gpu, 100_000).expect("a device that works");
    }

    fn resident(gpu: &Gpu, zeros: &[f32], labels: &[u8]) -> Result<(), Error> {
        let shape = [ROWS, CLASSES];
        let inputs = Inputs::new(Tensor::new(zeros, &shape)).labels(labels, &shape[..1]);
        gpu.bind(&CrossEntropy::new(), &inputs, Outputs::loss()).map(drop)
    }

    /// Limits this process to `more` bytes of address space on top of its present ones.
    fn limit_memory(more: u64) {
        let status = std::fs::read_to_string("/proc/self/status").expect("a status");
        let line = status.lines().find(|line| line.starts_with("VmSize:")).expect("a size");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB");
        let limit = format!("--as={}:unlimited", 1024 * kib + more);
        let process = format!("--pid={}", std::process::id());
        let status = Command::new("prlimit").args([process, limit]).status().expect("prlimit");
        assert!(status.success());
    }
}
