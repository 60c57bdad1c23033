//! The edge cases of losses: ignored rows, infinities, NaN, means of nothing, bad labels.

use support::answer::{Answer, widened};
use support::close::{Tolerance, assert_close};
use support::data::{Data, Target, Types};
use support::embedded::{Embedded, Place};
use support::extras::Extras;
use support::gpus::{TestGpu, gpus, in_turn};
use support::labels::OwnedLabels;
use support::rounding::{Rounding, UNIT, UNITS, UNITS_PER_DEPTH};
use wgpu_loss::{
    CrossEntropy, ElementType, EmptyMean, Entropy, Error, LabelType, Loss, Nll, Output, Outputs,
    Reduction, Softmax,
};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

fn unreduced() -> CrossEntropy {
    CrossEntropy::new().reduction(Reduction::None)
}

fn unreduced_nll() -> Nll {
    Nll::new().reduction(Reduction::None)
}

fn with_grad() -> Outputs {
    Outputs::loss().with_grad()
}

/// The same rows for every kernel: narrow and wide loads, one lane per row and several, and rows
/// that are neighbours. More classes are more classes at `-inf`, which change nothing.
fn layouts<const C: usize>(rows: &[[f32; C]], labels: &[i64]) -> Vec<(&'static str, Data)> {
    let padded = |classes: usize| {
        let mut input = Vec::new();
        for row in rows {
            input.extend(row);
            input.extend(vec![-INF; classes - C]);
        }
        Data::new(&[rows.len(), classes], 1, input).labels(LabelType::I64, labels)
    };
    // Ignored rows at the end.
    let columns = |pixels: usize| {
        let pixel = |class: usize, row: usize| rows.get(row).map_or(0.0, |row| row[class]);
        let plane = |class| (0..pixels).map(move |row| pixel(class, row));
        let mut labels = labels.to_vec();
        labels.resize(pixels, -100);
        let input = (0..C).flat_map(plane).collect();
        Data::new(&[1, C, pixels], 1, input).labels(LabelType::I64, &labels)
    };
    let count = rows.len() + 1;
    vec![
        ("narrow rows", padded(C.next_multiple_of(2) + 1)),
        ("wide rows", padded(C.next_multiple_of(4))),
        ("long rows", padded(261)),
        ("long wide rows", padded(1024)),
        ("columns", columns(count.next_multiple_of(2) + 1)),
        ("wide columns", columns(count.next_multiple_of(4))),
    ]
}

/// One call's result, seen row by row.
struct Seen<'a> {
    what: String,
    data: &'a Data,
    output: Output<f32>,
}

impl Seen<'_> {
    /// The gradient of a row.
    fn grad(&self, row: usize) -> Vec<f32> {
        self.of_row(self.output.grad.as_ref().unwrap(), row)
    }

    /// The log-probabilities of a row.
    fn log_probs(&self, row: usize) -> Vec<f32> {
        self.of_row(self.output.log_probs.as_ref().unwrap(), row)
    }

    fn of_row(&self, elements: &[f32], row: usize) -> Vec<f32> {
        let view = self.data.view;
        let element = |class| view.row_start(row) + class * view.inner;
        (0..view.classes).map(|class| elements[element(class)]).collect()
    }
}

