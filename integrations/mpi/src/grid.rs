//! Ranks in a grid: some share the classes of the same rows, others have other rows.

use mpi::topology::{Color, SimpleCommunicator};
use mpi::traits::*;
use wgpu_loss::stream::Device;
use wgpu_loss::{CrossEntropy, Gpu, GpuOptions, Inputs, Loss, Outputs, Partial, Sink};

use crate::agree::{Failure, gathered, told};
use crate::classes::{self, Call, Computed, Ranks};
use crate::merge::merged;
use crate::{Error, device};

/// The ranks of a job as a grid. Neighbouring ranks share the classes of the same rows (tensor parallelism); ranks at
/// the same place of other groups have other rows (data parallelism).
///
/// ```text
/// grid of 6 ranks, 2 of them to a row     classes 0..C/2    classes C/2..C
///                        rows 0..N/3         rank 0             rank 1
///                      rows N/3..2N/3        rank 2             rank 3
///                       rows 2N/3..N         rank 4             rank 5
/// ```
///
/// All calls are collective: every rank of the grid must make them, in the same order. All of them return the same
/// [`Partial`], to the bit, or the same [`Error`].
pub struct Grid {
    all: SimpleCommunicator,
    /// The ranks that share the classes of this rank's rows.
    classes: SimpleCommunicator,
    /// The ranks that have the same classes of other rows.
    rows: SimpleCommunicator,
    chunk_bytes: usize,
}

/// The bytes of a rank's logits in a chunk: long enough for the bus of a GPU, short enough for several to overlap.
const CHUNK: usize = 32 << 20;

impl Grid {
    /// Divides the ranks of a communicator into groups of `classes` that share the classes of their rows: 1 for data
    /// parallelism alone, all ranks for tensor parallelism alone.
    ///
    /// # Errors
    /// [`Error::Grid`] if the groups do not come out even, or if ranks ask for groups of different sizes.
    pub fn new(comm: &impl Communicator, classes: i32) -> Result<Self, Error> {
        let (rank, ranks) = (comm.rank(), comm.size());
        // The same on all ranks, or an error on all.
        let asked = gathered(comm, classes);
        let wrong = |&of: &i32| of < 1 || ranks % of != 0 || of != asked[0];
        if let Some(classes) = asked.iter().copied().find(wrong) {
            return Err(Error::Grid { ranks, classes });
        }
        let split = |color: i32| comm.split_by_color(Color::with_value(color));
        // Colours are not negative, so every rank is in a group.
        let groups = split(rank / classes).zip(split(rank % classes));
        let (classes, rows) = groups.ok_or(Error::Grid { ranks, classes })?;
        Ok(Self { all: comm.duplicate(), classes, rows, chunk_bytes: CHUNK })
    }

    /// Sets about how many bytes of a rank's logits make a chunk, the least of all ranks of a group: the states of one chunk are
    /// exchanged while those of the next are computed. 32 MiB by default; at least one step of the first axis.
    pub fn chunk_bytes(mut self, bytes: usize) -> Self {
        self.chunk_bytes = bytes;
        self
    }

    /// Returns the ranks that share the classes of this rank's rows.
    pub fn of_classes(&self) -> &SimpleCommunicator {
        &self.classes
    }

    /// Returns the ranks that have this rank's classes of other rows.
    pub fn of_rows(&self) -> &SimpleCommunicator {
        &self.rows
    }

    /// Opens a GPU for this rank: each of the ranks on a machine takes the next one of those that the options allow.
    ///
    /// # Errors
    /// [`Error::Rank`] with the error of a rank that has none.
    pub fn open_gpu(&self, options: GpuOptions) -> Result<Gpu, Error> {
        let opened = Gpu::with_options(&device::of_local_rank(&self.all, options));
        told(&self.all, opened.map_err(Failure::from))
    }

    /// Computes cross-entropy. Each rank gives its own logits: of its rows, and of its classes, which follow those of
    /// the rank before it in the group; none is allowed. Labels, row weights and class weights are those of all classes
    /// and the same on all ranks of a group; class probabilities are those of the rank's classes.
    ///
    /// Gradient and log-probabilities of this rank's logits go to its sink, and so do the other outputs of each row.
    /// The gradient of a mean is that of the mean over all ranks. [`Partial::finish`] returns the loss.
    ///
    /// # Errors
    /// [`Error::Rank`] with the error of a rank that failed, or was given other rows, labels or options than the first one
    /// of its group. Labels out of range are an error of [`Partial::finish`], as always.
    pub fn cross_entropy<D: Device + Sync + ?Sized>(
        &self,
        device: &D,
        loss: &CrossEntropy,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Computed, Error> {
        let call = Call { device, loss, inputs, outputs, chunk_bytes: self.chunk_bytes };
        let ranks = Ranks { all: &self.all, group: &self.classes };
        let Computed { partial, times } = classes::cross_entropy(&call, &ranks, sink)?;
        Ok(Computed { partial: merged(&self.rows, &partial)?, times })
    }

    /// Computes any loss of this rank's rows, with all of their classes, and merges what all ranks have found, in the
    /// order of the ranks. For a grid whose groups have one rank.
    ///
    /// # Errors
    /// [`Error::Rank`] with the error of a rank that failed; [`Error::Grid`] for groups of several ranks; [`wgpu_loss::Error::Option`] for
    /// the gradient of a mean, as for [`Device::partial`].
    pub fn evaluate(
        &self,
        device: &dyn Device,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Partial, Error> {
        if self.classes.size() != 1 {
            return Err(Error::Grid { ranks: self.all.size(), classes: self.classes.size() });
        }
        let partial = device.partial(loss, inputs, outputs, sink).map_err(Failure::from);
        Ok(merged(&self.rows, &told(&self.all, partial)?)?)
    }
}
