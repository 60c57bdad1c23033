//! The kernels as other compilers may translate them: every result is within its bounds, whatever WGSL allows. The
//! installed drivers do none of it, so the texts are rewritten (`support/hostile`).

use std::sync::OnceLock;

use support::answer::Answer;
use support::data::{Data, Target, Types};
use support::embedded::{Embedded, Place};
use support::gpus::TestGpu;
use support::hostile::{COMPILERS, EDITS};
use support::points::{Kind, Points};
use support::rounding::Rounding;
use support::{fixtures, fixtures_extras, fixtures_pointwise, fixtures_softmax};
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::plan::{Lanes, Tuning};
use wgpu_loss::{
    CrossEntropy, ElementType, Entropy, Gpu, GpuOptions, LabelType, Loss, Nll, Outputs, Reduction,
    Softmax,
};

/// A device whose kernels go through a hostile compiler.
struct Hostile {
    name: String,
    gpu: Gpu,
}

/// Devices that are laid out as GPUs are. Lanes keep few values: compiling the texts takes the time, and each layout
/// has the same lines however often they are repeated.
fn devices() -> &'static [TestGpu; 3] {
    static DEVICES: OnceLock<[TestGpu; 3]> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let mut tuning = Tuning::DISCRETE;
        (tuning.workgroup, tuning.lanes) = (32, Lanes::Keeping { fewest: 2, most: 32 });
        (tuning.resident_row, tuning.resident_columns, tuning.resident_short) = (16, 24, 12);
        let all = GpuOptions::new().tuning(TuningChoice::Given(tuning));
        let flat = all.clone().without_subgroups();
        let portable = flat.clone().default_limits().without_probe();
        [("all", all), ("no subgroups", flat), ("default limits", portable)]
            .map(|(what, options)| TestGpu::open(what, options))
    })
}

/// Compiler `number` on device `device`. All tests share what it has compiled.
fn compiled(number: usize, device: usize) -> &'static Hostile {
    static COMPILED: [[OnceLock<Hostile>; 3]; COMPILERS.len()] =
        [const { [const { OnceLock::new() }; 3] }; COMPILERS.len()];
    COMPILED[number][device % 3].get_or_init(|| {
        let gpu = &devices()[device % 3];
        let name = format!("{} by {}", gpu.name, COMPILERS[number].name);
        Hostile { name, gpu: gpu.edited(EDITS[number]) }
    })
}

/// Every compiler on one device, another one for each turn.
fn in_turns(turn: usize) -> impl Iterator<Item = &'static Hostile> {
    (0..COMPILERS.len()).map(move |number| compiled(number, turn + number))
}

/// Returns the bounds if every `exp` has the largest allowed error, in one direction. Some twenty of them carry a sum
/// from one maximum to the next (components, loads, lanes, groups), by 3 units each, where 8 units are granted
/// elsewhere.
fn rounding<'a>(loss: &dyn Loss, data: &'a Data, outputs: Outputs) -> Rounding<'a> {
    Rounding::new(loss, data, outputs).of_results(8.0)
}

/// A call on host data, compared with the reference.
#[track_caller]
fn check(what: &str, hostile: &Hostile, loss: &dyn Loss, data: &Data, outputs: Outputs) {
    let what = format!("{what} on {}", hostile.name);
    let output = hostile.gpu.run(loss, &data.inputs(), outputs);
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    let truth = data.truth(loss, outputs);
    let rounding = rounding(loss, data, outputs);
    let (got, wanted) = (Answer::from(&output), Answer::from(&truth));
    rounding.check(&what, &got, &wanted);
    let (got, wanted) = ((&output).into(), (&truth).into());
    rounding.check_extras(&what, &got, &wanted);
}

/// Rows whose label is ahead of all others by `ahead`, far from 0.
fn confident(shape: &[usize], ahead: f32) -> Data {
    let mut data = Data::random(shape, 1);
    for row in 0..data.view.rows() {
        let label = data.label(row).unwrap_or_default() as usize;
        for class in 0..data.view.classes {
            let x = &mut data.input[data.view.row_start(row) + class * data.view.inner];
            // Quarters, which every type keeps.
            *x = 100.0 + (*x / 4.0).round() / 4.0;
            if class == label {
                *x = 102.0 + ahead;
            }
        }
    }
    data
}

/// A loss of a confident row is as small as the share of its other classes, and so is its gradient.
#[test]
fn confident_rows_keep_their_digits() {
    // Short rows, also those that a group loads together, columns, resident and streaming rows, ragged ones, rows that
    // groups share.
    let shapes: [&[usize]; 10] = [
        &[96, 3],
        &[96, 10],
        &[64, 71],
        &[16, 500],
        &[8, 501],
        &[4, 20_000],
        &[2, 131_072],
        &[4, 20, 8],
        &[2, 600, 12],
        &[2, 1000, 3],
    ];
    let grad = Outputs::loss().with_grad();
    for (turn, shape) in shapes.into_iter().enumerate() {
        for hostile in in_turns(turn) {
            for ahead in [12.0, 20.0] {
                let what = format!("{shape:?} ahead by {ahead}");
                let data = confident(shape, ahead);
                let loss = CrossEntropy::new().reduction(Reduction::None);
                check(&what, hostile, &loss, &data, grad);
                if ahead > 12.0 {
                    check(&what, hostile, &loss, &one_hot(&data), grad.with_log_probs());
                }
            }
        }
    }
}

