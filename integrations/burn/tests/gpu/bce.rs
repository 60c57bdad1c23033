//! The numbers of Burn's own binary cross-entropy.

use burn::nn::loss as burns;
use burn::tensor::Tensor;
use wgpu_loss::{Bce, BceWithLogits, Inputs, Tensor as View};
use wgpu_loss_burn::{BinaryCrossEntropyLossConfig, Reduction};

use crate::support::{
    GRAD, LOSS, Truth, close, device, differentiated, host, ints, labels, numbers, tensor, truth,
};

/// Compares ours and Burn's of the same options with the truth.
fn compare<const D: usize>(
    options: &BinaryCrossEntropyLossConfig,
    (data, targets, shape): (&[f32], &[i64], [usize; D]),
    truth: &Truth,
) {
    let device = device().autodiff();
    let input = || tensor(data, shape, &device);
    let labels = ints(targets, shape, &device);
    let ours = options.init(&device);
    let (loss, grad) = differentiated(input(), None, |x| ours.forward(x, labels.clone()));
    close("our loss", &loss, &truth.loss, LOSS, 0.0);
    close("our gradient", &grad, &truth.grad, GRAD.0, GRAD.1);
    let burns = burns::BinaryCrossEntropyLossConfig::new()
        .with_weights(options.weights.clone())
        .with_smoothing(options.smoothing)
        .with_logits(options.logits)
        .init(&device);
    let (loss, grad) = differentiated(input(), None, |x| burns.forward(x, labels.clone()));
    close("Burn's loss", &loss, &truth.loss, 1e-5, 0.0);
    close("Burn's gradient", &grad, &truth.grad, 1e-4, 1e-7);
}

#[test]
fn one_number_for_each_sample() {
    let data = numbers(50, 1);
    let targets = labels(50, 2, 2);
    // For tensors of rank 1, a weight for each of the two labels.
    let weights = [0.5f32, 2.0];
    let each: Vec<f32> = targets.iter().map(|&label| weights[label as usize]).collect();
    let values: Vec<f32> = targets.iter().map(|&label| label as f32).collect();
    let inputs = Inputs::new(View::new(&data, &[50]))
        .target(View::new(&values, &[50]))
        .element_weight(View::new(&each, &[50]));
    let options =
        BinaryCrossEntropyLossConfig::new().with_logits(true).with_weights(Some(weights.into()));
    compare(&options, (&data, &targets, [50]), &truth(&BceWithLogits::new(), &inputs));
}

#[test]
fn several_labels_for_each_sample() {
    let data = numbers(20 * 6, 3);
    let targets = labels(20 * 6, 2, 4);
    let weights: Vec<f32> = (1..=6).map(|class| class as f32 / 3.0).collect();
    let smoothed: Vec<f32> =
        targets.iter().map(|&label| label as f32 * (1.0 - 0.3) + 0.3 / 6.0).collect();
    let inputs = Inputs::new(View::new(&data, &[20, 6]))
        .target(View::new(&smoothed, &[20, 6]))
        .element_weight(View::new(&weights, &[6]));
    let options = BinaryCrossEntropyLossConfig::new()
        .with_logits(true)
        .with_weights(Some(weights.clone()))
        .with_smoothing(Some(0.3));
    compare(&options, (&data, &targets, [20, 6]), &truth(&BceWithLogits::new(), &inputs));
}

#[test]
fn probabilities() {
    let data: Vec<f32> = numbers(40, 5).iter().map(|x| 1.0 / (1.0 + x.exp())).collect();
    let targets = labels(40, 2, 6);
    let values: Vec<f32> = targets.iter().map(|&label| label as f32).collect();
    let inputs = Inputs::new(View::new(&data, &[8, 5])).target(View::new(&values, &[8, 5]));
    let options = BinaryCrossEntropyLossConfig::new();
    compare(&options, (&data, &targets, [8, 5]), &truth(&Bce::new(), &inputs));
}

#[test]
fn unreduced() {
    let device = device();
    let data = numbers(30, 7);
    let targets = labels(30, 2, 8);
    let values: Vec<f32> = targets.iter().map(|&label| label as f32).collect();
    let inputs = Inputs::new(View::new(&data, &[5, 6])).target(View::new(&values, &[5, 6]));
    let options =
        BinaryCrossEntropyLossConfig::new().with_logits(true).with_reduction(Reduction::None);
    let input: Tensor<2> = tensor(&data, [5, 6], &device);
    let loss = options.init(&device).forward(input, ints(&targets, [5, 6], &device));
    let loss_of_each = BceWithLogits::new().reduction(wgpu_loss::Reduction::None);
    close("the losses", &host(loss), &truth(&loss_of_each, &inputs).loss, LOSS, 1e-7);
}
