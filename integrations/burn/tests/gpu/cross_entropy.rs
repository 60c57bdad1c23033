//! The same numbers as Burn's own cross-entropy, where Burn's are right; and right where they are not.

use burn::nn::loss as burns;
use burn::tensor::{Device, Tensor};
use wgpu_loss::{CrossEntropy, Inputs, Tensor as View};
use wgpu_loss_burn::CrossEntropyLossConfig;

use crate::support::{close, device, host, ints, labels, numbers, tensor, truth};

const RELATIVE: f64 = 2e-6;

/// A loss and the gradient of its input, where the loss is weighed by `upstream` before `backward`.
fn differentiated(
    logits: Tensor<2>,
    upstream: Option<f32>,
    loss: impl Fn(Tensor<2>) -> Tensor<1>,
) -> (Vec<f32>, Vec<f32>) {
    let logits = logits.require_grad();
    let loss = loss(logits.clone());
    let value = host(loss.clone());
    let scaled = match upstream {
        Some(factor) => loss * factor,
        None => loss,
    };
    let grads = scaled.backward();
    (value, host(logits.grad(&grads).expect("a gradient")))
}

#[test]
fn loss_and_gradient_are_burns() {
    let device = device().autodiff();
    let (rows, classes) = (37, 11);
    let data = numbers(rows * classes, 1);
    let targets = labels(rows, classes, 2);
    let logits = || tensor(&data, [rows, classes], &device);
    let labels = ints(&targets, [rows], &device);

    let ours = CrossEntropyLossConfig::new().init(&device);
    let burns = burns::CrossEntropyLossConfig::new().init(&device);
    let inputs = Inputs::new(View::new(&data, &[rows, classes])).labels(&targets, &[rows]);
    let truth = truth(&CrossEntropy::new(), &inputs);

    let (loss, grad) = differentiated(logits(), None, |x| ours.forward(x, labels.clone()));
    close("our loss", &loss, &truth.loss, RELATIVE, 0.0);
    close("our gradient", &grad, &truth.grad, 1e-5, 1e-9);
    let (loss, grad) = differentiated(logits(), None, |x| burns.forward(x, labels.clone()));
    close("Burn's loss", &loss, &truth.loss, 1e-5, 0.0);
    close("Burn's gradient", &grad, &truth.grad, 1e-4, 1e-7);

    let (_, grad) = differentiated(logits(), Some(0.25), |x| ours.forward(x, labels.clone()));
    let quarter: Vec<f64> = truth.grad.iter().map(|grad| grad * 0.25).collect();
    close("a weighed gradient", &grad, &quarter, 1e-5, 1e-9);
}

#[test]
fn a_million_rows() {
    let device = device();
    let (rows, classes) = (1 << 20, 10);
    let data = numbers(rows * classes, 3);
    let targets = labels(rows, classes, 4);
    let inputs = Inputs::new(View::new(&data, &[rows, classes])).labels(&targets, &[rows]);
    let truth = truth(&CrossEntropy::new(), &inputs);
    let run = |device: &Device| {
        let logits = tensor(&data, [rows, classes], device);
        let loss = CrossEntropyLossConfig::new().init(device);
        (logits.clone(), loss.forward(logits, ints(&targets, [rows], device)))
    };
    let (_, loss) = run(&device);
    close("the loss", &host(loss), &truth.loss, RELATIVE, 0.0);
    let device = device.autodiff();
    let (rows, labels) = (tensor(&data, [rows, classes], &device), ints(&targets, [rows], &device));
    let ours = CrossEntropyLossConfig::new().init(&device);
    let (loss, grad) = differentiated(rows, None, |x| ours.forward(x, labels.clone()));
    close("the loss beside a gradient", &loss, &truth.loss, RELATIVE, 0.0);
    close("the gradient", &grad, &truth.grad, 1e-5, 1e-14);
}
