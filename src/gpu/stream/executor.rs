//! Passes pieces through the device, one after the other.

use std::collections::VecDeque;

use super::host::{gather, host_bytes, scatter_records};
use super::merge::{add, of_piece};
use super::ring::{PADDING, StagingRing, Submitted, is_mapped};
use crate::call::Timing;
use crate::classes::class_losses;
use crate::gpu::Gpu;
use crate::gpu::stopwatch::Stopwatch;
use crate::loss::{CallTensor, Upstream};
use crate::partial::Found;
use crate::poll::{Wait, explained};
use crate::reference::Sums;
use crate::stream::{
    Cut, Progress, Room, RowRange, Sink, VarianceSums, is_of_pieces, outer_bytes, problem_of,
    scatter, shared_variance,
};
use crate::tensor::{Axes, TensorSlot};
use crate::{Error, Inputs, Problem};

/// The most pieces under way: one that the host fills, one that the device computes, and one that waits for either of
/// them.
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

/// Sends batches through the device in pieces and merges the results.
#[derive(Debug)]
pub(super) struct Executor<'g> {
    pub(super) gpu: &'g Gpu,
    pub(super) wait: Wait<'g>,
    /// True if more batches may follow this one.
    open: bool,
    ring: Option<StagingRing>,
    under_way: VecDeque<UnderWay>,
    variance: VarianceSums,
    /// The kind that the ring's plans are for: plans are kept by the extents of pieces alone.
    kind: Option<Kind>,
    halvings: u32,
    /// Rows of the batches before this one.
    pub(super) rows: u64,
    pub found: Found,
    pub timing: Timing,
    pub progress: Progress,
}

/// A piece that was submitted.
#[derive(Debug)]
struct UnderWay {
    submitted: Submitted,
    piece: RowRange,
    rows_before: u64,
    /// The number of bytes that were uploaded.
    bytes: u64,
}

impl<'g> Executor<'g> {
    /// Returns an executor for one batch, or for any number of them if `open`.
    pub fn new(gpu: &'g Gpu, wait: Wait<'g>, open: bool) -> Self {
        Self {
            gpu,
            wait,
            open,
            ring: None,
            under_way: VecDeque::new(),
            variance: VarianceSums::default(),
            kind: None,
            halvings: 0,
            rows: 0,
            found: Found::default(),
            timing: Timing::default(),
            progress: Progress::default(),
        }
    }

    /// Computes a batch, whose gradient is multiplied by `scale`. Large outputs are all written when this returns; sums
    /// may still be under way.
    pub async fn push(
        &mut self,
        problem: &Problem,
        inputs: &Inputs<'_>,
        scale: f64,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let gpu = self.gpu;
        let pushed = self.push_pieces(problem, inputs, scale, sink).await;
        pushed.map_err(|error| explained(&gpu.device, error))
    }

    async fn push_pieces(
        &mut self,
        problem: &Problem,
        inputs: &Inputs<'_>,
        scale: f64,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let rows = problem.losses();
        self.variance.open(problem)?;
        if problem.pointwise.is_some() && self.kind != kind_of(problem) {
            // Operands of a batch of one step are broadcast along other axes than those of larger batches.
            self.drain(problem, sink).await?;
            self.ring = None;
            self.kind = kind_of(problem);
        }
        if rows > 0 && outer_bytes(problem) == 0 {
            // Distributions over no classes: there is nothing to read or write.
            self.found.add(&Sums::empty_rows(rows));
        } else if rows > 0 {
            match self.make_room(problem, sink).await {
                Ok(cut) => {
                    self.share(problem, inputs, scale)?;
                    for piece in cut.pieces() {
                        self.submit(problem, inputs, piece, sink).await?;
                    }
                }
                // The budget does not hold one row.
                Err(refused @ Error::Budget { .. }) if problem.pointwise.is_none() => {
                    self.drain(problem, sink).await?;
                    self.ring = None;
                    let done = self.long_rows(problem, inputs, scale, sink).await;
                    done.map_err(|error| cheaper(error, refused))?;
                }
                Err(error) => return Err(error),
            }
        }
        self.rows += rows as u64;
        // The sums of classes are merged later.
        let is_large = |slot: TensorSlot| slot.is_output() && slot != TensorSlot::Classes;
        if problem.tensors().any(|tensor| is_large(tensor.slot)) {
            self.drain(problem, sink).await?;
        }
        self.variance.close(problem, sink)
    }

    /// Waits for all pieces under way.
    pub async fn drain(
        &mut self,
        problem: &Problem,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        while !self.under_way.is_empty() {
            let retired = self.retire(problem, sink).await;
            retired.map_err(|error| explained(&self.gpu.device, error))?;
        }
        Ok(())
    }

