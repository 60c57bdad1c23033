//! Losses of single elements on every device, against the f64 reference.

mod support;

use support::gpus::gpus;
use support::points::{Kind, Points, Types};
use wgpu_loss::Reduction;

const REDUCTIONS: [Reduction; 4] =
    [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean];

#[track_caller]
fn check(what: &str, points: &Points, reduction: Reduction, turn: usize) {
    let gpu = &gpus()[turn % gpus().len()];
    let outputs = points.kind.outputs();
    let what = format!(
        "{what}, {:?}, {reduction:?}, {:?} on {}",
        points.kind, points.input.shape, gpu.name
    );
    let got = points.on(gpu, reduction, outputs);
    let truth = points.truth(reduction, outputs);
    points.check(&what, reduction, outputs, &got, &truth);
    assert_eq!(got.loss_shape, truth.loss_shape, "{what}");
    assert_eq!(got.summary, truth.summary, "{what}");
}

#[test]
fn every_formula_at_every_reduction() {
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        for (turn, reduction) in REDUCTIONS.into_iter().enumerate() {
            let points = Points::random(kind, &[37, 29], Types::F32);
            let points = if turn % 2 == 0 { points.with_upstream(reduction) } else { points };
            check("same shape", &points, reduction, number + turn);
        }
    }
}
