//! Prints the kernels that a loss over some shape runs, as they are handed to wgpu:
//!
//! ```sh
//! cargo run --release --example wgsl -- cross-entropy 4096x1000 --grad
//! cargo run --release --example wgsl -- kl-div 64x1000 --type bf16 --device software --subgroups 8
//! ```
//!
//! No GPU is needed.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use indexmap::IndexSet;
use wgpu_loss::loss::Shapes;
use wgpu_loss::wgpu::DeviceType;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, ElementType, Entropy, GaussianNll, KlDiv, LabelType, Loss,
    Nll, Outputs, Plan, PoissonNll, Profile, Reduction, Softmax, TargetType,
};

#[derive(Parser)]
#[command(about = "Print the kernels that a loss over some shape runs")]
struct Args {
    loss: Name,
    /// Extents of the input, as in 4096x1000; classes are the second
    #[arg(value_parser = shape)]
    shape: Shape,
    /// With the gradient
    #[arg(long)]
    grad: bool,
    /// With a loss for each row or element, and no mean
    #[arg(long)]
    none: bool,
    /// With a weight for each class, or for each element
    #[arg(long)]
    weight: bool,
    /// Element type of the input
    #[arg(long = "type", default_value = "f32")]
    element_type: Element,
    /// Kind of the device
    #[arg(long, default_value = "discrete")]
    device: Device,
    /// Lanes of the device's subgroups; without them if not given
    #[arg(long)]
    subgroups: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    CrossEntropy,
    Nll,
    Entropy,
    Softmax,
    LogSoftmax,
    Bce,
    BceWithLogits,
    KlDiv,
    GaussianNll,
    PoissonNll,
}

#[derive(Clone, Copy, ValueEnum)]
enum Element {
    F32,
    F16,
    Bf16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Device {
    Discrete,
    Integrated,
    Software,
}

#[derive(Clone)]
struct Shape(Vec<usize>);

fn shape(text: &str) -> Result<Shape, String> {
    let extents: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    let extents =
        extents.map_err(|error| format!("{error}; extents are wanted, as in 4096x1000"))?;
    if extents.len() < 2 {
        Err("two extents or more are wanted".to_owned())
    } else {
        Ok(Shape(extents))
    }
}

impl Args {
    fn loss(&self) -> Box<dyn Loss> {
        let reduction = if self.none { Reduction::None } else { Reduction::Mean };
        match self.loss {
            Name::CrossEntropy => Box::new(CrossEntropy::new().reduction(reduction)),
            Name::Nll => Box::new(Nll::new().reduction(reduction)),
            Name::Entropy => Box::new(Entropy::new().axis(1).reduction(reduction)),
            Name::Softmax => Box::new(Softmax::probs().axis(1)),
            Name::LogSoftmax => Box::new(Softmax::log_probs().axis(1)),
            Name::Bce => Box::new(Bce::new().reduction(reduction)),
            Name::BceWithLogits => Box::new(BceWithLogits::new().reduction(reduction)),
            Name::KlDiv => Box::new(KlDiv::new().reduction(reduction)),
            Name::GaussianNll => Box::new(GaussianNll::new().reduction(reduction)),
            Name::PoissonNll => Box::new(PoissonNll::new().reduction(reduction)),
        }
    }

    /// Returns the operands that the loss takes, in their usual shapes.
    fn shapes<'a>(&'a self, rows: &'a [usize]) -> Shapes<'a> {
        let Shape(input) = &self.shape;
        let values = TargetType::Values(ElementType::F32);
        let shapes = Shapes::new(input).input_type(match self.element_type {
            Element::F32 => ElementType::F32,
            Element::F16 => ElementType::F16,
            Element::Bf16 => ElementType::BF16,
        });
        let shapes = match self.loss {
            Name::CrossEntropy | Name::Nll => {
                shapes.target(TargetType::Labels(LabelType::I64), rows)
            }
            Name::Entropy => shapes,
            Name::Softmax | Name::LogSoftmax if self.grad => shapes.upstream(input),
            Name::Softmax | Name::LogSoftmax => shapes,
            Name::GaussianNll => shapes.target(values, input).var(ElementType::F32, input),
            _ => shapes.target(values, input),
        };
        match self.loss {
            _ if !self.weight => shapes,
            Name::CrossEntropy | Name::Nll => shapes.weight(input[1]),
            _ => shapes.element_weight(ElementType::F32, input),
        }
    }

    fn profile(&self) -> Profile {
        let device_type = match self.device {
            Device::Discrete => DeviceType::DiscreteGpu,
            Device::Integrated => DeviceType::IntegratedGpu,
            Device::Software => DeviceType::Cpu,
        };
        let mut profile = Profile::portable().with_device_type(device_type);
        profile.subgroup_size = self.subgroups;
        profile.subgroups_alike = self.subgroups.is_some();
        // The same as on existing software drivers.
        (profile.int64, profile.f16) = match self.device {
            Device::Software => (true, true),
            Device::Discrete | Device::Integrated => (false, false),
        };
        profile
    }
}

fn main() -> ExitCode {
    match print(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let Shape(input) = &args.shape;
    let rows = [&input[..1], &input[2..]].concat();
    let outputs = if args.grad { Outputs::loss().with_grad() } else { Outputs::loss() };
    let plan = Plan::new(&*args.loss(), &args.shapes(&rows), outputs, &args.profile())?;
    let mut text = String::new();
    for line in plan.to_string().lines() {
        text += &format!("// {line}\n");
    }
    // Pieces of a tensor are dispatches of one kernel.
    for spec in plan.specs().collect::<IndexSet<_>>() {
        text += &format!("\n// --- {spec}\n\n{}", spec.wgsl());
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        // A closed pipe, as `head` leaves it, is no error.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