/// Runs a call on the devices in turn, compares it with the reference, and passes it to `look`.
#[track_caller]
fn check(name: &str, loss: &dyn Loss, data: &Data, outputs: Outputs, look: impl Fn(&Seen<'_>)) {
    let truth = data.truth(loss, outputs);
    let rounding = Rounding::new(loss, data, outputs);
    for gpu in in_turn() {
        let what = format!("{name} on {}", gpu.name);
        let output = data.on(gpu, loss, outputs);
        rounding.check(&what, &Answer::from(&output), &Answer::from(&truth));
        let (got, wanted) = (output.summary, truth.summary);
        assert_eq!((got.live, got.ignored()), (wanted.live, wanted.ignored()), "{what}");
        let weight = (got.weight - wanted.weight).abs();
        assert!(weight <= 1e-6 * wanted.weight, "{what}: weight {got:?}");
        assert_eq!(got.nonfinite, wanted.nonfinite, "{what}");
        assert_eq!(got.first_nonfinite, wanted.first_nonfinite, "{what}");
        look(&Seen { what, data, output });
    }
}

/// Unreduced losses, gradients and log-probabilities in every layout.
#[track_caller]
fn check_rows<const C: usize>(rows: &[[f32; C]], labels: &[i64], look: impl Fn(&Seen<'_>)) {
    for (name, data) in layouts(rows, labels) {
        check(name, &unreduced(), &data, with_grad().with_log_probs(), &look);
    }
}

// ---- Ignored rows

#[test]
fn an_ignored_row_counts_for_nothing_even_where_it_is_nan() {
    let rows = [[1.0, 2.0, 0.5], [NAN, 1.0, 0.0], [INF, INF, INF], [-INF; 3], [0.0, 3.0, 1.0]];
    for (name, data) in layouts(&rows, &[1, -100, -100, -100, 0]) {
        // Nor does its upstream gradient.
        let mut upstream = vec![2.0; data.view.rows()];
        upstream[1..4].copy_from_slice(&[NAN, INF, -INF]);
        let scaled = data.clone().upstream_rows(upstream);
        for loss in [&unreduced() as &dyn Loss, &unreduced_nll()] {
            check(name, loss, &scaled, with_grad(), |seen| {
                assert_eq!(seen.output.loss[1..4], [0.0; 3], "{}", seen.what);
                for row in 1..4 {
                    assert!(seen.grad(row).iter().all(|&g| g == 0.0), "{}: row {row}", seen.what);
                }
                assert!(seen.grad(0)[1] < 0.0 && seen.grad(4)[0] < 0.0, "{}", seen.what);
                let summary = seen.output.summary;
                assert_eq!((summary.live, summary.nonfinite), (2, 0), "{}", seen.what);
            });
        }
        check(name, &CrossEntropy::new(), &data, with_grad(), |seen| {
            assert!(seen.output.loss[0] > 0.0, "{}", seen.what);
        });
    }
}

#[test]
fn ignore_index_may_be_a_class_or_any_other_number() {
    let rows = [[0.0, 1.0, 2.0, -1.0]; 3];
    for ignore in [1, 7, -1, -100, i64::MAX, i64::MIN, 1 << 32, (1 << 32) + 2] {
        for loss in
            [&unreduced().ignore_index(ignore) as &dyn Loss, &unreduced_nll().ignore_index(ignore)]
        {
            let data = Data::rows(&rows, &[0, ignore, 2]);
            check(&format!("ignore {ignore}"), loss, &data, with_grad(), |seen| {
                assert_eq!(seen.output.summary.ignored(), 1, "{}", seen.what);
                assert_eq!(seen.output.loss[1], 0.0, "{}", seen.what);
                assert_eq!(seen.grad(1), [0.0; 4], "{}", seen.what);
                assert!(seen.grad(0)[0] < 0.0 && seen.grad(2)[2] < 0.0, "{}", seen.what);
            });
        }
    }
}

/// A cap far above the logits leaves them as they are: tanh of a small number keeps its digits.
#[test]
fn a_softcap_far_above_the_logits_changes_little() {
    let rows = [[1.0, 2.5, -3.0], [0.5, 0.25, 0.0]];
    for (name, data) in layouts(&rows, &[1, 0]) {
        for cap in [1e3, 1e5] {
            let loss = CrossEntropy::new().softcap(cap).reduction(Reduction::None);
            check(name, &loss, &data, with_grad(), |_| {});
        }
    }
}

#[test]
fn a_mean_over_nothing_is_nan_or_zero_and_moves_nothing() {
    let rows = [[1.0, 2.0, 3.0], [0.5, 0.25, 0.0]];
    let ignored = layouts(&rows, &[-100, -100]);
    let weightless = layouts(&rows, &[0, 0]).into_iter().map(|(name, data)| {
        let mut weight = vec![1.0; data.view.classes];
        weight[0] = 0.0;
        (name, data.weight(&weight))
    });
    for (name, data) in ignored.into_iter().chain(weightless) {
        for (empty_mean, wanted) in [(EmptyMean::Nan, None), (EmptyMean::Zero, Some(0.0))] {
            let losses: [&dyn Loss; 2] =
                [&CrossEntropy::new().empty_mean(empty_mean), &Nll::new().empty_mean(empty_mean)];
            for loss in losses {
                check(name, loss, &data, with_grad(), |seen| {
                    let loss = seen.output.loss[0];
                    assert_eq!((!loss.is_nan()).then_some(loss), wanted, "{}", seen.what);
                    let grad = seen.output.grad.as_ref().unwrap();
                    assert!(!grad.is_empty() && grad.iter().all(|&g| g == 0.0), "{}", seen.what);
                });
                check(name, loss, &data, Outputs::loss(), |_| {});
                // Recorded by a host, kernels have no other divisor than their own.
                for gpu in in_turn() {
                    let plan = data.plan(loss, with_grad(), gpu.kernels().profile());
                    let results = Embedded::new(gpu, &data, plan, Place::default()).run();
                    let zero = |&word: &u32| f32::from_bits(word) == 0.0;
                    assert!(results.grad.unwrap().iter().all(zero), "{name} on {}", gpu.name);
                    let loss = results.reduced.map(f32::from_bits).filter(|loss| !loss.is_nan());
                    assert_eq!(loss, wanted, "{name} on {}", gpu.name);
                }
            }
        }
        for reduction in [Reduction::Sum, Reduction::BatchMean, Reduction::None] {
            check(name, &CrossEntropy::new().reduction(reduction), &data, with_grad(), |seen| {
                assert!(seen.output.loss.iter().all(|&loss| loss == 0.0), "{}", seen.what);
            });
        }
    }
    // A row without a distribution is something, even if its class weighs nothing.
    for (name, data) in layouts(&[[f32::NAN, 2.0, 3.0], rows[1]], &[0, 0]) {
        let mut weight = vec![1.0; data.view.classes];
        weight[0] = 0.0;
        let data = data.weight(&weight);
        let loss = CrossEntropy::new().empty_mean(EmptyMean::Zero);
        check(name, &loss, &data, Outputs::loss(), |seen| {
            assert!(seen.output.loss[0].is_nan(), "{}", seen.what);
        });
        for gpu in in_turn() {
            let plan = data.plan(&loss, Outputs::loss(), gpu.kernels().profile());
            let results = Embedded::new(gpu, &data, plan, Place::default()).run();
            let loss = results.reduced.map(f32::from_bits);
            assert!(loss.is_some_and(f32::is_nan), "{name} on {}: {loss:?}", gpu.name);
        }
    }
}

#[test]
fn a_row_without_a_distribution_stays_nan_under_an_empty_mean() {
    let data = Data::rows(&[[NAN, 0.0], [1.0, 2.0]], &[0, 0]).weight(&[0.0, 1.0]);
    let loss = CrossEntropy::new().empty_mean(EmptyMean::Zero);
    check("nan", &loss, &data, with_grad(), |seen| {
        assert!(seen.output.loss[0].is_nan(), "{}", seen.what);
        assert!(seen.grad(0).iter().all(|g| g.is_nan()), "{}", seen.what);
        assert_eq!(seen.grad(1), [0.0; 2], "{}", seen.what);
    });
}

// ---- Weights that are not finite

/// Makes one call on a device, near the reference, of four rows of which two have a weight that is not finite.
#[track_caller]
fn weighed<'a>(what: &str, gpu: &TestGpu, loss: &dyn Loss, data: &'a Data) -> Seen<'a> {
    let (output, truth) = (data.on(gpu, loss, with_grad()), data.truth(loss, with_grad()));
    // A few roundings, of numbers that are not small.
    let tolerance = Tolerance { relative: 2e-6, absolute: 2e-7 };
    assert_close(what, &widened(&output.loss), &truth.loss, tolerance);
    let (got, wanted) = (output.grad.as_ref().unwrap(), truth.grad.as_ref().unwrap());
    assert_close(what, &widened(got), wanted, tolerance);
    for summary in [output.summary, truth.summary] {
        let seen = (summary.live, summary.nonfinite, summary.first_nonfinite, summary.weight);
        assert_eq!(seen, (4, 2, Some(1), 3.0), "{what}");
    }
    Seen { what: what.into(), data, output }
}