/// The labels as class probabilities.
fn one_hot(data: &Data) -> Data {
    let probability = |element: usize| {
        let (row, class) = data.view.row_and_class(element);
        f32::from(u8::from(data.label(row) == Some(class as i128)))
    };
    data.clone().probabilities((0..data.view.elements()).map(probability).collect())
}

/// Rows that share a load are written by different lanes and different groups, in the logits' place too. A driver that
/// runs eight lanes of a kernel in lockstep shows errors if each row has four, as here.
#[test]
fn rows_that_share_a_load_do_not_undo_each_other() {
    let mut tuning = Tuning::DISCRETE;
    (tuning.workgroup, tuning.lanes) = (32, Lanes::Keeping { fewest: 4, most: 4 });
    let options = GpuOptions::new().tuning(TuningChoice::Given(tuning));
    let few = TestGpu::open("four lanes", options);
    let types = [ElementType::F32, ElementType::F16, ElementType::BF16];
    for (turn, shape) in [[64, 71], [77, 101], [300, 1001], [9, 2503]].into_iter().enumerate() {
        for (number, element_type) in types.into_iter().enumerate() {
            let data = Data::random(&shape, 1).in_types(Types::all(element_type));
            // All compilers store components in one way.
            let gpu = few.edited(EDITS[number]);
            let name = format!("{} by {}", few.name, COMPILERS[number].name);
            for hostile in [&Hostile { name, gpu }, compiled(number, turn)] {
                for in_place in [false, true] {
                    let loss = CrossEntropy::new().reduction(Reduction::Sum);
                    let outputs = Outputs::loss().with_grad();
                    let plan = data.plan(&loss, outputs, hostile.gpu.kernels().profile());
                    let place = Place { in_place, ..Place::default() };
                    let got = Embedded::new(&hostile.gpu, &data, plan, place).run().answer();
                    let rounding = rounding(&loss, &data, outputs);
                    let what = format!("{shape:?} {element_type:?}, {place:?}, {}", hostile.name);
                    rounding.check(&what, &got, &Answer::from(&data.truth(&loss, outputs)));
                }
            }
        }
    }
}

/// Sums of these losses are beyond an f32, their mean is not: nothing may be divided later than it is.
#[test]
fn sums_beyond_an_f32() {
    let shapes: [&[usize]; 4] = [&[803, 3], &[400, 64], &[57, 1001], &[3, 5, 331]];
    for (turn, shape) in shapes.into_iter().enumerate() {
        let mut data = Data::random(shape, 1);
        let labels = vec![1; data.view.rows()];
        for row in 0..data.view.rows() {
            let label = data.view.row_start(row) + data.view.inner;
            data.input[label] = -3e38;
        }
        let data = data.labels(LabelType::I64, &labels);
        for hostile in in_turns(turn) {
            for outputs in [Outputs::loss(), Outputs::loss().with_grad()] {
                check("losses of 3e38", hostile, &CrossEntropy::new(), &data, outputs);
                check("losses of 3e38", hostile, &Nll::new(), &data, outputs);
            }
            let sum = CrossEntropy::new().reduction(Reduction::Sum);
            assert_eq!(data.on(&hostile.gpu, &sum, Outputs::loss()).loss, [f32::INFINITY]);
        }
    }
}

/// Probabilities of many classes are below the least normal f16.
#[test]
fn small_halves_are_not_lost() {
    let data = Data::random(&[4, 30_000], 1).random_probabilities();
    let data = data.in_types(Types::all(ElementType::F16));
    let portable = compiled(0, 2);
    assert!(COMPILERS[0].flushes && !portable.gpu.kernels().profile().f16);
    let outputs = Outputs::loss().with_grad().in_f32();
    check("small halves", portable, &CrossEntropy::new(), &data, outputs);
}

