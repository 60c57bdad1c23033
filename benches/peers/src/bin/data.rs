//! Writes the logits and labels of one shape for all contenders, and prints the right answers, in f64.

use std::fs;

use half::{bf16, f16};
use peers::{Dtype, Fallible, Job};
use rayon::prelude::*;
use wgpu_loss::{CrossEntropy, Outputs, reference};

use wgpu_loss_cli::bench::case::Case;

/// Products are summed in pieces of this many, each by one thread, so that the sum is always the same.
const PIECE: usize = 1 << 20;

fn main() -> Fallible<()> {
    let job = Job::from_stdin()?;
    let case = Case::new(&job.shape, job.dtype.element_type())?;
    let floats = case.logits.floats();
    fs::write(job.data.join("logits.bin"), floats.bytes())?;
    fs::write(job.data.join("labels.bin"), bytemuck::cast_slice(&case.labels))?;

    let outputs = Outputs::loss().with_grad();
    let truth = reference::run(&CrossEntropy::new(), &case.inputs(), outputs)?;
    let grad = truth.grad.ok_or("no gradient")?;
    let (dot, scale) = products(job.dtype, &grad, &job.dtype.widen(floats.bytes()));
    let line = serde_json::json!({
        "loss": truth.loss[0], "grad_dot": dot, "grad_scale": scale,
        "bytes": { "forward": case.bytes(false), "forward+backward": case.bytes(true) },
    });
    println!("{line}");
    Ok(())
}

/// The gradient, rounded to the logits' type, times the logits: summed, and the sum without signs.
fn products(dtype: Dtype, grad: &[f64], logits: &[f32]) -> (f64, f64) {
    let round = |value: f64| match dtype {
        Dtype::F32 => f64::from(value as f32),
        Dtype::F16 => f16::from_f64(value).to_f64(),
        Dtype::BF16 => bf16::from_f64(value).to_f64(),
    };
    let pieces = grad.par_chunks(PIECE).zip(logits.par_chunks(PIECE)).map(|(grad, logits)| {
        let products = grad.iter().zip(logits).map(|(&g, &x)| round(g) * f64::from(x));
        products.fold((0.0, 0.0), |(sum, scale), x| (sum + x, scale + x.abs()))
    });
    let pieces: Vec<(f64, f64)> = pieces.collect();
    pieces.iter().fold((0.0, 0.0), |sums, piece| (sums.0 + piece.0, sums.1 + piece.1))
}