/// A row with a weight that is NaN or infinite has no loss and is named, and changes neither the gradients of other
/// rows nor the divisor of a mean.
#[test]
fn a_weight_that_is_no_number_names_its_rows() {
    let rows = [[0.5, 1.0, -1.0], [0.25, 2.0, 1.5], [3.0, 1.0, 2.0], [1.0, 0.0, 1.0]];
    let labels = [0, 1, 2, 1];
    // An infinity, and a signalling NaN.
    for word in [0x7f80_0000, 0xff80_0001] {
        let lost = f32::from_bits(word);
        for (number, (name, data)) in layouts(&rows, &labels).into_iter().enumerate() {
            let mut of_classes = vec![1.0; data.view.classes];
            (of_classes[1], of_classes[2]) = (lost, 2.0);
            let mut of_rows = vec![1.0; data.view.rows()];
            (of_rows[1], of_rows[2], of_rows[3]) = (lost, 2.0, lost);
            let weighted = data.clone().weight(&of_classes);
            let masked = data.row_weights(of_rows);
            // Compilers take their time: each layout on one of the devices.
            let gpu = &gpus()[number % 3];
            for data in [&weighted, &masked] {
                let what = format!("{name}, weight {word:#x} on {}", gpu.name);
                for loss in [&unreduced() as &dyn Loss, &unreduced_nll()] {
                    let seen = weighed(&what, gpu, loss, data);
                    for (row, nan) in [false, true, false, true].into_iter().enumerate() {
                        assert_eq!(seen.output.loss[row].is_nan(), nan, "{what}: {row}");
                        assert_eq!(seen.grad(row)[1].is_nan(), nan, "{what}: {row}");
                    }
                }
                for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
                    let seen = weighed(&what, gpu, loss, data);
                    assert!(seen.output.loss[0].is_nan(), "{what}");
                    let grads = [seen.grad(0), seen.grad(2)].concat();
                    assert!(grads.iter().all(|g| g.is_finite()), "{what}");
                }
            }
            // Where every class carries weight, each row has the lost one.
            let smooth = unreduced().label_smoothing(0.1);
            let output = weighted.on(gpu, &smooth, with_grad());
            assert!(output.loss[..4].iter().all(|loss| loss.is_nan()), "smooth {name}");
            assert_eq!(output.summary.nonfinite, 4, "smooth {name} on {}", gpu.name);
            let truth = weighted.truth(&smooth, with_grad()).summary;
            assert_eq!((truth.nonfinite, truth.first_nonfinite), (4, Some(0)), "{name}");
        }
    }
    // Rows that are divided into parts, whose labels' weights pass through the workspace.
    let mut data = Data::random(&[3, 40_000], 1).labels(LabelType::I64, &[5, 39_999, 20_000]);
    let mut weight = vec![1.0; 40_000];
    weight[39_999] = NAN;
    data = data.weight(&weight);
    for gpu in gpus() {
        let output = data.on(&gpu.with_memory_budget(96 << 10), &unreduced(), with_grad());
        let (summary, what) = (output.summary, &gpu.name);
        assert_eq!((summary.nonfinite, summary.first_nonfinite), (1, Some(1)), "{what}");
        let nan: Vec<bool> = output.loss.iter().map(|loss| loss.is_nan()).collect();
        assert_eq!(nan, [false, true, false], "{what}");
    }
}

// ---- No classes

/// Rows without a class are distributions over nothing: their losses are 0, their log-sum-exp is `-inf`.
#[test]
fn rows_of_no_classes_have_losses_of_nothing() {
    let of_rows =
        Outputs::loss().with_grad().with_lse().with_argmax().with_entropy().with_variance();
    let loss = CrossEntropy::new().z_loss(0.5);
    let losses: [(&str, Box<dyn Loss>, bool); 7] = [
        ("labels", Box::new(CrossEntropy::new()), true),
        ("unreduced labels", Box::new(loss.clone().reduction(Reduction::None)), true),
        ("probabilities", Box::new(unreduced()), false),
        ("z-loss", Box::new(loss), false),
        ("smooth", Box::new(unreduced().label_smoothing(0.1)), false),
        ("entropy", Box::new(Entropy::new().axis(1).reduction(Reduction::None)), false),
        ("softmax", Box::new(Softmax::log_probs().axis(1)), false),
    ];
    for (number, rows) in [2, 8, 9, 64].into_iter().enumerate() {
        for shape in [&[rows, 0][..], &[3, 0, rows]] {
            for (turn, (name, loss, labelled)) in losses.iter().enumerate() {
                let alone = Data::new(shape, 1, vec![]);
                let count = alone.view.rows();
                let data = match *name {
                    "entropy" | "softmax" => alone,
                    // None of them is a class.
                    _ if *labelled => alone.labels(LabelType::I64, &vec![-100; count]),
                    _ => alone.probabilities(vec![]),
                };
                let element_type =
                    [ElementType::F32, ElementType::F16, ElementType::BF16][number % 3];
                let data = data.in_types(Types::all(element_type));
                let softmax = *name == "softmax";
                let mut outputs = if number % 2 == 0 { of_rows.in_f32() } else { of_rows };
                outputs.grad = !softmax;
                outputs.row_weights = !softmax;
                outputs.rank = *labelled;
                let truth = data.truth(&**loss, outputs);
                assert_eq!(truth.rows.lse, Some(vec![f64::NEG_INFINITY; count]), "{name}");
                assert_eq!(truth.rows.argmax, Some(vec![u32::MAX; count]), "{name}");
                assert_eq!(truth.rows.entropy, Some(vec![0.0; count]), "{name}");
                assert_eq!(truth.rows.variance, Some(vec![0.0; count]), "{name}");
                let gpu = &gpus()[(number + turn) % 3];
                let what = format!("{name} {shape:?} {element_type:?} on {}", gpu.name);
                let output = data.on(gpu, &**loss, outputs);
                let plan = data.plan(&**loss, outputs, gpu.kernels().profile());
                let problem = plan.problem().clone();
                let results = Embedded::new(gpu, &data, plan, Place::default()).run();
                let reported = |extras: &Extras| format!("{extras:?}");
                assert_eq!(
                    reported(&Extras::from(&output)),
                    reported(&Extras::from(&truth)),
                    "{what}"
                );
                let bound = results.extras(&problem);
                assert_eq!(reported(&bound), reported(&Extras::from(&truth)), "{what}");
                let losses = |answer: &Answer| format!("{:?}", answer.loss);
                let wanted = losses(&Answer::from(&truth));
                assert_eq!(losses(&Answer::from(&output)), wanted, "{what}");
                assert_eq!(losses(&results.answer()), wanted, "{what}");
                assert_eq!(results.summary.live, truth.summary.live, "{what}");
                assert_eq!(output.summary.live, truth.summary.live, "{what}");
            }
        }
    }
}

