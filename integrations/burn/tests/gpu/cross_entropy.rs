//! The numbers of Burn's own cross-entropy, and right ones where Burn's are not.

use burn::nn::loss as burns;
use wgpu_loss::{CrossEntropy, Inputs, Nll, Tensor as View};
use wgpu_loss_burn::{CrossEntropyLossConfig, Reduction};

use crate::support::{
    GRAD, LOSS, close, device, differentiated, host, ints, labels, numbers, probabilities, tensor,
    truth,
};

const ROWS: usize = 37;
const CLASSES: usize = 11;

/// Compares ours and Burn's of the same options, with and without a gradient, with the f64 reference.
fn compare(options: &CrossEntropyLossConfig, loss: CrossEntropy) {
    let device = device();
    let data = numbers(ROWS * CLASSES, 1);
    let targets = labels(ROWS, CLASSES, 2);
    let mut inputs = Inputs::new(View::new(&data, &[ROWS, CLASSES])).labels(&targets, &[ROWS]);
    if let Some(weights) = &options.weights {
        inputs = inputs.weight(weights);
    }
    let truth = truth(&loss, &inputs);

    let alone = options.init(&device);
    let logits = tensor(&data, [ROWS, CLASSES], &device);
    let value = host(alone.forward(logits, ints(&targets, [ROWS], &device)));
    close("our loss alone", &value, &truth.loss, LOSS, 0.0);

    let device = device.autodiff();
    let labels = ints(&targets, [ROWS], &device);
    let logits = || tensor(&data, [ROWS, CLASSES], &device);
    let ours = options.init(&device);
    let (value, grad) = differentiated(logits(), None, |x| ours.forward(x, labels.clone()));
    close("our loss", &value, &truth.loss, LOSS, 0.0);
    close("our gradient", &grad, &truth.grad, GRAD.0, GRAD.1);

    let factor = tensor(&[0.25], [1], &device);
    let (_, grad) = differentiated(logits(), Some(factor), |x| ours.forward(x, labels.clone()));
    let quarter: Vec<f64> = truth.grad.iter().map(|grad| grad * 0.25).collect();
    close("a quarter of the gradient", &grad, &quarter, GRAD.0, GRAD.1);

    let burns = burns::CrossEntropyLossConfig::new()
        .with_pad_tokens(options.pad_tokens.clone())
        .with_weights(options.weights.clone())
        .with_smoothing(options.smoothing)
        .init(&device);
    let (value, grad) = differentiated(logits(), None, |x| burns.forward(x, labels.clone()));
    close("Burn's loss", &value, &truth.loss, 1e-5, 0.0);
    close("Burn's gradient", &grad, &truth.grad, 1e-4, 1e-7);
}

fn weights() -> Vec<f32> {
    (0..CLASSES).map(|class| 0.25 + class as f32 / 4.0).collect()
}

#[test]
fn plain() {
    compare(&CrossEntropyLossConfig::new(), CrossEntropy::new());
}

#[test]
fn smoothed_and_weighted() {
    let options = CrossEntropyLossConfig::new()
        .with_smoothing(Some(0.2))
        .with_weights(Some(weights()))
        .with_pad_tokens(Some(vec![3]));
    compare(&options, CrossEntropy::new().label_smoothing(0.2).ignore_index(3));
}

#[test]
fn several_labels_are_left_out() {
    let device = device();
    let data = numbers(ROWS * CLASSES, 1);
    let mut targets = labels(ROWS, CLASSES, 2);
    // Neither is a class, which Burn's own loss could not gather.
    targets[4] = 255;
    targets[5] = -7;
    let options = CrossEntropyLossConfig::new()
        .with_pad_tokens(Some(vec![3, 255]))
        .with_ignore_index(Some(-7));
    let forward = |targets: &[i64]| {
        let logits = tensor(&data, [ROWS, CLASSES], &device);
        host(options.init(&device).forward(logits, ints(targets, [ROWS], &device)))
    };
    let loss = forward(&targets);
    let one = targets.iter().map(|&label| if [3, 255, -7].contains(&label) { -100 } else { label });
    let one: Vec<i64> = one.collect();
    let (shape, of_labels) = ([ROWS, CLASSES], [ROWS]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&one, &of_labels);
    close("the loss", &loss, &truth(&CrossEntropy::new(), &inputs).loss, LOSS, 0.0);

    assert!(forward(&[3; ROWS])[0].is_nan(), "the mean of nothing");
    let zero = options.clone().with_zero_empty_mean(true).init(&device);
    let logits = tensor(&data, [ROWS, CLASSES], &device);
    assert_eq!(host(zero.forward(logits, ints(&[3; ROWS], [ROWS], &device))), [0.0]);
}

