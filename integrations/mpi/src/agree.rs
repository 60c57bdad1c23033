//! Agreement: all ranks go on or stop together, so that none waits for a message that nobody sends.

use mpi::traits::*;

use crate::Error;

/// The reason why a rank has no result.
#[derive(Debug)]
pub enum Failure {
    /// An error of its own.
    Own(String),
    /// Another rank has failed.
    Stopped,
}

impl From<wgpu_loss::Error> for Failure {
    fn from(error: wgpu_loss::Error) -> Self {
        Failure::Own(error.to_string())
    }
}

/// Returns the result of this rank, or on all ranks the error of the first one that has failed. Every rank of the
/// communicator must call it.
pub fn told<T>(comm: &impl CommunicatorCollectives, mine: Result<T, Failure>) -> Result<T, Error> {
    let mut message = match &mine {
        Err(Failure::Own(message)) => message.clone().into_bytes(),
        _ => Vec::new(),
    };
    // No message of an error is empty.
    let lengths = gathered(comm, message.len() as u64);
    let Some(rank) = lengths.iter().position(|&length| length > 0) else {
        return mine.map_err(|_| Error::Rank { rank: comm.rank(), message: "it stopped".into() });
    };
    message.resize(lengths[rank] as usize, 0);
    comm.process_at_rank(rank as i32).broadcast_into(&mut message[..]);
    let message = String::from_utf8_lossy(&message).into_owned();
    Err(Error::Rank { rank: rank as i32, message })
}

/// Returns what every rank has, in the order of the ranks.
pub fn gathered<T: Equivalence + Copy + Default>(
    comm: &impl CommunicatorCollectives,
    mine: T,
) -> Vec<T> {
    let mut all = vec![T::default(); comm.size() as usize];
    comm.all_gather_into(&mine, &mut all[..]);
    all
}

/// Returns every rank's words, in the order of the ranks.
pub fn gathered_words<const N: usize>(
    comm: &impl CommunicatorCollectives,
    mine: [u64; N],
) -> Vec<[u64; N]> {
    let mut all = vec![0; N * comm.size() as usize];
    comm.all_gather_into(&mine[..], &mut all[..]);
    let words = |rank: &[u64]| std::array::from_fn(|at| rank[at]);
    all.chunks_exact(N).map(words).collect()
}
