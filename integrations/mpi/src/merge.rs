//! Partials of all ranks.

use mpi::datatype::PartitionMut;
use mpi::traits::*;
use wgpu_loss::Partial;

use crate::agree::gathered;

/// Merges the partials of all ranks, in the order of the ranks: each returns the same bits, or the same error.
pub fn merged(
    comm: &impl CommunicatorCollectives,
    mine: &Partial,
) -> Result<Partial, wgpu_loss::Error> {
    let mine = mine.to_bytes();
    let lengths = gathered(comm, mine.len() as u64);
    let all: u64 = lengths.iter().sum();
    if all > i32::MAX as u64 {
        return Err(wgpu_loss::Error::Limit {
            what: "the partials of all ranks in bytes",
            limit: "count of MPI",
            needed: all,
            allowed: i32::MAX as u64,
        });
    }
    // All of them together fit.
    let counts: Vec<i32> = lengths.into_iter().map(|length| length as i32).collect();
    let starts: Vec<i32> = counts
        .iter()
        .scan(0, |end, count| {
            *end += count;
            Some(*end - count)
        })
        .collect();
    let mut bytes = vec![0u8; counts.iter().map(|&count| count as usize).sum()];
    {
        let mut parts = PartitionMut::new(&mut bytes[..], counts.clone(), &starts[..]);
        comm.all_gather_varcount_into(&mine[..], &mut parts);
    }
    let part = |(start, count): (i32, i32)| {
        Partial::from_bytes(&bytes[start as usize..(start + count) as usize])
    };
    let mut parts = starts.into_iter().zip(counts).map(part);
    // A communicator has at least the rank that calls.
    let mut all = parts.next().unwrap_or_else(|| Partial::from_bytes(&mine))?;
    for next in parts {
        all.merge(&next?)?;
    }
    Ok(all)
}

/// Gives all ranks the partial of the first one: those of other kinds of devices differ in their last bits.
pub fn of_first(
    comm: &impl CommunicatorCollectives,
    mine: &Partial,
) -> Result<Partial, wgpu_loss::Error> {
    let mut bytes = mine.to_bytes();
    let mut length = bytes.len() as u64;
    let first = comm.process_at_rank(0);
    first.broadcast_into(&mut length);
    bytes.resize(length as usize, 0);
    first.broadcast_into(&mut bytes[..]);
    Partial::from_bytes(&bytes)
}
