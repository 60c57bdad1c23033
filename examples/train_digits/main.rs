//! A perceptron of two layers, trained wholly on the GPU: forward pass, backward pass and descent are
//! kernels of this example's own, between which the library records the loss and its gradient. Run it
//! with `cargo run --release --example train_digits`.

mod arena;
mod curve;
mod network;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use support::examples::{self, Result};
use support::npy;
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, Decoded, Kernels, LabelType, Outputs, Plan, RESULT_BYTES,
    TargetType, wgpu,
};

use network::Network;
use progress::Progress;

const HIDDEN: usize = 32;
const CLASSES: usize = 10;
/// Losses are read back once in so many steps.
const LOOK: u64 = 5;
/// The accuracy that must be reached, in percent of the images.
const WANTED: f64 = 97.0;

/// Trains a perceptron of two layers on handwritten digits.
#[derive(Parser)]
struct Args {
    /// Number of steps of gradient descent.
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    steps: u64,
    /// The file for the picture of the loss curve.
    #[arg(long, value_name = "FILE", default_value = "target/train_digits.png")]
    curve: PathBuf,
}

fn main() -> ExitCode {
    match train(&Args::parse()) {
        Ok(percent) if percent >= WANTED => return ExitCode::SUCCESS,
        Ok(_) => eprintln!("that is less than the {WANTED} % that are wanted"),
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::FAILURE
}

/// Trains, and returns the share of images that are recognised, in percent.
fn train(args: &Args) -> Result<f64> {
    let images = npy::read(&examples::data("digits_images.npy"), "|u1")?;
    let labels = npy::read(&examples::data("digits_labels.npy"), "<i8")?;
    let [count, pixels] = images.shape[..] else { return Err("the images are no matrix".into()) };
    let greys: Vec<f32> = images.bytes.iter().map(|&grey| f32::from(grey) / 16.0).collect();

    let (device, queue) = examples::device()?;
    let sizes = [pixels, HIDDEN, CLASSES].map(|size| size as u32);
    let network = Network::new(&device, &queue, &greys, &labels.bytes, sizes);
    let bound = bind(&device, &network, count)?;
    let steps = learn(&device, &queue, &network, &bound, args.steps)?;

    let last = &steps[steps.len() - 1];
    println!("loss      {:.4}, {:.4} before the first step", last.loss, steps[0].loss);
    println!("accuracy  {:.2} % of {count} images", percent(last));
    examples::write(&args.curve, &curve::draw(&steps)?)?;
    println!("curve     {}", args.curve.display());
    Ok(percent(last))
}

/// Binds the loss to the logits and labels. Its gradient overwrites the logits.
fn bind(device: &wgpu::Device, network: &Network, count: usize) -> Result<Bound> {
    let kernels = Kernels::new(device);
    let (logits, labels) = ([count, CLASSES], [count]);
    let shapes = Shapes::new(&logits).target(TargetType::Labels(LabelType::I64), &labels);
    let outputs = Outputs::loss().with_grad().with_accuracy();
    let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, kernels.profile())?;
    let buffers = Buffers::new(network.logits.range(&network.arena))
        .target(network.labels.range(&network.arena))
        .grad_in_place();
    Ok(Bound::new(&kernels, plan, &buffers)?)
}

/// Runs all steps, and returns the loss at the beginning of each.
fn learn(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    network: &Network,
    bound: &Bound,
    steps: u64,
) -> Result<Vec<Decoded>> {
    // Every step's loss stays on the GPU until the end; some are read back earlier.
    let history = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("history"),
        size: steps * RESULT_BYTES,
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let reader = bound.reader()?;
    let mut progress = Progress::new(steps);
    for step in 0..steps {
        let mut encoder = device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            network.forward(&mut pass);
            bound.record(&mut pass);
            network.backward(&mut pass);
        }
        let result = bound.result();
        let at = step * RESULT_BYTES;
        encoder.copy_buffer_to_buffer(result.buffer, result.offset, &history, at, RESULT_BYTES);
        let look = step % LOOK == 0;
        if look {
            reader.record(&mut encoder);
        }
        queue.submit([encoder.finish()]);
        // Waiting now and then also keeps the host from running far ahead of the device.
        if look {
            let decoded = reader.wait()?;
            progress.show(step, decoded.loss, percent(&decoded));
        }
    }
    let bytes = examples::read(device, &history)?;
    progress.end();
    let decoded = bytes.chunks_exact(RESULT_BYTES as usize).map(|bytes| bound.decode(bytes));
    Ok(decoded.collect::<std::result::Result<_, _>>()?)
}

fn percent(decoded: &Decoded) -> f64 {
    100.0 * decoded.summary.correct as f64 / decoded.summary.live as f64
}
