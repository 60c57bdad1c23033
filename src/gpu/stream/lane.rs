//! The pieces that pass through one GPU, one after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::host::{gather, host_bytes};
use super::ring::{Outputs, PADDING, StagingRing, Submitted, is_mapped};
use super::schedule::Worker;
use super::share::Ledger;
use crate::bound::Decoded;
use crate::call::Timing;
use crate::gpu::Gpu;
use crate::gpu::stopwatch::Stopwatch;
use crate::loss::{CallTensor, Upstream};
use crate::poll::{Answer, Wait};
use crate::stream::{Room, RowRange, is_of_pieces, problem_of};
use crate::tensor::TensorSlot;
use crate::{Error, Inputs, Problem};

/// Rows that are computed together, and their place in the whole.
#[derive(Debug)]
pub(super) struct Batch {
    pub problem: Problem,
    /// Rows of the batches before this one.
    pub rows_before: u64,
}

/// A batch and its tensors.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    /// Shared with its pieces, which may be under way when the next batch comes.
    pub batch: &'a Arc<Batch>,
    pub inputs: &'a Inputs<'a>,
    /// The factor of the gradient.
    pub scale: f64,
}

/// A piece that was submitted.
#[derive(Debug)]
pub(super) struct Piece {
    pub batch: Arc<Batch>,
    pub rows: RowRange,
    /// The number of bytes that were uploaded.
    pub uploaded: u64,
    submitted: Submitted,
    since: Stopwatch,
    /// True if kernels were compiled for it.
    compiled: bool,
}

/// One GPU with the pieces that it has taken.
#[derive(Debug)]
pub(super) struct Lane<'g> {
    pub gpu: &'g Gpu,
    /// None if the GPU is the only one.
    ledger: Option<&'g Ledger>,
    /// False if the memory budget does not hold one row of the batch.
    pub takes_part: bool,
    ring: Option<StagingRing>,
    under_way: VecDeque<Piece>,
    /// True if the ring has the tensors that all pieces of the batch share.
    shared: bool,
    /// Runs since the last piece was done.
    since_last: Stopwatch,
}

impl<'g> Lane<'g> {
    pub fn new(gpu: &'g Gpu, ledger: Option<&'g Ledger>) -> Self {
        Self {
            gpu,
            ledger,
            takes_part: true,
            ring: None,
            under_way: VecDeque::new(),
            shared: false,
            since_last: Stopwatch::start(),
        }
    }

    /// Returns one for the same GPU, with no buffers and nothing under way.
    pub fn anew(self) -> Self {
        Self::new(self.gpu, self.ledger)
    }

    /// Returns the room of a piece if `turns` of them are under way, in a budget that is halved so many
    /// times.
    pub fn room(&self, problem: &Problem, turns: usize, halvings: u32) -> Room {
        let budget = self.gpu.memory_budget >> halvings;
        let of_turn = budget.saturating_sub(shared_bytes(problem)) / self.copies(turns);
        let most = of_turn.saturating_sub(between(problem));
        Room { most, aim: self.gpu.piece_bytes >> halvings }
    }

    /// Returns the budget of one piece of `bytes` bytes.
    pub fn budget_of(&self, problem: &Problem, bytes: u64) -> u64 {
        shared_bytes(problem) + (bytes + between(problem)) * self.copies(1)
    }

    /// Returns the number of times that a piece's tensors are in memory if `turns` pieces are under way.
    fn copies(&self, turns: usize) -> u64 {
        turns as u64 + u64::from(!is_mapped(self.gpu))
    }

    /// Makes known that the next pieces are of another batch.
    pub fn open_batch(&mut self) {
        self.shared = false;
    }

