//! A model learns with this loss as it does with Burn's.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig, Relu, loss as burns};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Int, Tensor};
use wgpu_loss_burn::CrossEntropyLossConfig;

use crate::support::{device, host, ints, labels, numbers, tensor};

const ROWS: usize = 256;
const FEATURES: usize = 12;
const CLASSES: usize = 5;
const STEPS: usize = 60;

#[derive(Module, Debug)]
struct Perceptron {
    hidden: Linear,
    relu: Relu,
    out: Linear,
}

impl Perceptron {
    fn new(device: &Device) -> Self {
        let relu = Relu::new();
        let layer = |from, to| LinearConfig::new(from, to).init(device);
        Self { hidden: layer(FEATURES, 32), relu, out: layer(32, CLASSES) }
    }

    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.out.forward(self.relu.forward(self.hidden.forward(input)))
    }
}

/// The losses of the steps.
fn train(
    mut model: Perceptron,
    device: &Device,
    loss: impl Fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1>,
) -> Vec<f32> {
    // Clusters: each class has a centre, and noise around it.
    let targets = labels(ROWS, CLASSES, 1);
    let (centres, noise) = (numbers(CLASSES * FEATURES, 2), numbers(ROWS * FEATURES, 3));
    let data: Vec<f32> = (0..ROWS * FEATURES)
        .map(|i| centres[targets[i / FEATURES] as usize * FEATURES + i % FEATURES] + noise[i] / 2.0)
        .collect();
    let (data, targets) = (tensor(&data, [ROWS, FEATURES], device), ints(&targets, [ROWS], device));
    let mut optimizer = SgdConfig::new().init();
    let step = |_| {
        let loss = loss(model.forward(data.clone()), targets.clone());
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.05, model.clone(), grads);
        loss.detach()
    };
    host(Tensor::cat((0..STEPS).map(step).collect(), 0))
}

#[test]
fn both_losses_give_the_same_curve() {
    let device = device().autodiff();
    let model = Perceptron::new(&device);
    let ours = CrossEntropyLossConfig::new().init(&device);
    let burns = burns::CrossEntropyLossConfig::new().init(&device);
    let by_ours = train(model.clone(), &device, |x, t| ours.forward(x, t));
    let by_burns = train(model, &device, |x, t| burns.forward(x, t));
    assert!(by_ours[STEPS - 1] < by_ours[0] / 10.0, "{by_ours:?}");
    for (step, (ours, burns)) in by_ours.iter().zip(&by_burns).enumerate() {
        let off = (ours - burns).abs();
        assert!(off < 1e-3 * burns.abs() + 1e-4, "step {step}: {ours} and {burns}");
    }
}
