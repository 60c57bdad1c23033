//! Tensors in another order, images, empty ones, types.

use burn::tensor::{FloatDType, IntDType, Tensor, activation};
use wgpu_loss::{CrossEntropy, Inputs, Tensor as View};
use wgpu_loss_burn::CrossEntropyLossConfig;

use crate::support::{
    GRAD, LOSS, close, device, differentiated, host, ints, labels, numbers, tensor, truth,
};

#[test]
fn transposed() {
    let (rows, classes) = (19, 7);
    let device = device().autodiff();
    let data = numbers(rows * classes, 1);
    let targets = labels(rows, classes, 2);
    let labels = ints(&targets, [rows], &device);
    let ours = CrossEntropyLossConfig::new().init(&device);
    // The tensor has the classes outermost; the loss sees its transpose.
    let input = tensor(&data, [classes, rows], &device);
    let (loss, grad) = differentiated(input, None, |x| ours.forward(x.transpose(), labels.clone()));
    let (shape, of_labels) = ([classes, rows], [rows]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&targets, &of_labels);
    let truth = truth(&CrossEntropy::new().class_axis(0), &inputs);
    close("the loss", &loss, &truth.loss, LOSS, 0.0);
    close("the gradient", &grad, &truth.grad, GRAD.0, GRAD.1);
}

#[test]
fn sliced() {
    let device = device().autodiff();
    let data = numbers(20 * 9, 3);
    let targets = labels(20, 5, 4);
    let ours = CrossEntropyLossConfig::new().init(&device);
    let labels = ints(&targets, [20], &device).slice(4..15);
    let input = tensor(&data, [20, 9], &device);
    let (loss, grad) =
        differentiated(input, None, |x| ours.forward(x.slice([4..15, 2..7]), labels.clone()));

    let cut: Vec<f32> = (4..15).flat_map(|row| data[row * 9 + 2..row * 9 + 7].to_vec()).collect();
    let (shape, of_labels) = ([11, 5], [11]);
    let inputs = Inputs::new(View::new(&cut, &shape)).labels(&targets[4..15], &of_labels);
    let truth = truth(&CrossEntropy::new(), &inputs);
    close("the loss", &loss, &truth.loss, LOSS, 0.0);
    let mut whole = vec![0.0; 20 * 9];
    for (row, grads) in truth.grad.chunks(5).enumerate() {
        whole[(row + 4) * 9 + 2..][..5].copy_from_slice(grads);
    }
    close("the gradient", &grad, &whole, GRAD.0, GRAD.1);
}

#[test]
fn images_in_both_orders() {
    let (batch, classes, height, width) = (2, 5, 6, 7);
    let device = device().autodiff();
    let data = numbers(batch * classes * height * width, 5);
    let targets = labels(batch * height * width, classes, 6);
    let labels = ints(&targets, [batch, height, width], &device);
    let ours = CrossEntropyLossConfig::new().init(&device);

    let planes = tensor(&data, [batch, classes, height, width], &device);
    let (loss, grad) = differentiated(planes, None, |x| ours.forward(x, labels.clone()));
    let (shape, of_labels) = ([batch, classes, height, width], [batch, height, width]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&targets, &of_labels);
    let of_planes = truth(&CrossEntropy::new(), &inputs);
    close("the loss of planes", &loss, &of_planes.loss, LOSS, 0.0);
    close("its gradient", &grad, &of_planes.grad, GRAD.0, GRAD.1);

    let pixels = tensor(&data, [batch, height, width, classes], &device);
    let (loss, grad) =
        differentiated(pixels, None, |x| ours.forward(x.permute([0, 3, 1, 2]), labels.clone()));
    let (shape, of_labels) = ([batch, height, width, classes], [batch, height, width]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&targets, &of_labels);
    let of_pixels = truth(&CrossEntropy::new().class_axis(-1), &inputs);
    close("the loss of pixels", &loss, &of_pixels.loss, LOSS, 0.0);
    close("its gradient", &grad, &of_pixels.grad, GRAD.0, GRAD.1);
}