// ---- Infinities and NaN

/// Plus infinity and NaN in all their forms: quiet, signalling, of both signs.
const NO_NUMBERS: [u32; 8] = [
    0x7f80_0000,
    0x7fc0_0000,
    0xffc0_0000,
    0x7f80_0001,
    0xff80_0001,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fa5_5aa5,
];

#[test]
fn a_row_without_a_distribution_is_nan_and_the_others_are_not() {
    // Every form in every class, a good row after each.
    let mut rows = vec![[0.5, 1.0, -1.0]];
    for word in NO_NUMBERS {
        for class in 0..3 {
            let mut row = [0.25, -INF, 1.5];
            row[class] = f32::from_bits(word);
            rows.extend([row, [1.0, 2.0, -INF]]);
        }
    }
    rows.extend([[-INF; 3], [1.0, 0.0, 1.0]]);
    let labels: Vec<i64> = (0..rows.len()).map(|row| row as i64 / 2 % 2).collect();
    let bad = (rows.len() / 2) as u64;
    check_rows(&rows, &labels, |seen| {
        for row in 0..rows.len() {
            let nan = row % 2 == 1;
            let what = format!("{}: row {row}", seen.what);
            assert_eq!(seen.output.loss[row].is_nan(), nan, "{what}");
            assert!(seen.grad(row).iter().all(|g| g.is_nan() == nan), "{what}");
            assert!(seen.log_probs(row).iter().all(|y| y.is_nan() == nan), "{what}");
        }
        let summary = seen.output.summary;
        assert_eq!((summary.nonfinite, summary.first_nonfinite), (bad, Some(1)), "{}", seen.what);
    });
    // The loss of them all is NaN; smoothing and probabilities see it too.
    for (name, data) in layouts(&rows, &labels) {
        for reduction in [Reduction::Mean, Reduction::Sum] {
            check(name, &CrossEntropy::new().reduction(reduction), &data, with_grad(), |seen| {
                assert!(seen.output.loss[0].is_nan(), "{}", seen.what);
            });
        }
    }
    let data = Data::rows(&rows, &labels);
    for data in [data.clone().random_probabilities(), data.clone()] {
        let smoothing = if data.label(0).is_some() { 0.1 } else { 0.0 };
        let loss = unreduced().label_smoothing(smoothing);
        check("spread", &loss, &data, with_grad(), |seen| {
            for row in 0..rows.len() {
                assert_eq!(seen.output.loss[row].is_nan(), row % 2 == 1, "{}: {row}", seen.what);
            }
        });
    }
    let alone = Data::new(data.shape(), 1, data.input.clone());
    check("softmax", &Softmax::probs(), &alone, Outputs::loss(), |seen| {
        let probs = seen.output.probs.as_ref().unwrap();
        for (element, p) in probs.iter().enumerate() {
            assert_eq!(p.is_nan(), element / 3 % 2 == 1, "{}: {element}", seen.what);
        }
    });
}

/// Rows of a lane are summed together, and a NaN of any of them is in the sum.
#[test]
fn any_row_without_a_distribution_makes_the_sum_nan() {
    for shape in [&[8, 3][..], &[1, 3, 8], &[1, 40, 8]] {
        let random = Data::random(shape, 1);
        for row in 0..8 {
            let mut data = random.clone();
            data.input[data.view.row_start(row)] = NAN;
            for gpu in gpus() {
                let output = data.on(gpu, &CrossEntropy::new(), Outputs::loss());
                let what = format!("row {row} of {shape:?} on {}", gpu.name);
                assert!(output.loss[0].is_nan(), "{what}: {}", output.loss[0]);
            }
        }
    }
}

