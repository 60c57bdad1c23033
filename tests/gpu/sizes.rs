//! The GPU compared with the reference over sizes: around every power of two that matters to a
//! layout of lanes or loads, and the class counts of real models.

use support::answer::Answer;
use support::data::Data;
use support::gpus::{gpus, in_turn};
use support::rounding::Rounding;
use wgpu_loss::{CrossEntropy, EmptyMean, Loss, Nll, Outputs, Reduction, Softmax};

/// Numbers of classes.
const CLASSES: [usize; 25] = [
    1, 2, 3, 4, 5, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 1023, 1024, 1025,
    4097, 50257, 151936,
];

/// Some of them, for what differs little from the rest: narrow and wide loads, one lane per row and
/// several, full and partial rounds of loads.
const SOME_CLASSES: [usize; 12] = [1, 2, 3, 4, 33, 64, 255, 1000, 1025, 4097, 4100, 50257];

fn unreduced() -> CrossEntropy {
    CrossEntropy::new().reduction(Reduction::None)
}

/// Runs a call on the devices in turn against the reference.
#[track_caller]
fn check(loss: &dyn Loss, data: &Data, outputs: Outputs) {
    let truth = data.truth(loss, outputs);
    let wanted = Answer::from(&truth);
    let rounding = Rounding::new(loss, data, outputs);
    for gpu in in_turn() {
        let what = format!("{:?} on {}", data.shape(), gpu.name);
        let output = data.on(gpu, loss, outputs);
        let used = rounding.check(&what, &Answer::from(&output), &wanted);
        assert_eq!(output.loss_shape, truth.loss_shape, "{what}");
        let (got, wanted) = (output.summary, truth.summary);
        assert_eq!((got.rows, got.live, got.bad), (wanted.rows, wanted.live, wanted.bad), "{what}");
        let weight = (got.weight - wanted.weight).abs();
        assert!(weight <= 1e-6 * wanted.weight, "{what}: weight {got:?}");
        println!("{what}: {used:.2} of the tolerance");
    }
}

/// Forward alone, forward with a gradient that waits for the mean's divisor, and unreduced with a
/// gradient that is scaled per row.
#[track_caller]
fn check_labels(data: &Data) {
    check(&CrossEntropy::new(), data, Outputs::loss());
    check(&CrossEntropy::new(), data, Outputs::loss().with_grad());
    check(&unreduced(), &data.clone().random_upstream(), Outputs::loss().with_grad());
}

#[test]
fn rows_of_every_width() {
    for classes in CLASSES {
        check_labels(&Data::random(&[7, classes], 1).holes());
    }
}

#[test]
fn columns_of_every_height() {
    for classes in CLASSES {
        check_labels(&Data::random(&[2, classes, 3], 1).holes());
    }
}

// llvmpipe ends a shader's loops after 65,535 turns in all, without an error.
#[test]
fn rows_of_millions_of_classes() {
    for shape in [&[1, 3_000_001][..], &[2, 1_000_000], &[1, 1_000_001, 2], &[1, 400_000, 4]] {
        let data = Data::random(shape, 1);
        check(&CrossEntropy::new(), &data, Outputs::loss());
        check(&unreduced(), &data, Outputs::loss().with_grad());
    }
}

#[test]
fn one_row_and_two() {
    for rows in [1, 2] {
        for classes in [1, 2, 33, 1000, 50257] {
            check_labels(&Data::random(&[rows, classes], 1).holes());
        }
    }
    check_labels(&Data::random(&[1000], 0).holes());
}

#[test]
fn rows_around_the_limit_of_a_dispatch() {
    for rows in [65535, 65536, 65537] {
        check_labels(&Data::random(&[rows, 3], 1));
        check_labels(&Data::random(&[rows, 4], 1));
        check_labels(&Data::random(&[rows, 2, 3], 1));
        check_labels(&Data::random(&[1, 3, rows], 1));
    }
}

#[test]
fn a_million_rows() {
    check(&CrossEntropy::new(), &Data::random(&[1_000_000, 2], 1), Outputs::loss().with_grad());
    check(&unreduced(), &Data::random(&[1, 2, 1_000_000], 1), Outputs::loss().with_grad());
    check(&Nll::new(), &Data::random(&[1_000_000, 2], 1), Outputs::loss().with_grad());
}

#[test]
fn maps_of_pixels() {
    check_labels(&Data::random(&[64, 1000, 7, 7], 1).holes());
    check_labels(&Data::random(&[2, 21, 33, 17], 1).holes().random_weight());
    let last = CrossEntropy::new().class_axis(-1);
    let data = Data::random(&[2, 33, 17, 21], -1).holes().random_weight();
    check(&last, &data, Outputs::loss().with_grad());
}

#[test]
fn no_rows() {
    for shape in [&[0, 3][..], &[0, 4], &[0, 3, 5], &[4, 3, 0], &[0, 3, 0]] {
        let data = Data::random(shape, 1);
        check_labels(&data);
        check(&Nll::new(), &data, Outputs::loss().with_grad());
        check(&unreduced(), &data, Outputs::loss().with_grad().with_log_probs());
        let zero = CrossEntropy::new().empty_mean(EmptyMean::Zero);
        check(&zero, &data, Outputs::loss());
        let data = data.random_probabilities();
        check(&CrossEntropy::new(), &data, Outputs::loss().with_grad());
        for gpu in gpus() {
            let output = data.on(gpu, &unreduced(), Outputs::loss().with_grad());
            assert!(output.loss.is_empty() && output.grad == Some(vec![]), "{}", gpu.name);
        }
    }
}

#[test]
fn smoothing_and_weights_of_many_widths() {
    let loss = CrossEntropy::new().label_smoothing(0.1);
    for classes in SOME_CLASSES {
        for shape in [&[5, classes][..], &[2, classes, 2]] {
            let data = Data::random(shape, 1).random_weight();
            check(&loss, &data, Outputs::loss().with_grad());
        }
    }
}

#[test]
fn probabilities_of_many_widths() {
    for classes in SOME_CLASSES {
        for shape in [&[5, classes][..], &[2, classes, 2]] {
            let data = Data::random(shape, 1).holes().random_probabilities().random_upstream();
            check(&unreduced(), &data, Outputs::loss().with_grad());
        }
    }
}

#[test]
fn nll_of_many_widths() {
    for classes in SOME_CLASSES {
        for shape in [&[7, classes][..], &[2, classes, 3]] {
            let data = Data::random(shape, 1).random_weight();
            check(&Nll::new(), &data, Outputs::loss().with_grad());
        }
    }
}

#[test]
fn softmax_of_many_widths() {
    for classes in SOME_CLASSES {
        for shape in [&[7, classes][..], &[2, classes, 3]] {
            let data = Data::random(shape, 1).holes();
            let separate = Outputs::loss().with_log_probs();
            check(&CrossEntropy::new(), &data, separate);
            let data = Data::new(shape, 1, data.input);
            check(&Softmax::probs().axis(1), &data, Outputs::loss());
            check(&Softmax::log_probs().axis(1), &data, Outputs::loss());
        }
    }
}
