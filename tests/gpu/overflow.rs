//! Sums beyond what an f32 reaches, whose means are f32 numbers.

use support::close::{Tolerance, assert_close};
use support::data::Data;
use support::embedded::{Embedded, Place};
use support::gpus::in_turn;
use support::points::{HUGE, Kind, Points};
use wgpu_loss::{CrossEntropy, LabelType, Loss, Nll, Outputs, Reduction};

const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::BatchMean, Reduction::Sum];

/// A loss of `HUGE` in three rows of four, as kernels for all layouts have them.
fn tensors() -> Vec<Data> {
    let shapes: [(&[usize], isize); 7] = [
        (&[4001, 3], 1),
        (&[803, 17], 1),
        (&[400, 64], 1),
        (&[57, 2503], 1),
        (&[40, 4096], 1),
        (&[3, 5, 331], 1),
        (&[2, 21, 8, 16], 1),
    ];
    let rows_of = |(shape, axis): (&[usize], isize)| {
        let mut data = Data::random(shape, axis);
        let view = data.view;
        let labels: Vec<i64> = (0..view.rows() as i64).map(|row| row % 3).collect();
        for row in (0..view.rows()).filter(|row| row % 4 != 1) {
            let label = view.row_start(row) + labels[row] as usize * view.inner;
            data.input[label] = -HUGE;
        }
        data.labels(LabelType::I64, &labels)
    };
    shapes.into_iter().map(rows_of).collect()
}

/// Asserts that a number is the truth, or the f32 nearest to it.
#[track_caller]
fn close(what: &str, got: f64, wanted: f64) {
    assert_close(what, &[got], &[wanted], Tolerance::relative(2e-6));
}

fn as_f32(x: f64) -> f64 {
    f64::from(x as f32)
}

/// On the devices in turn, as a whole, in pieces and recorded.
#[track_caller]
fn check(what: &str, loss: &dyn Loss, data: &Data, outputs: Outputs) {
    let truth = data.truth(loss, outputs);
    let what = format!("{what} of {:?}", data.shape());
    for gpu in in_turn() {
        for (name, gpu) in
            [("whole", gpu.with_piece_bytes(1 << 27)), ("in pieces", gpu.with_piece_bytes(1 << 14))]
        {
            let what = format!("{what}, {name} on {}", gpu.info().name);
            let got = data.on(&gpu, loss, outputs);
            close(&what, got.loss[0].into(), as_f32(truth.loss[0]));
            close(&format!("weight, {what}"), got.summary.weight, truth.summary.weight);
            for (&got, &wanted) in got.z_loss.iter().zip(&truth.z_loss) {
                close(&format!("z-loss, {what}"), got.into(), as_f32(wanted));
            }
        }
        let what = format!("{what}, recorded on {}", gpu.name);
        let plan = data.plan(loss, outputs, gpu.kernels().profile());
        let embedded = Embedded::new(gpu, data, plan, Place::default());
        embedded.run();
        let got = embedded.decoded();
        close(&what, got.loss.into(), as_f32(truth.loss[0]));
        close(&format!("weight, {what}"), got.summary.weight, truth.summary.weight);
        if let [z_loss] = truth.z_loss[..] {
            close(&format!("z-loss, {what}"), got.z_loss.into(), as_f32(z_loss));
        }
    }
}

#[test]
fn losses_over_classes() {
    for data in tensors() {
        for reduction in REDUCTIONS {
            for outputs in [Outputs::loss(), Outputs::loss().with_grad()] {
                let loss = CrossEntropy::new().reduction(reduction);
                check("cross-entropy", &loss, &data, outputs);
                check("nll", &Nll::new().reduction(reduction), &data, outputs);
            }
        }
    }
}

