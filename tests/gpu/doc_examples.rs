//! The numbers of this project's reference texts, on the GPU and on the reference.

use support::answer::{Answer, widened};
use support::close::{Tolerance, assert_close};
use support::data::Data;
use support::gpus::gpus;
use support::rounding::Rounding;
use wgpu_loss::{CrossEntropy, Loss, Nll, Outputs, Reduction};

/// Half a unit of the last of four decimals.
const FOUR_DECIMALS: Tolerance = Tolerance::absolute(5e-5);

/// Three rows that favour no class, and three that favour one.
const SIX: [[f32; 3]; 6] = [
    [0.3333, 0.3333, 0.3333],
    [0.3333, 0.3333, 0.3333],
    [0.3333, 0.3333, 0.3333],
    [0.4333, 0.2333, 0.3333],
    [0.3333, 0.2333, 0.4333],
    [0.1333, 0.3333, 0.5333],
];
const SIX_LABELS: [i64; 6] = [0, 1, 1, 0, 1, 2];

/// Checks the loss on the reference and on every device.
#[track_caller]
fn check(loss: &dyn Loss, data: &Data, wanted: &[f64], tolerance: Tolerance) {
    let truth = data.truth(loss, Outputs::loss());
    assert_close("reference", &truth.loss, wanted, tolerance);
    for gpu in gpus() {
        let output = data.on(gpu, loss, Outputs::loss());
        assert_close(&gpu.name, &widened(&output.loss), wanted, tolerance);
    }
}

/// Checks loss and gradient of every device against the reference; returns the reference's.
#[track_caller]
fn check_grad(loss: &dyn Loss, data: &Data) -> Answer {
    let outputs = Outputs::loss().with_grad();
    let truth = Answer::from(&data.truth(loss, outputs));
    let rounding = Rounding::new(loss, data, outputs);
    for gpu in gpus() {
        let output = data.on(gpu, loss, outputs);
        rounding.check(&gpu.name, &Answer::from(&output), &truth);
    }
    truth
}

#[test]
fn four_rows() {
    let logits = [
        [3.5, -3.45, 0.23, 1.25],
        [-2.14, 0.54, 2.67, -5.23],
        [-1.34, 5.01, -1.54, -1.17],
        [-2.98, -1.37, 1.54, 5.23],
    ];
    let data = Data::rows(&logits, &[0, 2, 1, 3]);
    let loss = CrossEntropy::new().reduction(Reduction::None);
    // Half a unit of the eighth decimal, and the error that WGSL's exp may have: 3 + 2 * 7 units in the last place.
    let tolerance = Tolerance { relative: 3e-6, absolute: 5e-9 };
    check(&loss, &data, &[0.13484927, 0.11987498, 0.00523357, 0.02625655], tolerance);
    check_grad(&loss, &data);
}

#[test]
fn six_rows_with_labels() {
    let data = Data::rows(&SIX, &SIX_LABELS);
    check(&CrossEntropy::new(), &data, &[1.0686], FOUR_DECIMALS);
    check_grad(&CrossEntropy::new(), &data);
}

#[test]
fn six_rows_with_one_hot_probabilities() {
    let mut one_hot = vec![0.0; 18];
    for (row, label) in SIX_LABELS.into_iter().enumerate() {
        one_hot[row * 3 + label as usize] = 1.0;
    }
    let data = Data::rows(&SIX, &SIX_LABELS).probabilities(one_hot);
    check(&CrossEntropy::new(), &data, &[1.0686], FOUR_DECIMALS);
    let hard = check_grad(&CrossEntropy::new(), &Data::rows(&SIX, &SIX_LABELS));
    let soft = check_grad(&CrossEntropy::new(), &data);
    let (hard, soft) = (hard.grad.unwrap(), soft.grad.unwrap());
    assert_close("gradient", &soft, &hard, Tolerance::relative(1e-14));
}

#[test]
fn six_rows_with_probabilities() {
    let even = [0.3333, 0.6666, 0.0];
    let probabilities = [even, even, even, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let data = Data::rows(&SIX, &[0; 6]).probabilities(probabilities.as_flattened().to_vec());
    check(&CrossEntropy::new(), &data, &[1.0685], FOUR_DECIMALS);
    check_grad(&CrossEntropy::new(), &data);
}

#[test]
fn weighted_log_probabilities() {
    let log_probs = [[-0.2, -1.5, -2.0], [-1.0, -0.1, -1.3]];
    let data = Data::rows(&log_probs, &[0, 1]).weight(&[1.0, 0.5, 2.0]);
    let wanted = (1.0 * 0.2 + 0.5 * 0.1) / 1.5;
    // A sum, and a quotient that is good to 2.5 units in the last place.
    check(&Nll::new(), &data, &[wanted], Tolerance::relative(4e-7));
    let grad = check_grad(&Nll::new(), &data).grad.unwrap();
    let wanted = [-1.0 / 1.5, 0.0, 0.0, 0.0, -0.5 / 1.5, 0.0];
    assert_close("gradient", &grad, &wanted, Tolerance::relative(1e-15));
}

#[test]
fn a_map_of_pixels() {
    let data = Data::random(&[5, 4, 8, 8], 1);
    let nll = Nll::new();
    let cross_entropy = CrossEntropy::new();
    check_grad(&cross_entropy, &data);
    // nll of a log-softmax is the cross-entropy. The log-probabilities are rounded to f32.
    let log_probs = data.truth(&cross_entropy, Outputs::loss().with_log_probs());
    let mut gathered = data.clone();
    gathered.input = log_probs.log_probs.unwrap().iter().map(|&y| y as f32).collect();
    check(&nll, &gathered, &log_probs.loss, Tolerance::relative(1e-6));
    check_grad(&nll, &gathered);
}

#[test]
fn a_batch_with_its_gradient() {
    let data = Data::random(&[3, 5], 1);
    let grad = check_grad(&CrossEntropy::new(), &data).grad.unwrap();
    // (softmax - onehot) / 3, by hand.
    let mut wanted = Vec::new();
    for row in 0..3 {
        let logits: Vec<f64> = widened(&data.input[row * 5..row * 5 + 5]);
        let sum: f64 = logits.iter().map(|x| x.exp()).sum();
        for (class, x) in logits.iter().enumerate() {
            let one_hot = f64::from(u8::from(data.label(row) == Some(class as i128)));
            wanted.push((x.exp() / sum - one_hot) / 3.0);
        }
    }
    assert_close("gradient", &grad, &wanted, Tolerance::absolute(1e-15));
    for gpu in gpus() {
        let output = data.on(gpu, &CrossEntropy::new(), Outputs::loss().with_grad());
        let got = widened(&output.grad.unwrap());
        // p, of which WGSL's exp and a quotient may take ten units in the last place, divided by 3.
        assert_close(&gpu.name, &got, &wanted, Tolerance::absolute(4e-7));
    }
}
