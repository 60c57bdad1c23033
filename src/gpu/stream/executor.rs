//! Pieces on their way through the device, one behind the other.

use std::collections::VecDeque;

use super::cut::{Cut, Piece, Room, cut_slots, outer_bytes, problem_of};
use super::host::{gather, host_bytes, scatter};
use super::merge::of_piece;
use super::ring::{PADDING, Ring, Submitted, is_mapped};
use super::{LargeOutput, Progress, Sink};
use crate::gpu::wait::Wait;
use crate::gpu::{Gpu, Stopwatch};
use crate::io::Timing;
use crate::kernels::Slot;
use crate::loss::Upstream;
use crate::plan::Extent;
use crate::reference::Sums;
use crate::{Error, Inputs, Problem};

/// Pieces under way at most: one that the host fills, one that the device computes, and one that waits
/// for either of them.
const TURNS: usize = 3;
/// How often pieces are halved where the device has no memory for them.
const HALVINGS: u32 = 8;

/// Sends batches through the device in pieces and merges what comes back.
#[derive(Debug)]
pub(super) struct Executor<'g> {
    gpu: &'g Gpu,
    wait: Wait,
    /// Whether there may be more batches after this one.
    open: bool,
    ring: Option<Ring>,
    under_way: VecDeque<UnderWay>,
    halvings: u32,
    /// Rows of the batches before this one.
    rows: u64,
    pub sums: Sums,
    pub timing: Timing,
    pub progress: Progress,
}

/// A piece that was submitted.
#[derive(Debug)]
struct UnderWay {
    submitted: Submitted,
    piece: Piece,
    rows_before: u64,
}

impl<'g> Executor<'g> {
    /// For one batch, or for any number of them where it is `open`.
    pub fn new(gpu: &'g Gpu, wait: Wait, open: bool) -> Self {
        Self {
            gpu,
            wait,
            open,
            ring: None,
            under_way: VecDeque::new(),
            halvings: 0,
            rows: 0,
            sums: Sums::default(),
            timing: Timing::default(),
            progress: Progress::default(),
        }
    }

    /// Takes a batch, whose gradient is multiplied by `scale`. Large outputs are all written when this
    /// returns; what is only summed may still be under way.
    pub async fn push(
        &mut self,
        problem: &Problem,
        inputs: &Inputs<'_>,
        scale: f64,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let rows = problem.view.rows();
        if rows > 0 && outer_bytes(problem) == 0 {
            // Distributions over no classes: nothing to read and nothing to write.
            self.sums = std::mem::take(&mut self.sums).merge(Sums::empty_rows(rows));
        } else if rows > 0 {
            let cut = self.make_room(problem, sink).await?;
            self.share(problem, inputs, scale)?;
            for piece in cut.pieces() {
                self.submit(problem, inputs, piece, sink).await?;
            }
        }
        self.rows += rows as u64;
        if cut_slots(problem).into_iter().any(|slot| LargeOutput::of(slot).is_some()) {
            self.drain(problem, sink).await?;
        }
        Ok(())
    }

    /// Waits for all that is under way.
    pub async fn drain(
        &mut self,
        problem: &Problem,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        while !self.under_way.is_empty() {
            self.retire(problem, sink).await?;
        }
        Ok(())
    }

