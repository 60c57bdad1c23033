//! The GPU of a rank.

use mpi::topology::{Communicator, SimpleCommunicator};
use wgpu_loss::GpuOptions;

/// Returns the options for this rank among those on its machine: each takes the next adapter, and the first one again
/// after the last.
pub fn of_local_rank(comm: &SimpleCommunicator, options: GpuOptions) -> GpuOptions {
    let local = comm.split_shared(comm.rank());
    options.in_turn(local.rank() as usize)
}