#[test]
fn probabilities_instead_of_logits() {
    let device = device().autodiff();
    let data = probabilities(&numbers(ROWS * CLASSES, 1), CLASSES);
    let targets = labels(ROWS, CLASSES, 2);
    let logs: Vec<f32> = data.iter().map(|p| p.ln()).collect();
    let (shape, of_labels) = ([ROWS, CLASSES], [ROWS]);
    let inputs = Inputs::new(View::new(&logs, &shape)).labels(&targets, &of_labels);
    let truth = truth(&Nll::new().ignore_index(3), &inputs);
    let chained: Vec<f64> =
        truth.grad.iter().zip(&data).map(|(grad, &p)| grad / f64::from(p)).collect();

    let options = CrossEntropyLossConfig::new().with_logits(false).with_pad_tokens(Some(vec![3]));
    let labels = ints(&targets, [ROWS], &device);
    let ours = options.init(&device);
    let input = || tensor(&data, [ROWS, CLASSES], &device);
    let (loss, grad) = differentiated(input(), None, |x| ours.forward(x, labels.clone()));
    close("the loss", &loss, &truth.loss, LOSS, 1e-6);
    close("the gradient", &grad, &chained, GRAD.0, GRAD.1);

    // With smoothing, Burn's own loss runs.
    let smoothed = options.with_smoothing(Some(0.1)).init(&device);
    let burns = burns::CrossEntropyLossConfig::new()
        .with_logits(false)
        .with_pad_tokens(Some(vec![3]))
        .with_smoothing(Some(0.1))
        .init(&device);
    let ours = host(smoothed.forward(input(), labels.clone()));
    assert_eq!(ours, host(burns.forward(input(), labels)));
}

#[test]
fn reductions() {
    let device = device().autodiff();
    let data = numbers(ROWS * CLASSES, 1);
    let targets = labels(ROWS, CLASSES, 2);
    let labels = ints(&targets, [ROWS], &device);
    let (shape, of_labels) = ([ROWS, CLASSES], [ROWS]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&targets, &of_labels);
    let options = CrossEntropyLossConfig::new().with_ignore_index(Some(3));
    let loss = CrossEntropy::new().ignore_index(3);
    for (reduction, same) in [
        (Reduction::Sum, wgpu_loss::Reduction::Sum),
        (Reduction::BatchMean, wgpu_loss::Reduction::BatchMean),
    ] {
        let ours = options.clone().with_reduction(reduction).init(&device);
        let truth = truth(&loss.clone().reduction(same), &inputs);
        let logits = tensor(&data, [ROWS, CLASSES], &device);
        let (value, grad) = differentiated(logits, None, |x| ours.forward(x, labels.clone()));
        close("the loss", &value, &truth.loss, LOSS, 0.0);
        close("the gradient", &grad, &truth.grad, GRAD.0, GRAD.1);
    }

    // One loss for each row, multiplied row by row in the backward pass.
    let ours = options.with_reduction(Reduction::None).init(&device);
    let factors: Vec<f32> = (0..ROWS).map(|row| row as f32 / 8.0 - 2.0).collect();
    let upstream = Some(tensor(&factors, [ROWS], &device));
    let logits = tensor(&data, [ROWS, CLASSES], &device);
    let (value, grad) = differentiated(logits, upstream, |x| ours.forward(x, labels.clone()));
    let inputs = inputs.upstream(View::new(&factors, &[ROWS]));
    let truth = truth(&loss.reduction(wgpu_loss::Reduction::None), &inputs);
    close("the losses", &value, &truth.loss, LOSS, 1e-6);
    close("their gradient", &grad, &truth.grad, GRAD.0, 1e-6);
}

/// Burn 0.22.1's own mean is 1.009 here on llvmpipe; the bench of this crate prints it.
#[test]
fn a_million_rows() {
    let (rows, classes) = (1 << 20, 10);
    let data = numbers(rows * classes, 3);
    let targets = labels(rows, classes, 4);
    let (shape, of_labels) = ([rows, classes], [rows]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&targets, &of_labels);
    let truth = truth(&CrossEntropy::new(), &inputs);

    let device = device();
    let alone = CrossEntropyLossConfig::new().init(&device);
    let logits = tensor(&data, [rows, classes], &device);
    let loss = host(alone.forward(logits, ints(&targets, [rows], &device)));
    close("the loss", &loss, &truth.loss, LOSS, 0.0);

    let device = device.autodiff();
    let ours = CrossEntropyLossConfig::new().init(&device);
    let logits = tensor(&data, [rows, classes], &device);
    let labels = ints(&targets, [rows], &device);
    let (loss, grad) = differentiated(logits, None, |x| ours.forward(x, labels.clone()));
    close("the loss with a gradient", &loss, &truth.loss, LOSS, 0.0);
    close("the gradient", &grad, &truth.grad, GRAD.0, 1e-14);
}
