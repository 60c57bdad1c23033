//! The errors of a call on several ranks: all of them return the same.

/// An error that every rank of a call returns.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the library that all ranks find by themselves, such as partials of different calls.
    #[error(transparent)]
    Loss(#[from] wgpu_loss::Error),

    /// A rank has failed; the others have stopped with it.
    #[error("rank {rank} failed: {message}")]
    Rank {
        /// The first rank that has failed, in the communicator of the grid.
        rank: i32,
        /// The message of its error.
        message: String,
    },

    /// The ranks do not make a grid.
    #[error("{ranks} ranks cannot be divided into groups of {classes} that share the classes")]
    Grid {
        /// The number of all ranks.
        ranks: i32,
        /// The number of ranks that share the classes of the same rows.
        classes: i32,
    },
}
