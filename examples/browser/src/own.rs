//! What the library does where it has a device of its own: calls on host data, which are awaited here.

use wgpu_loss::{CrossEntropy, Error, Gpu, GpuOptions, Inputs, Outputs, Tensor, reference};

use crate::truth::{close, noise};
use crate::{Failure, page};

pub async fn run() {
    page::report("calls on host data", calls().await);
}

async fn calls() -> Result<(), Failure> {
    let gpu = Gpu::open(&GpuOptions::new()).await?;
    let (logits, labels) = (noise(64 * 1000, 7), [3u8; 64]);
    let inputs = Inputs::new(Tensor::new(&logits, &[64, 1000])).labels(&labels, &[64]);
    let (loss, outputs) = (CrossEntropy::new().label_smoothing(0.1), Outputs::loss().with_grad());
    let output = gpu.run_async(&loss, &inputs, outputs).await?;
    let truth = reference::run(&loss, &inputs, outputs)?;
    close("loss", &output.loss, &truth.loss, 2e-6)?;
    let (grad, wanted) = (output.grad.unwrap_or_default(), truth.grad.unwrap_or_default());
    close("gradient", &grad, &wanted, 6e-6)?;
    // What blocks would stop the page for good.
    for refused in [gpu.run(&loss, &inputs, outputs).err(), Gpu::new().err()] {
        if refused != Some(Error::Blocking) {
            return Err(format!("a call that blocks: {refused:?}").into());
        }
    }
    Ok(())
}
