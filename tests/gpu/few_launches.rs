//! Few rows, for which one group does what several kernels do for many: it finds the divisor, or all groups do, and it
//! leaves the result itself.

use std::collections::BTreeSet;

use support::answer::Answer;
use support::bound_points::{Place, plan_of};
use support::data::Data;
use support::floats::OwnedFloats;
use support::gpus::TestGpu;
use support::points::{Kind, Points, Types};
use support::rounding::Rounding;
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::kernels::{Kernel, Outcome, Spec};
use wgpu_loss::plan::{Lanes, Tuning};
use wgpu_loss::{
    CrossEntropy, ElementType, Error, GpuOptions, Loss, Nll, Outputs, Plan, Reduction,
};

/// Lanes of a group. Each group finds the divisor of up to 64 rows itself.
const WORKGROUP: u32 = 16;
/// Lanes of a group that works alone, and finds the divisor of up to 512 rows.
const LONE_LANES: u32 = 32;
/// Around each of these numbers, and the last group with one row.
const ROWS: [usize; 12] = [1, 2, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1025];

/// Groups of few lanes, so that few rows have many of them.
fn card() -> TestGpu {
    let mut tuning = Tuning::DISCRETE;
    (tuning.workgroup, tuning.lanes) = (WORKGROUP, Lanes::Keeping { fewest: 2, most: 8 });
    (tuning.resident_row, tuning.resident_lanes, tuning.lone_lanes) = (32, 16, LONE_LANES);
    tuning.fill = 1;
    TestGpu::open("small groups", GpuOptions::new().tuning(TuningChoice::Given(tuning)))
}

/// Returns how the divisor and the result come about.
fn ways(plan: &Plan) -> Vec<&'static str> {
    let of_spec = |spec: Spec| match (spec.kernel, spec.outcome) {
        _ if spec.own_divisor => Some("divisor by every group"),
        (Kernel::SumRowWeights, Outcome::Divisor) => Some("divisor by one group"),
        (Kernel::ReducePartials, Outcome::Divisor) => Some("divisor from partials"),
        (Kernel::ReducePartials, Outcome::Result) => Some("result from partials"),
        (_, Outcome::Result) => Some("result by the only group"),
        _ => None,
    };
    plan.specs().filter_map(of_spec).collect()
}

/// Rows of which every fifth is ignored, whose classes have weights, and which may have weights of their own.
fn data(shape: &[usize], row_weights: bool) -> Data {
    let data = Data::random(shape, 1);
    let ignored: Vec<usize> = (0..data.view.rows()).skip(1).step_by(5).collect();
    let data = data.labelled(&ignored, -100).random_weight();
    if row_weights { data.random_row_weights() } else { data }
}

#[test]
fn losses_and_gradients_are_right_whoever_finds_the_divisor() {
    let gpu = card();
    let mut seen = BTreeSet::new();
    let losses: [&dyn Loss; 3] =
        [&CrossEntropy::new(), &Nll::new(), &CrossEntropy::new().label_smoothing(0.1)];
    for (number, rows) in ROWS.into_iter().enumerate() {
        // Rows that lanes share, short ones, and neighbours in memory, four to a lane or one.
        for shape in [&[rows, 40][..], &[rows, 5], &[rows, 3, 4], &[1, 7, rows]] {
            let data = data(shape, number % 2 == 0);
            for (loss, outputs) in losses
                .into_iter()
                .flat_map(|loss| [Outputs::loss(), Outputs::loss().with_grad()].map(|o| (loss, o)))
            {
                let plan = data.plan(loss, outputs, gpu.kernels().profile());
                seen.extend(ways(&plan));
                let what = format!("{shape:?} {outputs:?}\n{plan}");
                let wanted = Answer::from(&data.truth(loss, outputs));
                let got = Answer::from(&data.on(&gpu, loss, outputs));
                Rounding::new(loss, &data, outputs).check(&what, &got, &wanted);
            }
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

/// A mean over nothing, in each of these ways.
#[test]
fn nothing_but_ignored_rows_has_no_gradient() {
    let gpu = card();
    for rows in [1, 64, 512, 1025] {
        let all: Vec<usize> = (0..rows).collect();
        let data = Data::random(&[rows, 40], 1).labelled(&all, -100);
        let output = data.on(&gpu, &CrossEntropy::new(), Outputs::loss().with_grad());
        assert!(output.loss[0].is_nan(), "{rows}: {:?}", output.loss);
        assert!(output.grad.is_some_and(|grad| grad.iter().all(|&g| g == 0.0)), "{rows}");
    }
}

#[test]
fn a_lone_group_names_the_first_bad_label() {
    let gpu = card();
    let mut alone = 0;
    for rows in ROWS.into_iter().filter(|&rows| rows > 10) {
        for shape in [&[rows, 40][..], &[rows, 5]] {
            let data = Data::random(shape, 1).labelled(&[9, rows - 1], 77).labelled(&[3], -100);
            for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
                for outputs in [Outputs::loss(), Outputs::loss().with_grad()] {
                    let plan = data.plan(loss, outputs, gpu.kernels().profile());
                    alone += usize::from(ways(&plan).contains(&"result by the only group"));
                    let wanted = Error::BadTargets {
                        count: 2,
                        rows: rows as u64,
                        first: 9,
                        value: 77,
                        classes: shape[1],
                        ignore_index: -100,
                    };
                    let error = gpu.run(loss, &data.inputs(), outputs).unwrap_err();
                    assert_eq!(error, wanted, "{shape:?}: {plan}");
                }
            }
        }
    }
    assert!(alone > 0, "no group works alone");
}

/// Single elements: their losses, and a value that the loss is not defined for.
#[test]
fn a_lone_group_of_elements_leaves_the_result() {
    let gpu = card();
    let mut alone = 0;
    for elements in [1, 7, 64, 72, 100, 3000] {
        let shape = [elements];
        let points = Points::random(Kind::Bce, &shape, Types::F32);
        for outputs in [Outputs::loss(), Outputs::loss().with_grad()] {
            let plan = plan_of(&gpu, &points, Reduction::Mean, outputs, Place::default());
            alone += usize::from(ways(&plan).contains(&"result by the only group"));
            let wanted = points.truth(Reduction::Mean, outputs);
            let got = points.on(&gpu, Reduction::Mean, outputs);
            points.check(&format!("{plan}"), Reduction::Mean, outputs, &got, &wanted);
            let mut refused = points.clone();
            let mut input = refused.input.data.wide();
            input[elements / 2] = 1.5;
            refused.input.data = OwnedFloats::new(ElementType::F32, &input);
            let error = gpu.run(&*refused.loss(Reduction::Mean), &refused.inputs(), outputs);
            let named = |error: &Error| {
                let Error::BadValues { count, first, value, .. } = error else { return false };
                (*count, *first, *value) == (1, elements as u64 / 2, 1.5)
            };
            assert!(error.as_ref().is_err_and(named), "{elements}: {error:?}\n{plan}");
        }
    }
    assert!(alone > 0, "no group works alone");
}