/// NaN of either sign and infinity are noticed in every element of a load, and in every lane.
#[test]
fn a_row_without_a_distribution_is_noticed_by_any_element() {
    let shapes = [&[40, 24][..], &[40, 37], &[40, 1024], &[40, 1025], &[40, 9000], &[1, 33, 40]];
    let of_rows = Outputs::loss().with_lse().with_argmax().with_rank().with_accuracy();
    let of_rows = of_rows.with_entropy().with_variance();
    for shape in shapes {
        let random = Data::random(shape, 1);
        let view = random.view;
        for bad in [NAN, -NAN, INF] {
            let mut data = random.clone();
            for row in 0..40 {
                let class = if row < 24 { row } else { (row * 997) % view.classes };
                data.input[view.row_start(row) + class * view.inner] = bad;
            }
            for element_type in [ElementType::F32, ElementType::F16] {
                let data = data.clone().in_types(Types::all(element_type));
                for gpu in gpus() {
                    let output = data.on(gpu, &unreduced(), with_grad());
                    let what = format!("{bad} in {shape:?} of {element_type:?} on {}", gpu.name);
                    assert_eq!(output.summary.nonfinite, 40, "{what}");
                    assert!(output.loss.iter().all(|loss| loss.is_nan()), "{what}");
                    let Output { summary, rows, .. } = data.on(gpu, &CrossEntropy::new(), of_rows);
                    assert_eq!((summary.live, summary.correct), (40, 0), "{what}");
                    assert_eq!(rows.argmax, Some(vec![u32::MAX; 40]), "{what}");
                    assert_eq!(rows.rank, Some(vec![u32::MAX; 40]), "{what}");
                    for numbers in [rows.lse, rows.entropy, rows.variance] {
                        assert!(numbers.unwrap().iter().all(|x| x.is_nan()), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_first_row_without_a_distribution_is_named_among_many() {
    let mut data = Data::random(&[10_000, 2], 1);
    for row in [9_999, 4_097, 9_000] {
        data.input[row * 2..][..2].fill(NAN);
    }
    for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
        check("three rows", loss, &data, Outputs::loss(), |seen| {
            let summary = seen.output.summary;
            assert_eq!((summary.nonfinite, summary.first_nonfinite), (3, Some(4_097)));
        });
    }
}

#[test]
fn a_class_at_minus_infinity_is_not_there() {
    let rows = [[0.5, -INF, 1.5], [-INF, -INF, -2.0], [-INF, 3.0, 1.0], [0.5, 0.25, 1.5]];
    check_rows(&rows, &[0, 2, 1, 1], |seen| {
        for (row, logits) in rows.iter().enumerate() {
            let (grad, log_probs) = (seen.grad(row), seen.log_probs(row));
            for class in 0..seen.data.view.classes {
                let away = logits.get(class).is_none_or(|&x| x == -INF);
                let what = format!("{}: row {row}, class {class}", seen.what);
                assert_eq!(log_probs[class] == -INF, away, "{what}");
                assert!(!away || grad[class] == 0.0, "{what}: {}", grad[class]);
            }
        }
        // The one class of row 1 is certain.
        assert_eq!(seen.output.loss[1], 0.0, "{}", seen.what);
        assert!(seen.grad(1).iter().all(|&g| g == 0.0), "{}", seen.what);
    });
}

#[test]
fn a_label_at_minus_infinity_costs_infinity_and_has_a_gradient() {
    let rows = [[0.0, -INF, 0.0], [1.0, 1.0, -INF], [2.0, 1.0, 0.5]];
    check_rows(&rows, &[1, 0, 2], |seen| {
        assert_eq!(seen.output.loss[0], INF, "{}", seen.what);
        let tolerance = Tolerance::relative(1e-6);
        assert_close(&seen.what, &widened(&seen.grad(0)[..3]), &[0.5, -1.0, 0.5], tolerance);
        assert!(seen.output.loss[1..].iter().all(|loss| loss.is_finite()), "{}", seen.what);
        assert_eq!(seen.output.summary.nonfinite, 0, "{}", seen.what);
    });
    for (name, data) in layouts(&rows, &[1, 0, 2]) {
        check(name, &CrossEntropy::new(), &data, with_grad(), |seen| {
            assert_eq!(seen.output.loss, [INF], "{}", seen.what);
            assert!(seen.output.grad.as_ref().unwrap().iter().all(|g| g.is_finite()));
        });
        // A class without weight contributes nothing, even there.
        let mut weight = vec![1.0; data.view.classes];
        weight[1] = 0.0;
        check(name, &unreduced(), &data.weight(&weight), with_grad(), |seen| {
            assert_eq!(seen.output.loss[0], 0.0, "{}", seen.what);
            assert!(seen.grad(0).iter().all(|&g| g == 0.0), "{}", seen.what);
        });
    }
}

#[test]
fn a_label_of_negative_weight_at_minus_infinity_gains_infinity() {
    for (name, data) in layouts(&[[0.0, -INF, 1.0]], &[1]) {
        let of_class = data.clone().weight(&vec![-0.5; data.view.classes]);
        let rows = data.view.rows();
        let of_row = data.row_weights(vec![-0.5; rows]);
        for (whose, data) in [("class", of_class), ("row", of_row)] {
            for gpu in in_turn() {
                for loss in [&unreduced() as &dyn Loss, &unreduced_nll()] {
                    let output = data.on(gpu, loss, Outputs::loss());
                    assert_eq!(output.loss[0], -INF, "{name}, weight of a {whose} on {}", gpu.name);
                }
            }
        }
    }
}

#[test]
fn a_probability_of_zero_leaves_nothing_of_an_infinity() {
    let rows = [[0.0, -INF, 0.0], [0.0, -INF, 0.0], [1.0, 2.0, -INF]];
    let probabilities = vec![0.5, 0.0, 0.5, 0.25, 0.5, 0.25, 1.0, 0.0, 0.0];
    let data = Data::rows(&rows, &[0; 3]).probabilities(probabilities);
    check("probabilities", &unreduced(), &data, with_grad(), |seen| {
        assert!((seen.output.loss[0] - 2f32.ln()).abs() < 1e-6, "{}", seen.what);
        assert_eq!(seen.output.loss[1], INF, "{}", seen.what);
        assert!(seen.output.loss[2].is_finite(), "{}", seen.what);
        assert!(seen.output.grad.as_ref().unwrap().iter().all(|g| g.is_finite()), "{}", seen.what);
        assert_eq!((seen.grad(0)[1], seen.grad(2)[2]), (0.0, 0.0), "{}", seen.what);
    });
}

#[test]
fn logits_may_be_as_large_as_they_get() {
    const MAX: f32 = f32::MAX;
    let rows = [
        [1e4, 1e4 - 1.0, -1e4],
        [-1e4, -1e4 - 1.0, -1e4 - 2.0],
        [1e4, -1e4, 0.0],
        [3e38, 3e38, 0.0],
        [-3e38, 0.0, 1.0],
        [-3e38, -3e38, -3e38],
        [MAX, MAX, -INF],
        [-MAX, -INF, -INF],
        [-MAX, -MAX, -INF],
        [-INF, -MAX, -MAX],
        [0.0, -MAX, -INF],
        [MAX, 0.0, 0.0],
        [-MAX, -MAX, -MAX],
    ];
    let labels = [1, 2, 1, 0, 0, 1, 1, 0, 0, 2, 1, 0, 2];
    check_rows(&rows, &labels, |seen| {
        assert!(seen.output.loss.iter().all(|loss| loss.is_finite()), "{}", seen.what);
        assert!(seen.output.grad.as_ref().unwrap().iter().all(|g| g.is_finite()), "{}", seen.what);
        let losses = &seen.output.loss;
        for (row, wanted) in [
            (3, 2f32.ln()),
            (5, 3f32.ln()),
            (6, 2f32.ln()),
            (7, 0.0),
            (8, 2f32.ln()),
            (9, 2f32.ln()),
            (10, MAX),
            (11, 0.0),
            (12, 3f32.ln()),
        ] {
            assert!((losses[row] - wanted).abs() <= 1e-6 * wanted, "{}: row {row}", seen.what);
        }
        assert_eq!(seen.output.summary.nonfinite, 0, "{}", seen.what);
    });
}

/// A share of 0 leaves nothing of a distance past the largest number.
#[test]
fn a_class_without_a_share_may_be_as_far_as_logits_get() {
    const MAX: f32 = f32::MAX;
    let rows = [[MAX, -MAX, MAX], [MAX, -MAX, MAX], [1e38, -3e38, 0.0]];
    for (name, data) in layouts(&rows, &[0, 1, 1]) {
        let mut weight = vec![0.0; data.view.classes];
        (weight[0], weight[2]) = (1.0, 0.5);
        let data = data.weight(&weight);
        for loss in [unreduced(), unreduced().label_smoothing(0.25)] {
            check(name, &loss, &data, with_grad(), |seen| {
                assert!(seen.output.loss.iter().all(|loss| loss.is_finite()), "{}", seen.what);
                let grad = seen.output.grad.as_ref().unwrap();
                assert!(grad.iter().all(|g| g.is_finite()), "{}", seen.what);
            });
        }
    }
}

#[test]
fn a_loss_past_the_largest_number_is_infinite() {
    // x_t is 6e38 below the top. The gradient is finite.
    for (name, data) in layouts(&[[3e38, -3e38, 0.0], [0.0, 1.0, 2.0]], &[1, 2]) {
        for gpu in gpus() {
            let what = format!("{name} on {}", gpu.name);
            let output = data.on(gpu, &unreduced(), with_grad());
            assert_eq!(output.loss[0], INF, "{what}");
            assert!(output.loss[1].is_finite(), "{what}");
            let wanted = data.truth(&unreduced(), with_grad()).grad.unwrap();
            let got = widened(output.grad.as_ref().unwrap());
            assert_close(&what, &got, &wanted, Tolerance::absolute(1e-6));
        }
    }
}

#[test]
fn confident_rows_keep_their_digits() {
    // x_t = a above 0 and -1: loss = log1p(u) and dloss/dx_t = -u / (1 + u), u = e^-a + e^-(a+1).
    let mut rows = Vec::new();
    for a in 2..=30 {
        let a = a as f32;
        rows.extend([[a, 0.0, -1.0], [100.0, 100.0 - a, 99.0 - a]]);
    }
    let losses = |rows: &[[f32; 3]]| -> Vec<f64> {
        let u = |row: &[f32; 3]| (1..3).map(|c| f64::from(row[c] - row[0]).exp()).sum::<f64>();
        rows.iter().map(|row| u(row).ln_1p()).collect()
    };
    let wanted = losses(&rows);
    assert!(wanted[0] > 0.1 && wanted[wanted.len() - 1] < 2e-13);
    for gpu in gpus() {
        for (name, data) in layouts(&rows, &vec![0; rows.len()]) {
            let what = format!("{name} on {}", gpu.name);
            let output = data.on(gpu, &unreduced(), with_grad());
            let seen = Seen { what, data: &data, output };
            for (row, &loss) in wanted.iter().enumerate() {
                // The others are `depth` below. (`rounding.rs` states the errors of exp and the other operations.)
                let depth = f64::from(rows[row][0] - rows[row][1]);
                let tolerance = Tolerance::relative(UNIT * (UNITS + UNITS_PER_DEPTH * depth));
                let what = format!("{}: row {row}", seen.what);
                let got = widened(&[seen.output.loss[row], seen.grad(row)[0]]);
                assert_close(&what, &got, &[loss, (-loss).exp_m1()], tolerance);
            }
        }
    }
}

#[test]
fn one_class_is_certain() {
    for shape in [&[5, 1][..], &[2, 1, 3], &[2, 1, 4], &[1]] {
        let data = Data::random(shape, if shape.len() == 1 { 0 } else { 1 });
        check("one class", &unreduced(), &data, with_grad().with_log_probs(), |seen| {
            let output = &seen.output;
            let parts = [&output.loss, output.grad.as_ref().unwrap()];
            for part in parts.into_iter().chain(&output.log_probs) {
                assert!(!part.is_empty() && part.iter().all(|&x| x == 0.0), "{}", seen.what);
            }
        });
    }
}

#[test]
fn no_classes() {
    let none = Data::new(&[3, 0], 1, Vec::new());
    let probabilities = none.clone().probabilities(Vec::new());
    for loss in [&CrossEntropy::new() as &dyn Loss, &unreduced()] {
        check("no classes", loss, &probabilities, with_grad().with_log_probs(), |seen| {
            assert!(seen.output.loss.iter().all(|&loss| loss == 0.0), "{}", seen.what);
            assert_eq!(seen.output.grad, Some(vec![]), "{}", seen.what);
            assert_eq!(seen.output.log_probs, Some(vec![]), "{}", seen.what);
        });
    }
    let ignored = none.clone().labels(LabelType::I64, &[-100; 3]);
    check("no classes", &unreduced(), &ignored, with_grad().with_class_losses(), |seen| {
        assert_eq!(seen.output.loss, [0.0; 3], "{}", seen.what);
        let classes = seen.output.classes.as_ref();
        assert!(classes.is_some_and(|sums| sums.loss.is_empty()), "{}", seen.what);
    });
    let bad = none.clone().labels(LabelType::I64, &[-100, 0, 0]);
    for gpu in gpus() {
        for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
            let error = gpu.run(loss, &bad.inputs(), Outputs::loss()).unwrap_err();
            assert!(
                matches!(error, Error::BadTargets { count: 2, first: 1, value: 0, classes: 0, .. }),
                "{error} on {}",
                gpu.name
            );
        }
        let output = none.on(gpu, &Softmax::probs(), Outputs::loss());
        assert_eq!(output.probs, Some(vec![]), "{}", gpu.name);
    }
}

#[test]
fn more_rows_of_nothing_than_can_be_counted_are_refused_or_nothing() {
    for rows in [1 << 33, 1 << 50, 1 << 62] {
        let data = Data::new(&[rows, 0], 1, Vec::new()).probabilities(Vec::new());
        for gpu in gpus() {
            match gpu.run(&CrossEntropy::new(), &data.inputs(), with_grad()) {
                Ok(output) => assert_eq!(output.loss, [0.0], "{}", gpu.name),
                Err(error) => assert!(matches!(error, Error::Limit { .. }), "{error}"),
            }
        }
    }
}

// ---- Bad labels

/// Labels that are not a class of five, even if their lower half is.
fn bad_labels(label_type: LabelType) -> Vec<i128> {
    match label_type {
        LabelType::U8 => vec![5, 255, 156],
        LabelType::I8 => vec![5, 127, -1, -128],
        LabelType::U16 => vec![5, 256, 65535, 65436],
        LabelType::I16 => vec![5, 256, -1, i16::MIN.into()],
        LabelType::U32 => vec![5, 1 << 16, u32::MAX.into(), (1 << 32) - 100],
        LabelType::I32 => vec![5, 1 << 16, -1, i32::MIN.into(), i32::MAX.into()],
        LabelType::U64 => {
            vec![5, 1 << 32, (1 << 32) + 1, 1 << 63, u64::MAX.into(), (1 << 64) - 100]
        }
        LabelType::I64 => {
            vec![5, 1 << 32, (1 << 32) + 1, -1, i64::MIN.into(), i64::MAX.into(), -(1 << 32) + 1]
        }
        other => panic!("no labels of type {other:?}"),
    }
}

#[test]
fn bad_labels_are_counted_and_the_first_is_named() {
    for gpu in gpus() {
        for label_type in LabelType::ALL {
            for bad in bad_labels(label_type) {
                let what = format!("{bad} as {label_type:?} on {}", gpu.name);
                let mut data = Data::random(&[70, 5], 1);
                let labels = (0..70).map(|row| match row {
                    9 | 23 | 69 => bad,
                    _ => row % 5,
                });
                data.target = Target::Labels(OwnedLabels::new(label_type, labels));
                let wanted = Error::BadTargets {
                    count: 3,
                    rows: 70,
                    first: 9,
                    value: bad,
                    classes: 5,
                    ignore_index: -100,
                };
                for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
                    let error = gpu.run(loss, &data.inputs(), Outputs::loss()).unwrap_err();
                    assert_eq!(error, wanted, "{what}");
                }
            }
        }
    }
}

#[test]
fn bad_labels_are_found_by_every_kernel() {
    let rows = [[0.5, 1.5, -1.0]; 9];
    // No class of any layout.
    for (name, data) in layouts(&rows, &[0, 1, -100, 2, 5000, 0, -7, 1, 5000]) {
        for gpu in in_turn() {
            let losses: [&dyn Loss; 5] = [
                &CrossEntropy::new(),
                &unreduced(),
                &CrossEntropy::new().label_smoothing(0.1),
                &Nll::new(),
                &unreduced_nll(),
            ];
            for loss in losses {
                for outputs in [Outputs::loss(), with_grad()] {
                    let error = gpu.run(loss, &data.inputs(), outputs).unwrap_err();
                    let wanted = Error::BadTargets {
                        count: 3,
                        rows: data.view.rows() as u64,
                        first: 4,
                        value: 5000,
                        classes: data.view.classes,
                        ignore_index: -100,
                    };
                    assert_eq!(error, wanted, "{name} on {}", gpu.name);
                }
                // A host that reads its buffers before the summary finds no number.
                let plan = data.plan(loss, Outputs::loss(), gpu.kernels().profile());
                let results = Embedded::new(gpu, &data, plan, Place::default()).run();
                let nan = |word: u32| f32::from_bits(word).is_nan();
                assert!(results.reduced.is_none_or(nan), "{name} on {}", gpu.name);
            }
        }
    }
}

/// A label whose lower half would be a class.
#[test]
fn labels_past_32_bits_have_no_gradient() {
    for shape in [&[8, 5][..], &[9, 5], &[2, 5, 4], &[3, 5, 3]] {
        let data = Data::random(shape, 1).labelled(&[4], (1 << 32) + 1);
        let elements = |row| (0..5).map(move |class| (row, class));
        let at = |(row, class)| data.view.row_start(row) + class * data.view.inner;
        for gpu in in_turn() {
            for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
                let plan = data.plan(loss, with_grad(), gpu.kernels().profile());
                let grad = Embedded::new(gpu, &data, plan, Place::default()).run().grad.unwrap();
                let nan = |place| f32::from_bits(grad[at(place)]).is_nan();
                assert!(elements(4).all(nan) && !elements(3).any(nan), "{shape:?}: {}", gpu.name);
            }
        }
    }
}

#[test]
fn bad_labels_are_counted_among_many() {
    let data = Data::random(&[200_000, 2], 1).labelled(&[199_999, 70_000, 123_456], 2);
    for gpu in gpus() {
        for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
            let error = gpu.run(loss, &data.inputs(), Outputs::loss()).unwrap_err();
            let wanted = Error::BadTargets {
                count: 3,
                rows: 200_000,
                first: 70_000,
                value: 2,
                classes: 2,
                ignore_index: -100,
            };
            assert_eq!(error, wanted, "{}", gpu.name);
        }
    }
}

/// A lane that meets several bad labels keeps the first.
#[test]
fn the_first_of_very_many_bad_labels_is_named() {
    let bad: Vec<usize> = (1_003..200_000).collect();
    let data = Data::random(&[200_000, 2], 1).labelled(&bad, 3).labelled(&bad[..1], 2);
    for gpu in gpus() {
        for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
            let error = gpu.run(loss, &data.inputs(), Outputs::loss()).unwrap_err();
            let Error::BadTargets { count, first, value, .. } = error else { panic!("{error}") };
            assert_eq!((count, first, value), (198_997, 1_003, 2), "{}", gpu.name);
        }
    }
}

// ---- Options

#[test]
fn smoothing_may_be_all_there_is() {
    let rows = [[1.0, 2.0, 0.5, -1.0, 0.0], [0.0, 0.0, 3.0, 1.0, -2.0], [1.0, 1.0, 1.0, 1.0, 1.0]];
    let data = Data::rows(&rows, &[0, -100, 3]);
    let weighted = data.clone().weight(&[0.5, 0.0, 2.0, 1.0, 1.5]);
    for smoothing in [1.0, 0.5, 1e-6] {
        for data in [&data, &weighted] {
            for reduction in [Reduction::None, Reduction::Mean] {
                let loss = CrossEntropy::new().label_smoothing(smoothing).reduction(reduction);
                check(&format!("smoothing {smoothing}"), &loss, data, with_grad(), |seen| {
                    assert!(seen.output.loss[0] > 0.0, "{}", seen.what);
                });
            }
        }
    }
    // Every class counts alike: the label does not matter.
    let loss = unreduced().label_smoothing(1.0);
    for gpu in gpus() {
        let [a, b] = [0, 4].map(|label| {
            let data = Data::rows(&rows, &[label; 3]);
            data.on(gpu, &loss, Outputs::loss()).loss
        });
        assert_eq!(a, b, "{}", gpu.name);
        assert!((a[2] - 5f32.ln()).abs() < 1e-6, "{}", gpu.name);
    }
}

#[test]
fn a_class_without_weight_counts_for_nothing() {
    let rows = [[1.0, 2.0, 0.5], [0.0, 3.0, 1.0], [-1.0, 0.0, 1.0], [2.0, 2.0, 0.0]];
    let data = Data::rows(&rows, &[0, 1, 2, 1]).weight(&[1.5, 0.0, 0.25]);
    for loss in [&unreduced() as &dyn Loss, &unreduced_nll()] {
        check("weights", loss, &data, with_grad(), |seen| {
            for row in [1, 3] {
                assert_eq!(seen.output.loss[row], 0.0, "{}", seen.what);
                assert_eq!(seen.grad(row), [0.0; 3], "{}", seen.what);
            }
        });
    }
    for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
        check("weights", loss, &data, with_grad(), |seen| {
            assert_eq!((seen.output.summary.weight, seen.output.summary.live), (1.75, 4));
        });
    }
}