    /// Cuts a batch, and sees to it that there are buffers for its pieces: smaller ones where the device
    /// has no memory left.
    async fn make_room(
        &mut self,
        problem: &Problem,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<Cut, Error> {
        let mut refused = None;
        loop {
            let (cut, turns) = match self.cut(problem) {
                Ok(cut) => cut,
                // Not for want of a budget, but of memory.
                Err(error) => return Err(refused.unwrap_or(error)),
            };
            let (outer, inner) = cut.largest();
            let largest = problem_of(problem, outer, inner);
            if self.ring.as_ref().is_some_and(|ring| ring.holds(&largest)) {
                return Ok(cut);
            }
            self.drain(problem, sink).await?;
            self.ring = None;
            let start = Stopwatch::start();
            let turns = if self.open { turns } else { turns.min(cut.len()) };
            let ring = Ring::new(self.gpu, &largest, turns);
            self.timing.prepare += start.elapsed();
            match ring {
                Ok(ring) => {
                    self.ring = Some(ring);
                    return Ok(cut);
                }
                Err(error @ Error::OutOfMemory { .. }) if self.halvings < HALVINGS => {
                    log::warn!("{error}; trying with half as much");
                    self.halvings += 1;
                    refused = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The pieces of a batch, and how many of them may be under way.
    fn cut(&self, problem: &Problem) -> Result<(Cut, usize), Error> {
        let budget = self.gpu.memory_budget >> self.halvings;
        let slots = cut_slots(problem);
        let shared = [Slot::Weight, Slot::Upstream].map(|slot| {
            let of_rows = slots.contains(&slot);
            if of_rows { 0 } else { Extent::of(slot, problem).bytes() }
        });
        let shared: u64 = shared.iter().sum();
        // What is between the tensors, and the result.
        let between = PADDING * (slots.len() as u64 + 1);
        let copies = |turns: usize| turns as u64 + u64::from(!is_mapped(self.gpu));
        let mut needed = 0;
        for turns in (1..=TURNS).rev() {
            let of_turn = budget.saturating_sub(shared) / copies(turns);
            let most = of_turn.saturating_sub(between);
            let aim = self.gpu.piece_bytes() >> self.halvings;
            match Cut::new(problem, Room { most, aim }) {
                Ok(cut) => return Ok((cut, turns)),
                Err(bytes) => needed = shared + (bytes + between) * copies(turns),
            }
        }
        Err(Error::Budget { what: "one row", needed, given: self.gpu.memory_budget })
    }

    /// Uploads what all pieces have in common.
    fn share(&mut self, problem: &Problem, inputs: &Inputs<'_>, scale: f64) -> Result<(), Error> {
        let Some(ring) = &mut self.ring else { return Ok(()) };
        let start = Stopwatch::start();
        if let Some(weight) = host_bytes(Slot::Weight, inputs) {
            ring.share(self.gpu, Slot::Weight, weight)?;
        }
        if problem_of(problem, 1, 1).upstream == Upstream::Scalar {
            ring.share(self.gpu, Slot::Upstream, bytemuck::bytes_of(&(scale as f32)))?;
        }
        self.timing.upload += start.elapsed();
        Ok(())
    }

    /// Fills a turn with a piece and submits it, as soon as there is a free one.
    async fn submit(
        &mut self,
        problem: &Problem,
        inputs: &Inputs<'_>,
        piece: Piece,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        while self.ring.as_ref().is_some_and(|ring| self.under_way.len() >= ring.turns()) {
            self.retire(problem, sink).await?;
        }
        let Some(ring) = &mut self.ring else { return Ok(()) };

        let start = Stopwatch::start();
        let bound = ring.bind(self.gpu, &piece.problem(problem))?;
        self.timing.prepare += start.elapsed();

        let start = Stopwatch::start();
        let mut bytes = 0;
        ring.fill(|slot, to| bytes += gather(slot, problem, inputs, &piece, to))?;
        self.progress.bytes += bytes;
        self.timing.upload += start.elapsed();

        let start = Stopwatch::start();
        let submitted = ring.submit(self.gpu, bound)?;
        self.timing.kernel += start.elapsed();
        self.under_way.push_back(UnderWay { submitted, piece, rows_before: self.rows });
        Ok(())
    }

    /// Waits for the piece that was submitted first, and takes what it left.
    async fn retire(
        &mut self,
        problem: &Problem,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Some(UnderWay { submitted, piece, rows_before }) = self.under_way.pop_front() else {
            return Ok(());
        };
        let Some(ring) = &self.ring else { return Ok(()) };

        let start = Stopwatch::start();
        let done = ring.wait(self.gpu, submitted, self.wait).await?;
        self.timing.kernel += start.elapsed();

        let start = Stopwatch::start();
        let outputs = ring.outputs(&done)?;
        let (loss, summary) = done.bound.decode(outputs.result())?;
        let first_row = rows_before + piece.first_row(&problem.view);
        let sums = of_piece(problem, loss, summary, first_row);
        self.sums = std::mem::take(&mut self.sums).merge(sums);
        for (slot, bytes) in outputs.tensors() {
            self.progress.bytes += scatter(slot, problem, rows_before, &piece, bytes, sink)?;
        }
        drop(outputs);
        ring.release(done);
        self.timing.read_back += start.elapsed();

        self.progress.rows += summary.rows;
        sink.progress(&self.progress)
    }
}
