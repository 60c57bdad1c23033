//! The perplexity of tokens whose logits are split over ranks by vocabulary, in `.npy` files.
//!
//! ```sh
//! mpirun -n 4 perplexity 'logits-{}.npy' labels.npy    # {} is the rank
//! ```
//!
//! Rank 0 prints the loss; every rank has it. The logits are f32 of shape (tokens, classes of the rank), the labels i64.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;

use wgpu_loss::{CrossEntropy, GpuOptions, Inputs, Outputs, Reduction, Tensor};
use wgpu_loss_mpi::Grid;
use wgpu_loss_mpi::mpi::topology::Communicator;
use wgpu_loss_mpi::mpi::{self, Threading};

fn main() {
    let (universe, _) =
        mpi::initialize_with_threading(Threading::Funneled).expect("MPI starts once");
    let world = universe.world();
    if let Err(error) = run(&world) {
        eprintln!("rank {}: {error}", world.rank());
        // The others may wait for this rank.
        world.abort(1);
    }
}

fn run(world: &impl Communicator) -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [logits, labels] = &words[..] else { return Err("usage: perplexity LOGITS LABELS".into()) };
    let (logits, shape) = array::<f32>(&logits.replace("{}", &world.rank().to_string()))?;
    let (labels, tokens) = array::<i64>(labels)?;

    let grid = Grid::new(world, world.size())?;
    let gpu = grid.open_gpu(GpuOptions::new())?;
    let inputs = Inputs::new(Tensor::new(&logits, &shape)).labels(&labels, &tokens);
    let outputs = Outputs::loss().with_accuracy();
    // Loss by loss, so that the standard error is known.
    let loss = CrossEntropy::new().reduction(Reduction::None);
    let found = grid.cross_entropy(&gpu, &loss, &inputs, outputs, &mut ())?.partial;
    let error = found.standard_error().unwrap_or(f64::NAN);
    let output = found.reduced(Reduction::Mean).finish()?;
    if world.rank() == 0 {
        let (loss, summary) = (output.loss[0], output.summary);
        println!(
            "{} tokens over {} ranks: loss {loss} +- {error:.2}, perplexity {}",
            summary.live,
            world.size(),
            loss.exp()
        );
        println!("{} predicted right", summary.correct);
    }
    Ok(())
}

/// Reads an array: its elements and its shape.
fn array<T: npyz::Deserialize>(file: &str) -> Result<(Vec<T>, Vec<usize>), Box<dyn Error>> {
    let opened = File::open(file).map_err(|error| format!("{file}: {error}"))?;
    let array =
        npyz::NpyFile::new(BufReader::new(opened)).map_err(|error| format!("{file}: {error}"))?;
    let shape = array.shape().iter().map(|&extent| extent as usize).collect();
    Ok((array.into_vec().map_err(|error| format!("{file}: {error}"))?, shape))
}