#[test]
fn an_upstream_gradient_scales_the_gradient_alone() {
    let data = Data::random(&[6, 7], 1).labelled(&[2], -100);
    let image = Data::random(&[2, 5, 4], 1).labelled(&[2], -100);
    for data in [data, image] {
        for upstream in [-4.0, 0.0, 0.3] {
            let scaled = data.clone().upstream(upstream);
            for reduction in [Reduction::Mean, Reduction::Sum, Reduction::BatchMean] {
                let losses: [&dyn Loss; 2] =
                    [&CrossEntropy::new().reduction(reduction), &Nll::new().reduction(reduction)];
                for loss in losses {
                    check(&format!("times {upstream}"), loss, &scaled, with_grad(), |seen| {
                        let grad = seen.output.grad.as_ref().unwrap();
                        let zero = grad.iter().all(|&g| g == 0.0);
                        assert_eq!(zero, upstream == 0.0, "{}", seen.what);
                    });
                }
            }
        }
        let gradients = (0..data.view.rows()).map(|row| row as f32 - 2.5).collect();
        let scaled = data.upstream_rows(gradients);
        for loss in [&unreduced() as &dyn Loss, &unreduced_nll()] {
            check("per row", loss, &scaled, with_grad(), |_| {});
        }
    }
}

#[test]
fn batchmean_divides_by_the_first_extent() {
    let loss = CrossEntropy::new().reduction(Reduction::BatchMean);
    for (shape, batch) in [(&[6, 7][..], 6.0), (&[2, 5, 4], 2.0)] {
        let data = Data::random(shape, 1).labelled(&[2], -100).random_weight();
        let sum = data.truth(&CrossEntropy::new().reduction(Reduction::Sum), Outputs::loss());
        check("batchmean", &loss, &data, with_grad(), |seen| {
            let wanted = sum.loss[0] / batch;
            let off = (f64::from(seen.output.loss[0]) - wanted).abs();
            assert!(off < 2e-6 * wanted, "{}", seen.what);
        });
    }
    // With no axis other than the classes' the batch is one.
    check("batchmean", &loss, &Data::random(&[9], 0), with_grad(), |_| {});
}

