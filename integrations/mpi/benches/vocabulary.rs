//! The parts of cross-entropy over a vocabulary that ranks share: seconds, and bytes exchanged for each row.
//!
//! ```sh
//! mpirun -n 2 vocabulary [ROWS [CLASSES [REPEATS]]]
//! ```

use std::time::{Duration, Instant};

use wgpu_loss::{CrossEntropy, GpuOptions, Inputs, Outputs, Tensor};
use wgpu_loss_mpi::mpi::Threading;
use wgpu_loss_mpi::mpi::topology::Communicator;
use wgpu_loss_mpi::{Grid, Times, mpi};

fn main() {
    // Cargo passes `--bench`.
    let words = std::env::args().skip(1).filter_map(|word| word.parse::<usize>().ok());
    let words: Vec<usize> = words.collect();
    let of = |at: usize, default: usize| words.get(at).copied().unwrap_or(default);
    let (rows, classes, repeats) = (of(0, 2048), of(1, 151_936), of(2, 7).max(1));

    let (universe, _) =
        mpi::initialize_with_threading(Threading::Funneled).expect("MPI starts once");
    let world = universe.world();
    let grid = Grid::new(&world, world.size()).expect("a grid");
    let gpu = grid.open_gpu(GpuOptions::new()).expect("a GPU or a software driver");
    let (rank, ranks) = (world.rank() as usize, world.size() as usize);
    let mine = classes * (rank + 1) / ranks - classes * rank / ranks;
    let logits: Vec<f32> =
        (0..rows * mine).map(|at| (at * 7919 % 10_007) as f32 / 1000.0).collect();
    let labels: Vec<i64> = (0..rows).map(|row| (row * 31 % classes) as i64).collect();
    let (shape, row_shape) = ([rows, mine], [rows]);
    let inputs = Inputs::new(Tensor::new(&logits, &shape)).labels(&labels, &row_shape);
    for (what, outputs) in
        [("loss", Outputs::loss()), ("loss and gradient", Outputs::loss().with_grad())]
    {
        let mut all: Vec<(Duration, Times)> = (0..=repeats)
            .map(|_| {
                let start = Instant::now();
                let computed =
                    grid.cross_entropy(&gpu, &CrossEntropy::new(), &inputs, outputs, &mut ());
                (start.elapsed(), computed.expect("a loss").times)
            })
            .skip(1)
            .collect();
        all.sort_by_key(|(took, _)| *took);
        let (took, times) = all[all.len() / 2];
        if rank == 0 {
            let ms = |time: Duration| 1e3 * time.as_secs_f64();
            let Times { states, waiting, rest, sent, .. } = times;
            println!(
                "{what} of ({rows}, {classes}) on {ranks} ranks: {:.1} ms (median of {repeats}); states {:.1}, \
                 waiting {:.1}, rest {:.1}; {:.1} bytes a row to each other rank",
                ms(took),
                ms(states),
                ms(waiting),
                ms(rest),
                sent as f64 / rows as f64
            );
        }
    }
}