/// Class probabilities bring terms of their own.
/// Every class far below the maximum has its share of a smoothed loss. The shares add up to an f32, the distances do not.
#[test]
fn smoothed_losses_over_classes() {
    let loss = CrossEntropy::new().label_smoothing(0.1).reduction(Reduction::Sum);
    for mut data in tensors() {
        let view = data.view;
        data.input.iter_mut().for_each(|x| *x = x.clamp(-4.0, 4.0));
        data.input[view.row_start(view.rows() / 2) + view.inner] = HUGE;
        check("smoothed", &loss, &data, Outputs::loss().with_grad());
    }
}

#[test]
fn losses_against_probabilities() {
    for data in tensors() {
        let probabilities = (0..data.view.elements()).map(|element| {
            let (row, class) = data.view.row_and_class(element);
            f32::from(u8::from(data.label(row) == Some(class as i128)))
        });
        let data = data.clone().probabilities(probabilities.collect());
        check("probabilities", &CrossEntropy::new(), &data, Outputs::loss().with_grad());
    }
}

/// The sum of the weights exceeds an f32, and with it the sum of weighted losses. Rows of the other sign subtract half
/// of it again.
#[test]
fn weights() {
    for mut data in tensors() {
        data.input.iter_mut().for_each(|x| *x = x.max(-3.0));
        let weight: Vec<f32> = (0..data.view.classes).map(|c| [2e37, 0.5, 1e37][c % 3]).collect();
        let weighed = data.clone().weight(&weight);
        let rows = (0..data.view.rows()).map(|row| [2e37, -5e36, 1e37][row % 3]).collect();
        let by_row = data.row_weights(rows);
        for reduction in REDUCTIONS {
            let loss = CrossEntropy::new().reduction(reduction);
            check("class weights", &loss, &weighed, Outputs::loss());
            check("row weights", &loss, &by_row, Outputs::loss());
            check("row weights", &Nll::new().reduction(reduction), &by_row, Outputs::loss());
        }
    }
    // The weights alone are beyond it: the rows are sure of their labels.
    for shape in [[4001, 3], [57, 2503]] {
        let mut data = Data::random(&shape, 1).labels(LabelType::U8, &vec![1; shape[0]]);
        data.input =
            (0..shape[0] * shape[1]).map(|i| if i % shape[1] == 1 { 30.0 } else { 0.0 }).collect();
        let data = data.row_weights(vec![1e37; shape[0]]);
        check("row weights of sure rows", &CrossEntropy::new(), &data, Outputs::loss());
    }
}

#[test]
fn z_losses() {
    for mut data in tensors() {
        // log-sum-exp = 1.5e19 of most rows: its square is 2.25e38.
        for element in 0..data.view.elements() {
            let (row, class) = data.view.row_and_class(element);
            let large = class == 1 && row % 5 != 0;
            data.input[element] = if large { 1.5e19 } else { data.input[element].max(-3.0) };
        }
        for reduction in REDUCTIONS {
            let loss = CrossEntropy::new().z_loss(1.0).reduction(reduction);
            check("z-loss", &loss, &data, Outputs::loss());
        }
    }
}

#[test]
fn losses_of_single_elements() {
    for kind in Kind::ALL {
        let points = Points::with_huge_losses(kind, &[4099]);
        for reduction in REDUCTIONS {
            let truth = points.truth(reduction, kind.outputs());
            for gpu in in_turn() {
                for bytes in [1 << 27, 1 << 12] {
                    let what = format!("{kind:?}, {reduction:?}, pieces of {bytes}, {}", gpu.name);
                    let gpu = gpu.with_piece_bytes(bytes);
                    let got = points.on(&gpu, reduction, kind.outputs());
                    assert!(truth.loss[0] > 1e38, "{what}: {}", truth.loss[0]);
                    // The last 7 bits of an exp at 88 may be wrong.
                    let tolerance = Tolerance::relative(3e-5);
                    assert_close(&what, &[got.loss[0].into()], &[as_f32(truth.loss[0])], tolerance);
                }
            }
        }
    }
}