/// Every option of a loss over classes, in each layout.
#[test]
fn every_layout_and_option() {
    let shapes: [&[usize]; 7] =
        [&[64, 10], &[8, 300], &[8, 301], &[3, 9000], &[2, 131_072], &[2, 20, 8], &[2, 700, 5]];
    let grad = Outputs::loss().with_grad();
    let reported = grad.with_lse().with_argmax().with_entropy().with_variance();
    let options: [(CrossEntropy, Outputs); 4] = [
        (CrossEntropy::new().label_smoothing(0.1), grad),
        (CrossEntropy::new().logit_scale(0.7).z_loss(1e-3), reported),
        (CrossEntropy::new().softcap(5.0), reported),
        (CrossEntropy::new().reduction(Reduction::None), Outputs::loss().with_log_probs()),
    ];
    let types = [ElementType::F32, ElementType::BF16, ElementType::F16];
    for (turn, shape) in shapes.into_iter().enumerate() {
        for (number, (loss, outputs)) in options.iter().enumerate() {
            let data = Data::random(shape, 1).random_weight().random_row_weights().holes();
            let data = data.in_types(Types::all(types[(turn + number) % 3]));
            // Each by one compiler, another one in the next layout.
            let hostile = compiled((turn + number) % 3, turn);
            check(&format!("{shape:?}, option {number}"), hostile, loss, &data, *outputs);
        }
        let soft = Data::random(shape, 1).holes().random_probabilities();
        let mut plain = Data::random(shape, 1);
        plain.target = Target::None;
        let upstream = plain.clone().random_upstream_elements();
        let labelled = Data::random(shape, 1).labels_as(LabelType::I32);
        let others: [(&dyn Loss, &Data); 5] = [
            (&CrossEntropy::new(), &soft),
            (&Entropy::new().axis(1), &plain),
            (&Softmax::probs().axis(1), &upstream),
            (&Softmax::log_probs().axis(1), &upstream),
            (&Nll::new(), &labelled),
        ];
        for (number, (loss, data)) in others.into_iter().enumerate() {
            let hostile = compiled((turn + number) % 3, turn);
            check(&format!("{shape:?}, loss {number}"), hostile, loss, data, grad);
        }
    }
}

/// PyTorch's answers, edge cases included, each case by one compiler: one in seven, all of them with `SOAK`.
#[test]
fn fixtures_hold() {
    let classes = ["cross_entropy", "nll"].into_iter().flat_map(fixtures::load);
    let mut cases: Vec<(String, Box<dyn Loss>, Data, Outputs)> = Vec::new();
    cases.extend(
        classes.map(|case| (case.name.clone(), case.loss(), case.data.clone(), case.outputs())),
    );
    let extras = fixtures_extras::load().into_iter();
    cases.extend(
        extras.map(|case| (case.name.clone(), case.loss(), case.data.clone(), case.outputs())),
    );
    let softmax = fixtures_softmax::load().into_iter();
    cases.extend(
        softmax.map(|case| (case.name.clone(), case.loss(), case.data.clone(), case.outputs())),
    );
    for (turn, (name, loss, data, outputs)) in sampled(cases).enumerate() {
        check(&name, compiled(turn % 3, 0), &*loss, &data, outputs);
    }
}

fn sampled<T>(cases: Vec<T>) -> impl Iterator<Item = T> {
    let step = if std::env::var_os("SOAK").is_some() { 1 } else { 7 };
    cases.into_iter().step_by(step)
}

/// Losses of single elements.
#[test]
fn single_elements() {
    for (turn, kind) in Kind::ALL.into_iter().enumerate() {
        for element_type in [ElementType::F32, ElementType::F16] {
            let types = match element_type {
                ElementType::F32 => support::points::Types::F32,
                other => support::points::Types { input: other, ..support::points::Types::F32 },
            };
            let points = Points::random(kind, &[37, 29], types);
            let hostile = compiled(turn % 3, turn);
            let what = format!("{kind:?} {element_type:?} on {}", hostile.name);
            let outputs = kind.outputs().in_f32();
            let got = points.on(&hostile.gpu, Reduction::None, outputs);
            let truth = points.truth(Reduction::None, outputs);
            points.check(&what, Reduction::None, outputs, &got, &truth);
        }
    }
}

/// No part of a formula may be larger than the loss, in whichever order its factors come.
#[test]
fn single_elements_near_the_end_of_an_f32() {
    for (turn, kind) in Kind::ALL.into_iter().enumerate() {
        let points = Points::with_huge_losses(kind, &[1031]);
        let outputs = kind.outputs();
        let truth = points.truth(Reduction::None, outputs);
        for hostile in in_turns(turn) {
            let got = points.on(&hostile.gpu, Reduction::None, outputs);
            for (row, (&got, &wanted)) in got.loss.iter().zip(&truth.loss).enumerate() {
                // Of an exp at 88 the last 8 bits may be wrong.
                let close = (f64::from(got) / wanted - 1.0).abs() < 1e-4;
                let what = format!("{kind:?} on {}, loss {row}", hostile.name);
                assert!(close || wanted.abs() < 1e37, "{what} is {got}, not {wanted}");
            }
        }
    }
}

/// PyTorch's answers.
#[test]
fn fixtures_of_single_elements_hold() {
    for (turn, case) in sampled(fixtures_pointwise::load()).enumerate() {
        let hostile = compiled(turn % 3, 0);
        let points = Points::from(&case);
        let mut outputs = Outputs::loss().with_grad();
        outputs.target_grad = case.truth.target_grad.is_some();
        outputs.var_grad = case.truth.var_grad.is_some();
        let got = points.on(&hostile.gpu, case.reduction, outputs);
        let truth = points.truth(case.reduction, outputs);
        let what = format!("{} on {}", case.name, hostile.name);
        points.check(&what, case.reduction, outputs, &got, &truth);
    }
}