    /// Cuts a batch, and allocates buffers for its pieces: smaller ones if the device has no memory left.
    async fn make_room(
        &mut self,
        problem: &Problem,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<Cut, Error> {
        let mut refused = None;
        loop {
            let (cut, turns) = match self.cut(problem) {
                Ok(cut) => cut,
                // The budget was large enough, but the memory was not.
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
            let ring = StagingRing::new(self.gpu, &largest, turns);
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

    /// Returns the pieces of a batch, and the number of them that may be under way.
    fn cut(&self, problem: &Problem) -> Result<(Cut, usize), Error> {
        let budget = self.gpu.memory_budget >> self.halvings;
        let (of_pieces, shared): (Vec<CallTensor>, Vec<_>) =
            problem.tensors().partition(is_of_pieces);
        let shared: u64 = shared.iter().map(CallTensor::bytes).sum();
        // The bytes of the gaps between the tensors, of the result, and of outputs that every piece has whole.
        let whole = of_pieces.iter().filter(|tensor| tensor.outer_bytes().is_none());
        let outputs: u64 = whole.map(CallTensor::bytes).sum();
        let between = PADDING * (of_pieces.len() as u64 + 1) + outputs;
        let copies = |turns: usize| turns as u64 + u64::from(!is_mapped(self.gpu));
        let aim = self.gpu.piece_bytes >> self.halvings;
        let mut least = 0;
        for turns in (1..=TURNS).rev() {
            let of_turn = budget.saturating_sub(shared) / copies(turns);
            let most = of_turn.saturating_sub(between);
            match Cut::new(problem, Room { most, aim }) {
                Ok(cut) => return Ok((cut, turns)),
                Err(bytes) => least = bytes,
            }
        }
        let needed = shared + (least + between) * copies(1);
        Err(Error::Budget { what: "one row", needed, given: self.gpu.memory_budget })
    }

    /// Uploads the tensors that all pieces share.
    fn share(&mut self, problem: &Problem, inputs: &Inputs<'_>, scale: f64) -> Result<(), Error> {
        let Some(ring) = &mut self.ring else { return Ok(()) };
        let start = Stopwatch::start();
        let shared = problem.tensors().filter(|tensor| !is_of_pieces(tensor));
        // The scale contains the upstream gradient of a sum.
        for slot in shared.map(|tensor| tensor.slot).filter(|&slot| slot != TensorSlot::Upstream) {
            if let Some(bytes) = host_bytes(slot, inputs) {
                ring.share(self.gpu, slot, bytes)?;
            }
        }
        if problem_of(problem, 1, 1).upstream == Upstream::Scalar {
            ring.share(self.gpu, TensorSlot::Upstream, bytemuck::bytes_of(&(scale as f32)))?;
        }
        self.timing.upload += start.elapsed();
        Ok(())
    }

    /// Fills a turn with a piece and submits it, as soon as a turn is free.
    async fn submit(
        &mut self,
        problem: &Problem,
        inputs: &Inputs<'_>,
        piece: RowRange,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        while self.ring.as_ref().is_some_and(|ring| self.under_way.len() >= ring.slots()) {
            self.retire(problem, sink).await?;
        }
        let Some(ring) = &mut self.ring else { return Ok(()) };

        let start = Stopwatch::start();
        let bound = ring.bind(self.gpu, &piece.problem(problem))?;
        self.timing.prepare += start.elapsed();

        let start = Stopwatch::start();
        let mut bytes = 0;
        ring.fill(self.gpu, |slot, to| bytes += gather(slot, problem, inputs, &piece, to))?;
        self.timing.upload += start.elapsed();

        let start = Stopwatch::start();
        let submitted = ring.submit(self.gpu, bound)?;
        self.timing.kernel += start.elapsed();
        self.under_way.push_back(UnderWay { submitted, piece, rows_before: self.rows, bytes });
        Ok(())
    }

    /// Waits for the piece that was submitted first, and merges its results.
    async fn retire(
        &mut self,
        problem: &Problem,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), Error> {
        let Some(UnderWay { submitted, piece, rows_before, bytes }) = self.under_way.pop_front()
        else {
            return Ok(());
        };
        let Some(ring) = &self.ring else { return Ok(()) };

        let start = Stopwatch::start();
        let done = ring.wait(self.gpu, submitted, self.wait).await?;
        self.timing.kernel += start.elapsed();

        let start = Stopwatch::start();
        let outputs = ring.outputs(self.gpu, &done)?;
        let decoded = done.bound.decode(outputs.result())?;
        let summary = decoded.summary;
        let sums = of_piece(problem, &decoded, &piece, rows_before);
        let of_rows = outputs.tensors().find(|(slot, _)| *slot == TensorSlot::RowLoss);
        add(&mut self.found, &sums, of_rows.map(|(_, bytes)| bytes));
        let shared_variance = shared_variance(problem);
        for (slot, bytes) in outputs.tensors() {
            match (slot, shared_variance) {
                (TensorSlot::Classes, _) => self.found.classes.add(&class_losses(bytes)?),
                (TensorSlot::VarianceGrad, Some(var)) => {
                    let parts = bytes
                        .chunks_exact(4)
                        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into());
                    self.progress.bytes += 4 * self.variance.add(var, problem, &piece, parts);
                }
                (TensorSlot::Record, _) => {
                    self.progress.bytes +=
                        scatter_records(problem, rows_before, &piece, bytes, sink)?;
                }
                _ => {
                    self.progress.bytes +=
                        scatter(slot, problem, rows_before, &piece, bytes, sink)?;
                }
            }
        }
        drop(outputs);
        ring.release(self.gpu, done)?;
        self.timing.read_back += start.elapsed();

        self.progress.rows += summary.rows;
        self.progress.bytes += bytes;
        sink.progress(&self.progress)
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
            executor.drain(&problem, &mut ()).await
        })
        .expect("a loss, in smaller pieces");
        assert!((1..HALVINGS).contains(&executor.halvings));
        assert_eq!(executor.found.summary().live, ROWS as u64);
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
