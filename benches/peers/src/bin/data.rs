//! Writes the logits and labels of one shape for all contenders, and prints what the answers should
//! be, in f64.

use std::fs;

use peers::{Fallible, Job};
use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor, reference};

fn main() -> Fallible<()> {
    let job = Job::from_args()?;
    let elements = job.elements();
    let classes = job.classes() as f32;
    let logits: Vec<f32> = random(1).take(elements).map(|x| 8.0 * x - 4.0).collect();
    let labels: Vec<i64> =
        random(2).take(elements / job.classes()).map(|x| (x * classes) as i64).collect();
    fs::write(job.data.join("logits.bin"), bytemuck::cast_slice(&logits))?;
    fs::write(job.data.join("labels.bin"), bytemuck::cast_slice(&labels))?;

    let label_shape = job.label_shape();
    let inputs = Inputs::new(Tensor::new(&logits, &job.shape)).labels(&labels, &label_shape);
    let truth = reference::run(&CrossEntropy::new(), &inputs, Outputs::loss().with_grad())?;
    let grad = truth.grad.ok_or("no gradient")?;
    let dot: f64 = grad.iter().zip(&logits).map(|(a, &b)| a * f64::from(b)).sum();
    println!("{}", serde_json::json!({ "loss": truth.loss[0], "grad_dot": dot }));
    Ok(())
}

/// Numbers in [0, 1) that are the same on every run, from a linear congruential generator.
fn random(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    })
}
