//! `wgpu-loss bench`: the speed of cross-entropy on a device, by shape, next to the device's roof.
//!
//! ```text
//! case      tensors of a shape          -> measure   the answer checked, then the times
//! report    a table or JSON             -> plot      bandwidth by number of classes, as a chart
//! ```

pub mod case;
pub mod chart;
mod measure;
mod plot;
mod refused;
mod report;

use indicatif::{ProgressBar, ProgressStyle};
use wgpu_loss::gpu::Roofline;
use wgpu_loss::loss::Shapes;
use wgpu_loss::{CrossEntropy, ElementType, Error, Gpu, LabelType, Plan, TargetType};

use self::case::Case;
pub use self::measure::Pass;
use self::measure::{Measured, failed, measure};
use self::refused::{Refused, named};
use self::report::Report;
use crate::args::BenchArgs;
use crate::error::{Failure, say};
use crate::files::{Destination, finish};
use crate::report::print;

/// The shapes that are measured by default: a small head, large vocabularies, few classes, images.
const SHAPES: [&[usize]; 5] =
    [&[4096, 1000], &[2048, 32_000], &[512, 151_936], &[1 << 20, 10], &[4, 21, 512, 512]];
/// The numbers of classes in a picture.
const CLASSES: [usize; 11] = [4, 10, 32, 100, 256, 1000, 4096, 16_384, 32_000, 65_536, 151_936];

/// Measures the requested shapes and reports the results.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    // Checked before the long work, so that an unwritable file fails early.
    let picture = args.plot.as_deref().map(Destination::picture).transpose()?;
    let gpu = Gpu::with_adapter(args.adapter.as_deref().unwrap_or_default()).map_err(failed)?;
    let (measured, refused) = measure_all(&gpu, args);

    let mut saved = None;
    if let Some((file, format)) = picture.filter(|_| !measured.is_empty()) {
        let drawn = plot::draw(&measured, gpu.info(), format).map_err(Failure::Failed)?;
        finish(vec![file.bytes(&drawn)?])?;
        saved = Some(file.name.display().to_string());
    }
    let report = Report::new(&gpu, args, &measured, &refused, saved);
    print(&if args.json { report.json() } else { report.text() })?;
    match refused.len() {
        0 => Ok(()),
        n => Err(Failure::Failed(format!(
            "{n} of {} shapes could not be measured",
            shapes(args).len()
        ))),
    }
}

/// Measures every shape in turn. If one fails, its error is reported and the next one follows.
fn measure_all(gpu: &Gpu, args: &BenchArgs) -> (Vec<Measured>, Vec<Refused>) {
    let (mut measured, mut refused) = (Vec::new(), Vec::new());
    let shapes = shapes(args);
    let passes = passes(args);
    // Drawn on stderr, and only if that is a terminal.
    let progress = ProgressBar::new((shapes.len() * passes.len()) as u64);
    let style = ProgressStyle::with_template("{pos}/{len} {wide_msg}");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for shape in shapes {
        match measure_shape(gpu, &shape, &passes, args, &progress) {
            Ok(both) => measured.extend(both),
            Err(failure) => {
                let error = failure.message();
                progress.suspend(|| say(&format!("{}: {error}", named(&shape))));
                refused.push(Refused { shape, error });
            }
        }
    }
    progress.finish_and_clear();
    (measured, refused)
}

fn measure_shape(
    gpu: &Gpu,
    shape: &[usize],
    passes: &[Pass],
    args: &BenchArgs,
    progress: &ProgressBar,
) -> Result<Vec<Measured>, Failure> {
    let (samples, element_type) = (args.samples, args.dtype);
    let tell = |what: &str| {
        progress.set_message(format!("{} {what}", named(shape)));
        progress.tick();
    };
    tell("making data");
    check_size(gpu, shape, element_type, passes).map_err(failed)?;
    let case =
        Case::new(shape, element_type).map_err(|error| Failure::Failed(error.to_string()))?;
    tell("roof");
    let size = u64::from(element_type.bytes());
    let bytes = size * shape.iter().product::<usize>() as u64;
    let roof = Roofline::measure(gpu, bytes, samples).map_err(failed)?;
    let measured = passes.iter().map(|&pass| {
        tell(pass.name());
        let measured = measure(gpu, &case, pass, roof, samples);
        progress.inc(1);
        measured
    });
    measured.collect()
}

/// Refuses shapes that the device has no buffers or no plan for, before their data is made.
fn check_size(
    gpu: &Gpu,
    shape: &[usize],
    element_type: ElementType,
    passes: &[Pass],
) -> Result<(), Error> {
    let mut label_shape = shape.to_vec();
    label_shape.remove(1);
    let target = TargetType::Labels(LabelType::I64);
    let shapes = Shapes::new(shape).input_type(element_type).target(target, &label_shape);
    for pass in passes {
        Plan::new(&CrossEntropy::new(), &shapes, pass.outputs(), gpu.kernels().profile())?;
    }
    let bytes = |shape: &[usize], size| size * shape.iter().product::<usize>() as u64;
    let tensors =
        [("logits", bytes(shape, element_type.bytes().into())), ("labels", bytes(&label_shape, 8))];
    let allowed = gpu.device().limits().max_buffer_size;
    match tensors.into_iter().find(|&(_, needed)| needed > allowed) {
        Some((what, needed)) => {
            Err(Error::Limit { what, limit: "max_buffer_size", needed, allowed })
        }
        None => Ok(()),
    }
}

/// Returns the requested shapes: those of a picture have about the same number of elements each.
fn shapes(args: &BenchArgs) -> Vec<Vec<usize>> {
    if args.plot.is_some() {
        let elements = args.elements;
        let fit = CLASSES.iter().filter(|&&classes| classes <= elements);
        return fit.map(|&classes| vec![elements / classes, classes]).collect();
    }
    match args.shape.is_empty() {
        true => SHAPES.iter().map(|shape| shape.to_vec()).collect(),
        false => args.shape.iter().map(|shape| shape.0.clone()).collect(),
    }
}

fn passes(args: &BenchArgs) -> Vec<Pass> {
    args.pass.map_or(vec![Pass::Fwd, Pass::FwdBwd], |pass| vec![pass])
}
