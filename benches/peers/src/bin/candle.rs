//! Candle on the CPU.

use candle_core::{Device, Tensor, Var};
use peers::{Answer, Fallible, Job, Pass, dot};

fn main() -> Fallible<()> {
    let job = Job::from_stdin()?;
    let data = job.logits()?;
    let labels = job.labels()?;
    let labels = Tensor::from_vec(labels, job.elements() / job.classes(), &Device::Cpu)?;
    let logits = Var::from_slice(&data, job.shape.as_slice(), &Device::Cpu)?;
    let note = if job.inner() == 1 { "" } else { "logits permuted to (N H W, C)" };
    for pass in Pass::ALL {
        let times = job.time(|| run(&job, &logits, &labels, pass).map(|_| ()))?;
        let (loss, grad) = run(&job, &logits, &labels, pass)?;
        let loss = loss.to_scalar::<f32>()?.into();
        let grad = grad.map(|grad| grad.flatten_all()?.to_vec1::<f32>()).transpose()?;
        let answer = Answer { loss, grad_dot: grad.map(|grad| dot(&grad, &data)) };
        job.report("CPU", note, pass, answer, &times);
    }
    Ok(())
}

/// Runs one pass. On the CPU there is nothing to wait for.
fn run(job: &Job, logits: &Var, labels: &Tensor, pass: Pass) -> Fallible<(Tensor, Option<Tensor>)> {
    let input = match pass {
        // No graph is recorded for a gradient.
        Pass::Forward => logits.as_detached_tensor(),
        Pass::Backward => logits.as_tensor().clone(),
    };
    let loss = candle_nn::loss::cross_entropy(&rows(job, input)?, labels)?;
    let grad = match pass {
        Pass::Forward => None,
        Pass::Backward => Some(loss.backward()?.remove(logits).ok_or("no gradient")?),
    };
    Ok((loss, grad))
}

/// Candle's loss wants (N, C): of images, a row for each pixel.
fn rows(job: &Job, logits: Tensor) -> candle_core::Result<Tensor> {
    match job.inner() {
        1 => Ok(logits),
        inner => logits
            .reshape((job.shape[0], job.classes(), inner))?
            .transpose(1, 2)?
            .reshape((job.shape[0] * inner, job.classes())),
    }
}