// ---- nll

#[test]
fn nll_takes_infinities_as_they_are_and_nan_as_nan() {
    let rows = [[-INF, 0.0], [INF, 0.0], [NAN, 0.0], [0.0, NAN], [-INF, -1.5]];
    let data = Data::rows(&rows, &[0, 0, 0, 0, 1]).weight(&[2.0, 4.0]);
    let loss = unreduced_nll();
    check("nll", &loss, &data, Outputs::loss(), |seen| {
        let wanted = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.0, 6.0];
        assert_close(&seen.what, &widened(&seen.output.loss), &wanted, Tolerance::EXACT);
        let summary = seen.output.summary;
        assert_eq!((summary.nonfinite, summary.first_nonfinite), (1, Some(2)), "{}", seen.what);
    });
    // A weight of 0 removes an infinity, but does not hide a NaN.
    check("nll", &loss, &data.weight(&[0.0, 4.0]), Outputs::loss(), |seen| {
        let wanted = [0.0, 0.0, f64::NAN, 0.0, 6.0];
        assert_close(&seen.what, &widened(&seen.output.loss), &wanted, Tolerance::EXACT);
    });
    // Infinities are added like numbers.
    let mean = Nll::new();
    for (labels, wanted) in [([0, 1], INF), ([1, 0], 0.0)] {
        let data = Data::rows(&[[-INF, 0.0], [0.0, -1.0]], &labels);
        check("nll", &mean, &data, with_grad(), |seen| {
            assert_eq!(seen.output.loss[0], wanted, "{}", seen.what);
        });
    }
    check("nll", &mean, &Data::rows(&[[-INF], [INF]], &[0, 0]), Outputs::loss(), |seen| {
        assert!(seen.output.loss[0].is_nan(), "{}", seen.what);
    });
}

#[test]
fn the_gradient_of_nll_does_not_depend_on_its_input() {
    let rows = [[-INF, 0.0], [NAN, 0.0], [0.0, NAN], [-1.0, -1.5]];
    let data = Data::rows(&rows, &[0, 0, 0, 1]).weight(&[2.0, 4.0]);
    check("nll", &unreduced_nll(), &data, with_grad(), |seen| {
        for row in 0..3 {
            assert_eq!(seen.grad(row), [-2.0, 0.0], "{}", seen.what);
        }
        assert_eq!(seen.grad(3), [0.0, -4.0], "{}", seen.what);
    });
}
