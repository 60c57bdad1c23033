//! Losses of single elements on every device, against the f64 reference.

use support::fixtures_pointwise::load;
use support::gpus::{TestGpu, gpus};
use support::points::{Kind, Points, Types};
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::plan::Tuning;
use wgpu_loss::{
    BceWithLogits, ElementType, EmptyMean, Error, GpuOptions, Outputs, Plan, Reduction,
};

const REDUCTIONS: [Reduction; 4] =
    [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean];

#[track_caller]
fn check(what: &str, points: &Points, reduction: Reduction, turn: usize) {
    check_outputs(what, points, reduction, points.kind.outputs(), turn);
}

#[track_caller]
fn check_outputs(what: &str, points: &Points, reduction: Reduction, outputs: Outputs, turn: usize) {
    let gpu = &gpus()[turn % gpus().len()];
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

/// Broadcast operands: weight, positive weight, and shapes of target and variance where the loss takes
/// others than the input's.
type Shapes = (&'static [usize], &'static [usize], &'static [usize], &'static [usize]);

#[test]
fn operands_broadcast() {
    let cases: [(&[usize], &[Shapes]); 5] = [
        (
            &[40, 24],
            &[
                (&[24], &[], &[24], &[40]),
                (&[40, 1], &[24], &[40, 1], &[40, 1]),
                (&[1], &[40, 1], &[], &[1, 24]),
                (&[40, 24], &[1, 24], &[1, 1], &[1, 1]),
            ],
        ),
        (&[13, 7], &[(&[7], &[13, 1], &[13, 1], &[13]), (&[13, 1], &[7], &[7], &[1, 7])]),
        (
            &[3, 5, 4, 6],
            &[
                (&[5, 1, 1], &[3, 1, 1, 1], &[5, 1, 1], &[3, 1, 4, 6]),
                (&[3, 1, 4, 6], &[5, 1, 1], &[3, 1, 4, 6], &[3, 5, 4]),
                (&[1, 4, 6], &[3, 5, 1, 1], &[6], &[1, 5, 4, 6]),
                (&[5, 4, 6], &[1, 6], &[3, 1, 1, 1], &[3, 5, 1, 6]),
            ],
        ),
        (
            &[2, 3, 16],
            &[
                (&[3, 1], &[2, 1, 16], &[3, 1], &[2, 3]),
                (&[3, 16], &[3, 1], &[2, 3, 1], &[2, 1, 16]),
            ],
        ),
        (&[100], &[(&[1], &[100], &[1], &[1]), (&[], &[1], &[], &[])]),
    ];
    let mut turn = 0;
    for (shape, operands) in cases {
        for &(weight, pos_weight, target, var) in operands {
            for kind in [
                Kind::Bce,
                Kind::Logits,
                Kind::Kl { log_target: false },
                Kind::Gaussian { full: true },
                Kind::Poisson { log_input: false, full: true },
            ] {
                let mut points = Points::random(kind, shape, Types::F32);
                let mut outputs = kind.outputs();
                match kind {
                    Kind::Bce | Kind::Logits => {
                        points = points.weights(weight, pos_weight, ElementType::F32);
                    }
                    Kind::Gaussian { .. } => points = points.var_in(var),
                    _ => points = points.target_in(target),
                }
                // The target's gradient is there for targets of the input's shape.
                outputs.target_grad &= points.target.shape == shape;
                let reduction = REDUCTIONS[turn % 4];
                let points = points.with_upstream(reduction);
                check_outputs("broadcast", &points, reduction, outputs, turn / 4);
                turn += 1;
            }
        }
    }
}

#[test]
fn every_element_type() {
    use ElementType::{BF16, F16, F32};
    for (turn, (input, target, others)) in
        [(F16, F16, F16), (BF16, BF16, BF16), (F32, F16, BF16), (F16, F32, F32), (BF16, F32, F16)]
            .into_iter()
            .enumerate()
    {
        for kind in
            [Kind::Bce, Kind::Logits, Kind::Kl { log_target: true }, Kind::Gaussian { full: false }]
        {
            let types = Types { input, target, others };
            let mut points = Points::random(kind, &[21, 23], types);
            if matches!(kind, Kind::Bce | Kind::Logits) {
                points = points.weights(&[23], &[21, 1], others);
            } else if kind == (Kind::Gaussian { full: false }) && turn % 2 == 0 {
                points = points.var_in(&[21]);
            }
            let mut outputs = kind.outputs();
            outputs.in_f32 = turn == 3;
            check_outputs("types", &points, REDUCTIONS[turn % 4], outputs, turn);
        }
    }
}

#[test]
fn sizes_around_loads_and_none_at_all() {
    let kind = Kind::Gaussian { full: false };
    for count in [0, 1, 7, 8, 63, 64, 65, 71, 255, 1000, 4097, 100_003] {
        for (turn, reduction) in REDUCTIONS.into_iter().enumerate() {
            let points = Points::random(kind, &[count], Types::F32);
            check("sizes", &points, reduction, turn + count);
        }
    }
    let nothing = Points::random(Kind::Logits, &[4, 0], Types::F32);
    for gpu in gpus() {
        let output = nothing.on(gpu, Reduction::Mean, Outputs::loss().with_grad());
        assert!(output.loss[0].is_nan() && output.grad == Some(vec![]));
        let loss = BceWithLogits::new().empty_mean(EmptyMean::Zero);
        let output = gpu.run(&loss, &nothing.inputs(), Outputs::loss()).unwrap();
        assert_eq!(output.loss, [0.0]);
    }
    // Variances without an element have a gradient of nothing.
    let empty = Points::random(kind, &[4, 0], Types::F32).var_in(&[4]);
    check_outputs("empty rows", &empty, Reduction::Sum, kind.outputs(), 0);
}

/// Few variances of many elements have more parts than one lane adds: a group of lanes adds them, as on a graphics
/// card.
#[test]
fn few_variances_of_many_elements() {
    let options = GpuOptions::new().tuning(TuningChoice::Given(Tuning::DISCRETE));
    let card = TestGpu::open("as for a graphics card", options);
    let kind = Kind::Gaussian { full: false };
    let cases: [(&[usize], &[usize]); 3] =
        [(&[20_011], &[1]), (&[3, 3001], &[3]), (&[7001, 3], &[1, 3])];
    for (shape, var) in cases {
        let points = Points::random(kind, shape, Types::F32).var_in(var);
        for reduction in [Reduction::None, Reduction::Mean] {
            let points = points.clone().with_upstream(reduction);
            let (got, truth) = (
                points.on(&card, reduction, kind.outputs()),
                points.truth(reduction, kind.outputs()),
            );
            let what = format!("{shape:?}, {reduction:?} on {}", card.name);
            points.check(&what, reduction, kind.outputs(), &got, &truth);
        }
    }
}

/// Two operands that alternate along four axes: a plan of a host's own refuses them, calls on host data
/// write one out.
#[test]
fn operands_that_divide_more_than_three_groups() {
    let points = Points::random(Kind::Logits, &[4, 3, 5, 2], Types::F32);
    let points = points.weights(&[4, 1, 5, 1], &[3, 1, 2], ElementType::F16);
    check("groups", &points, Reduction::Mean, 0);
    let loss = points.kind.loss(Reduction::Mean);
    let profile = gpus()[0].kernels().profile();
    let plan = Plan::new(&*loss, &points.inputs().shapes(), Outputs::loss(), profile);
    assert!(matches!(plan, Err(Error::Groups { groups: 4 })), "{plan:?}");
    gpus()[1].bind(&*loss, &points.inputs(), Outputs::loss()).unwrap();
}

#[test]
fn pytorchs_losses_and_gradients() {
    for (turn, case) in load().iter().enumerate() {
        let points = Points::from(case);
        let truth = &case.truth;
        let mut outputs = Outputs::loss().with_grad();
        outputs.target_grad = truth.target_grad.is_some();
        outputs.var_grad = truth.var_grad.is_some();
        let gpu = &gpus()[turn % gpus().len()];
        let what = format!("{} on {}", case.name, gpu.name);
        let got = points.on(gpu, case.reduction, outputs);
        let mut wanted = points.truth(case.reduction, outputs);
        wanted.loss.clone_from(&truth.loss);
        wanted.grad = Some(truth.grad.clone());
        wanted.target_grad.clone_from(&truth.target_grad);
        wanted.var_grad.clone_from(&truth.var_grad);
        points.check(&what, case.reduction, outputs, &got, &wanted);
    }
}
