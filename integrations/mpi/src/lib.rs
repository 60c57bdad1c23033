//! Cross-entropy over MPI ranks, computed by wgpu-loss on the GPU of each.
//!
//! A vocabulary that is split over ranks (tensor parallelism), rows that are split over ranks (data parallelism), or both
//! at once: a [`Grid`]. The states of a row's classes are exchanged once, 16 to 36 bytes a row, and they keep the digits of
//! a loss of 1e-12. All ranks return the same bits, or the same error.
//!
//! ```no_run
//! use wgpu_loss::{CrossEntropy, GpuOptions, Inputs, Outputs, Tensor};
//! use wgpu_loss_mpi::{Grid, mpi};
//! use wgpu_loss_mpi::mpi::topology::Communicator;
//!
//! // The ranks' own thread alone calls MPI; kernels run meanwhile.
//! let (universe, _) = mpi::initialize_with_threading(mpi::Threading::Funneled).ok_or("MPI is running already")?;
//! let world = universe.world();
//! let grid = Grid::new(&world, world.size())?; // all ranks share the classes
//! let gpu = grid.open_gpu(GpuOptions::new())?;
//!
//! // 8 rows; 1,000 classes on each rank.
//! let logits = vec![0.5f32; 8 * 1000];
//! let labels = [3i64, 1, 4, 1, 5, 9, 2, 6];
//! let inputs = Inputs::new(Tensor::new(&logits, &[8, 1000])).labels(&labels, &[8]);
//! let outputs = Outputs::loss().with_grad();
//! let computed = grid.cross_entropy(&gpu, &CrossEntropy::new(), &inputs, outputs, &mut ())?;
//! println!("{}", computed.partial.finish()?.loss[0]); // in place of `()`, a `Sink` takes this rank's gradient
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod agree;
mod chunks;
mod classes;
mod device;
mod error;
mod grid;
mod merge;

pub use mpi;

pub use self::classes::{Computed, Times};
pub use self::error::Error;
pub use self::grid::Grid;

/// The examples of the README, compiled with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