    /// Returns true if there are buffers for pieces up to one that poses this problem.
    pub fn holds(&self, largest: &Problem) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.holds(largest))
    }

    /// Allocates buffers for pieces up to one that poses `largest`; no piece may be under way.
    pub fn make_room(
        &mut self,
        largest: &Problem,
        turns: usize,
        timing: &mut Timing,
    ) -> Result<(), Error> {
        self.clear();
        let start = Stopwatch::start();
        let ring = StagingRing::new(self.gpu, largest, turns);
        timing.prepare += start.elapsed();
        self.ring = Some(ring?);
        Ok(())
    }

    /// Frees the buffers. What is under way is abandoned.
    pub fn clear(&mut self) {
        self.under_way.clear();
        self.ring = None;
        self.shared = false;
    }

    /// Fills a turn with a piece and submits it. There must be buffers, and a free turn.
    pub fn submit(
        &mut self,
        given: Given<'_>,
        rows: &RowRange,
        timing: &mut Timing,
    ) -> Result<(), Error> {
        self.share(given, timing)?;
        let Some(ring) = &mut self.ring else { return Ok(()) };
        let Given { batch, inputs, .. } = given;

        let start = Stopwatch::start();
        let before = self.ledger.map(|_| self.gpu.kernels.compiled());
        let bound = ring.bind(self.gpu, &rows.problem(&batch.problem))?;
        let compiled = before != self.ledger.map(|_| self.gpu.kernels.compiled());
        timing.prepare += start.elapsed();

        let start = Stopwatch::start();
        let mut uploaded = 0;
        ring.fill(self.gpu, |slot, to| {
            uploaded += gather(slot, &batch.problem, inputs, rows, to);
        })?;
        timing.upload += start.elapsed();

        let start = Stopwatch::start();
        let submitted = ring.submit(self.gpu, bound)?;
        timing.kernel += start.elapsed();
        let (batch, rows) = (batch.clone(), rows.clone());
        let since = Stopwatch::start();
        self.under_way.push_back(Piece { batch, rows, uploaded, submitted, since, compiled });
        Ok(())
    }

    /// Uploads the tensors that all pieces of a batch share.
    fn share(&mut self, given: Given<'_>, timing: &mut Timing) -> Result<(), Error> {
        let Some(ring) = self.ring.as_mut().filter(|_| !self.shared) else { return Ok(()) };
        let start = Stopwatch::start();
        let problem = &given.batch.problem;
        let shared = problem.tensors().filter(|tensor| !is_of_pieces(tensor));
        // The scale contains the upstream gradient of a sum.
        for slot in shared.map(|tensor| tensor.slot).filter(|&slot| slot != TensorSlot::Upstream) {
            if let Some(bytes) = host_bytes(slot, given.inputs) {
                ring.share(self.gpu, slot, bytes)?;
            }
        }
        if problem_of(problem, 1, 1).upstream == Upstream::Scalar {
            let scale = given.scale as f32;
            ring.share(self.gpu, TensorSlot::Upstream, bytemuck::bytes_of(&scale))?;
        }
        self.shared = true;
        timing.upload += start.elapsed();
        Ok(())
    }

    /// Returns the answers that say that the oldest piece is done.
    pub fn answers(&self) -> Option<[&Answer; 2]> {
        self.under_way.front().map(|piece| piece.submitted.answers())
    }

    /// Returns the time since the oldest piece was submitted.
    pub fn age(&self) -> Duration {
        self.under_way.front().map_or(Duration::ZERO, |piece| piece.since.elapsed())
    }

    /// Waits for the oldest piece.
    pub async fn wait(&self, wait: Wait<'_>, timing: &mut Timing) -> Result<(), Error> {
        let (Some(piece), Some(ring)) = (self.under_way.front(), &self.ring) else {
            return Ok(());
        };
        let start = Stopwatch::start();
        let done = ring.wait(self.gpu, &piece.submitted, wait).await;
        timing.kernel += start.elapsed();
        done
    }

    /// Returns the oldest piece, which must be done, with its sums and its outputs.
    pub fn oldest(&self) -> Result<Option<(&Piece, Decoded, Outputs<'_>)>, Error> {
        let (Some(piece), Some(ring)) = (self.under_way.front(), &self.ring) else {
            return Ok(None);
        };
        let outputs = ring.outputs(self.gpu, &piece.submitted)?;
        let decoded = piece.submitted.bound.decode(outputs.result())?;
        Ok(Some((piece, decoded, outputs)))
    }

    /// Ends the oldest piece, whose results were taken; `bytes` were moved for it in all.
    pub fn release(&mut self, rows: u64, bytes: u64) -> Result<(), Error> {
        let Some(piece) = self.under_way.pop_front() else { return Ok(()) };
        if let Some(ledger) = self.ledger {
            ledger.add(rows, bytes);
            // The driver may go on compiling until a kernel has run once.
            if !piece.compiled {
                let time = piece.since.elapsed().min(self.since_last.elapsed());
                ledger.measure(bytes, time);
            }
            self.since_last = Stopwatch::start();
        }
        let Some(ring) = &self.ring else { return Ok(()) };
        ring.release(self.gpu, &piece.submitted)
    }

    /// Takes note of rows that did not pass through the ring.
    pub fn note(&self, rows: u64, bytes: u64) {
        if let Some(ledger) = self.ledger {
            ledger.add(rows, bytes);
        }
    }

    /// Takes note of a failure, and returns the pieces that are not done.
    pub fn fail(&mut self, error: &Error) -> Vec<RowRange> {
        if let Some(ledger) = self.ledger {
            ledger.fail(error);
        }
        self.under_way.drain(..).map(|piece| piece.rows).collect()
    }

    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Returns what the choice of a GPU for the next piece depends on.
    pub fn worker(&self) -> Worker {
        let under_way = self.under_way.len();
        let has_slot = self.ring.as_ref().is_none_or(|ring| under_way < ring.slots());
        let has_room = has_slot && self.takes_part;
        Worker { under_way, has_room, speed: self.ledger.and_then(Ledger::speed) }
    }
}

/// Returns the bytes of the tensors that all pieces share.
fn shared_bytes(problem: &Problem) -> u64 {
    let shared = problem.tensors().filter(|tensor| !is_of_pieces(tensor));
    shared.map(|tensor| tensor.bytes()).sum()
}

/// Returns the bytes of the gaps between a piece's tensors, of its result, and of outputs that every piece has whole.
fn between(problem: &Problem) -> u64 {
    let of_pieces: Vec<CallTensor> = problem.tensors().filter(is_of_pieces).collect();
    let whole = of_pieces.iter().filter(|tensor| tensor.outer_bytes().is_none());
    PADDING * (of_pieces.len() as u64 + 1) + whole.map(CallTensor::bytes).sum::<u64>()
}
