//! The loss of each pixel of the sample photograph as a heatmap over it: the library writes the losses to
//! a buffer, and a render pass of this example's own reads them there. Run it with
//! `cargo run --release --example segmentation`.

mod heat;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use support::examples::{self, Result};
use support::npy;
use wgpu_loss::loss::Shapes;
use wgpu_loss::wgpu::{self, util::DeviceExt};
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, Kernels, LabelType, Outputs, Plan, Reduction, TargetType,
};
use wgpu_loss_cli::picture;

use heat::{Heat, Image};

/// The label of pixels of unknown class.
const UNKNOWN: i64 = 255;
/// Dots of the picture for each pixel, along a side.
const DOTS: u32 = 4;

/// Draws the loss of each pixel of the sample photograph.
#[derive(Parser)]
struct Args {
    /// The file of the picture.
    #[arg(long, value_name = "FILE", default_value = "target/segmentation.png")]
    heatmap: PathBuf,
}

fn main() -> ExitCode {
    match draw(&Args::parse().heatmap) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(file: &Path) -> Result<()> {
    let logits = npy::read(&examples::data("photo_logits.npy"), "<f4")?;
    let labels = npy::read(&examples::data("photo_labels.npy"), "|u1")?;
    let photo = Image::read(&examples::data("photo.png"))?;

    let (device, queue) = examples::device()?;
    let input = |label, bytes: &[u8]| {
        // Bindings are whole words, and labels are single bytes.
        let mut contents = bytes.to_vec();
        contents.resize(bytes.len().next_multiple_of(4), 0);
        let (label, usage, contents) = (Some(label), wgpu::BufferUsages::STORAGE, &contents);
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label, contents, usage })
    };
    let inputs = [input("logits", &logits.bytes), input("labels", &labels.bytes)];
    let losses = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("losses"),
        size: (labels.bytes.len() * size_of::<f32>()) as u64,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });

    // Not reduced: one f32 for each pixel, in the labels' shape.
    let kernels = Kernels::new(&device);
    let loss = CrossEntropy::new().ignore_index(UNKNOWN).reduction(Reduction::None);
    let label_type = TargetType::Labels(LabelType::U8);
    let shapes = Shapes::new(&logits.shape).target(label_type, &labels.shape);
    let plan = Plan::new(&loss, &shapes, Outputs::loss(), kernels.profile())?;
    let buffers = Buffers::new(inputs[0].as_entire_buffer_binding())
        .target(inputs[1].as_entire_buffer_binding())
        .loss(losses.as_entire_buffer_binding());
    let bound = Bound::new(&kernels, plan, &buffers)?;
    let heat = Heat::new(&device, &queue, &losses, &photo, DOTS);

    // One submission: losses, picture, and the picture's copy to the host.
    let mut encoder = device.create_command_encoder(&Default::default());
    bound.encode(&mut encoder);
    heat.draw(&mut encoder);
    queue.submit([encoder.finish()]);

    let [width, height] = heat.size();
    let dots = heat.dots(&examples::read(&device, heat.staging())?);
    examples::write(file, &picture::png(&dots, width, height)?)?;
    println!("heatmap   {}, {width} x {height}", file.display());
    Ok(())
}