#[test]
fn no_rows() {
    let device = device();
    let logits: Tensor<2> = Tensor::zeros([0, 4], &device);
    let loss = CrossEntropyLossConfig::new().init(&device);
    let value = host(loss.forward(logits, ints(&[], [0], &device)));
    assert!(value.len() == 1 && value[0].is_nan(), "{value:?}");
}

#[test]
fn labels_of_every_type_that_burn_has() {
    let device = device();
    let (rows, classes) = (13, 4);
    let data = numbers(rows * classes, 7);
    let targets = labels(rows, classes, 8);
    let (shape, of_labels) = ([rows, classes], [rows]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&targets, &of_labels);
    let truth = truth(&CrossEntropy::new(), &inputs);
    let ours = CrossEntropyLossConfig::new().init(&device);
    let mut tried = 0;
    for dtype in [IntDType::I32, IntDType::I64, IntDType::U32, IntDType::I8, IntDType::U8] {
        if !device.supports_dtype(dtype) {
            continue;
        }
        let labels = ints(&targets, [rows], &device).cast(dtype);
        let loss = ours.forward(tensor(&data, [rows, classes], &device), labels);
        close(&format!("{dtype:?}"), &host(loss), &truth.loss, LOSS, 0.0);
        tried += 1;
    }
    assert!(tried > 0);
}

#[test]
fn half_precision() {
    let device = device();
    // Every device of Burn's has f32; f16 is a feature of the adapter.
    if !device.supports_dtype(FloatDType::F16) {
        assert!(
            !crate::support::opened()
                .1
                .adapter
                .features()
                .contains(wgpu_loss::wgpu::Features::SHADER_F16)
        );
        return;
    }
    let device = device.autodiff();
    let (rows, classes) = (15, 6);
    // Eighths between -4 and 4 are f16 numbers.
    let data: Vec<f32> =
        numbers(rows * classes, 9).iter().map(|x| (x * 8.0).round() / 8.0).collect();
    let targets = labels(rows, classes, 10);
    let labels = ints(&targets, [rows], &device);
    let (shape, of_labels) = ([rows, classes], [rows]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&targets, &of_labels);
    let truth = truth(&CrossEntropy::new(), &inputs);
    let ours = CrossEntropyLossConfig::new().init(&device);
    let input = tensor(&data, [rows, classes], &device).cast(FloatDType::F16);
    let (loss, grad) = differentiated(input, None, |x| {
        let loss = ours.forward(x, labels.clone());
        assert_eq!(loss.dtype(), burn::tensor::DType::F16);
        loss
    });
    close("the loss", &loss, &truth.loss, 1e-3, 0.0);
    close("the gradient", &grad, &truth.grad, 1e-3, 1e-6);
}

/// Operations whose own backward pass needs their results, with and without keeping them: the gradient must not
/// overwrite these.
#[test]
fn outputs_that_are_needed_again() {
    let (rows, classes) = (21, 6);
    let data = numbers(rows * classes, 11);
    let targets = labels(rows, classes, 12);
    let squashed: Vec<f32> = data.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    let (shape, of_labels) = ([rows, classes], [rows]);
    let inputs = Inputs::new(View::new(&squashed, &shape)).labels(&targets, &of_labels);
    let truth = truth(&CrossEntropy::new(), &inputs);
    let chained: Vec<f64> = truth
        .grad
        .iter()
        .zip(&squashed)
        .map(|(grad, &y)| grad * f64::from(y) * (1.0 - f64::from(y)))
        .collect();
    for device in [device().autodiff(), device().autodiff().gradient_checkpointing()] {
        let ours = CrossEntropyLossConfig::new().init(&device);
        let labels = ints(&targets, [rows], &device);
        let input = tensor(&data, [rows, classes], &device);
        let (loss, grad) =
            differentiated(input, None, |x| ours.forward(activation::sigmoid(x), labels.clone()));
        close("the loss", &loss, &truth.loss, LOSS, 0.0);
        close("the gradient", &grad, &chained, 1e-4, 1e-8);
    }
}
