//! The f64 reference of cross-entropy's optional outputs, of the entropy, and of softmax gradients: compared with
//! PyTorch's answers and with differences, and tested for properties.

use support::answer::Answer;
use support::close::{Tolerance, assert_close};
use support::data::{Data, Target};
use support::extras::Extras;
use support::{fixtures_extras, fixtures_softmax};
use wgpu_loss::loss::Function;
use wgpu_loss::{
    CrossEntropy, EmptyMean, Entropy, Error, Inputs, LabelType, Loss, Nll, Output, Outputs,
    Reduction, RowColumn, Softmax, Tensor, reference,
};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

// ---- Known answers

/// PyTorch's float64 keeps each number to 1e-12 of itself, but for what logs and differences of
/// numbers near 1 leave, and differences of logits of up to 100, each good to 2^-53 of itself: 1.4e-14
/// at most, times weights and upstream gradients of up to 2 each, and twice the log-sum-exp of a z-loss.
const PYTORCH: Tolerance = Tolerance { relative: 1e-12, absolute: 1e-13 };

/// Cases calculated with many digits are compared to the last ones. `exp(-d)` at a distance of up to 100 is good to 100
/// times the few roundings in `d`, each 2^-53 of it: 5e-14. The differences from which gradients are made end at
/// 1e-118.
const EXACT_TRUTH: Tolerance = Tolerance { relative: 5e-14, absolute: 1e-110 };

fn optional(what: &str, got: &Option<Vec<f64>>, wanted: &Option<Vec<f64>>, tolerance: Tolerance) {
    assert_eq!(got.is_some(), wanted.is_some(), "{what}");
    if let (Some(got), Some(wanted)) = (got, wanted) {
        assert_close(what, got, wanted, tolerance);
    }
}

fn check(name: &str, got: &Answer, wanted: &Answer) {
    let exact = name.ends_with("_mpmath");
    let tolerance = if exact { EXACT_TRUTH } else { PYTORCH };
    assert_close(&format!("{name}: loss"), &got.loss, &wanted.loss, tolerance);
    optional(&format!("{name}: elements"), &got.elements, &wanted.elements, tolerance);
    optional(&format!("{name}: grad"), &got.grad, &wanted.grad, tolerance);
}

#[test]
fn softmax_and_entropy_are_pytorchs() {
    let cases = fixtures_softmax::load();
    assert!(cases.len() >= 70);
    for case in cases {
        let output = case.data.truth(&*case.loss(), case.outputs());
        check(&case.name, &Answer::from(&output), &case.truth);
    }
}

#[test]
fn extras_are_pytorchs() {
    let cases = fixtures_extras::load();
    assert!(cases.len() >= 80);
    for case in cases {
        let name = &case.name;
        let output = case.data.truth(&*case.loss(), case.outputs());
        check(name, &Answer::from(&output), &case.truth);
        let (got, wanted) = (Extras::from(&output), &case.extras);
        let tolerance = if name.ends_with("_mpmath") { EXACT_TRUTH } else { PYTORCH };
        assert_close(&format!("{name}: z-loss"), &got.z_loss, &wanted.z_loss, tolerance);
        // Outputs of rows are calculated with many digits in all cases, outputs of classes in none.
        // The log-sum-exp may be near 0 where its terms are not.
        let lse = Tolerance { relative: 5e-14, absolute: 1e-14 };
        optional(&format!("{name}: lse"), &got.rows.lse, &wanted.rows.lse, lse);
        optional(&format!("{name}: entropy"), &got.rows.entropy, &wanted.rows.entropy, EXACT_TRUTH);
        optional(
            &format!("{name}: variance"),
            &got.rows.variance,
            &wanted.rows.variance,
            EXACT_TRUTH,
        );
        optional(&format!("{name}: weights"), &got.rows.weights, &wanted.rows.weights, PYTORCH);
        assert_eq!(got.rows.argmax, wanted.rows.argmax, "{name}");
        assert_eq!(got.rows.rank, wanted.rows.rank, "{name}");
        assert_eq!((got.correct, got.top_k), (wanted.correct, wanted.top_k), "{name}");
        assert_eq!(got.classes.is_some(), wanted.classes.is_some(), "{name}");
        if let (Some(got), Some(wanted)) = (&got.classes, &wanted.classes) {
            assert_close(&format!("{name}: class losses"), &got.loss, &wanted.loss, PYTORCH);
            assert_eq!((&got.rows, &got.correct), (&wanted.rows, &wanted.correct), "{name}");
        }
    }
}

// ---- Gradients

/// Returns the differentiated function: loss and z-loss, or the distribution, summed with the upstream gradient.
fn value(data: &Data, loss: &dyn Loss) -> f64 {
    let mut outputs = Outputs::loss().with_grad();
    // The softmaxes alone need an upstream gradient for a gradient.
    let problem = loss.problem(&data.shapes(), outputs).unwrap();
    outputs.grad = problem.function == Function::Softmax;
    let output = data.truth(loss, outputs);
    if let Some(elements) = output.log_probs.or(output.probs) {
        let upstream = data.upstream_data().unwrap();
        return elements.iter().zip(upstream).map(|(y, &u)| y * f64::from(u)).sum();
    }
    let z_losses = output.z_loss.iter().copied().chain(std::iter::repeat(0.0));
    let total = |(row, (l, z)): (usize, (&f64, f64))| (l + z) * data.upstream_of(row);
    output.loss.iter().zip(z_losses).enumerate().map(total).sum()
}

/// Compares the gradient with the difference of six values at `h = 2^-7` from each other. All logits are
/// multiples of 1/1024, so that the points are exact in f32.
///
/// The difference is off by `h^6 / 140 = 1.6e-15` times a seventh derivative, which is below 1e4 for what
/// is used here (powers of `scale / cap` below 2 and weights below 8); the rounding of values below 256,
/// good to 2^-52 of themselves, adds at most 2e-11.
#[track_caller]
fn check_gradient(what: &str, loss: &dyn Loss, data: &Data) {
    let h = 1.0 / 128.0;
    let mut data = data.clone();
    data.input.iter_mut().for_each(|x| *x = (*x * 1024.0).round() / 1024.0);
    let stencil = [(3.0, 1.0), (2.0, -9.0), (1.0, 45.0), (-1.0, -45.0), (-2.0, 9.0), (-3.0, -1.0)];
    let slope = |element: usize| {
        let at = |step: f32| {
            let mut data = data.clone();
            data.input[element] += step * h;
            let value = value(&data, loss);
            assert!(value.abs() < 256.0, "{what}: {value}");
            value
        };
        stencil.iter().map(|&(step, factor)| factor * at(step)).sum::<f64>() / (60.0 * f64::from(h))
    };
    let differences: Vec<f64> = (0..data.input.len()).map(slope).collect();
    assert!(differences.iter().any(|d| d.abs() > 1e-3), "{what}: nothing to compare");
    let grad = data.truth(loss, Outputs::loss().with_grad()).grad.unwrap();
    assert_close(what, &grad, &differences, Tolerance::absolute(5e-11));
}

const REDUCTIONS: [Reduction; 4] =
    [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean];

const WEIGHT: [f32; 5] = [0.5, 1.5, 0.0, 2.0, 1.0];

/// A combination of cross-entropy's options and outputs.
struct Combination {
    name: String,
    loss: CrossEntropy,
    data: Data,
    reduction: Reduction,
    capped: bool,
}

/// Every combination, each with one of the reductions.
fn combinations() -> Vec<Combination> {
    let mut all = Vec::new();
    for bits in 0..128u32 {
        let on = |bit: u32| bits >> bit & 1 == 1;
        let reduction = REDUCTIONS[(bits.count_ones() + bits / 2) as usize % 4];
        let mut loss = CrossEntropy::new().reduction(reduction);
        let shape = if on(0) { &[2, 5, 3][..] } else { &[5, 5] };
        let mut data = Data::random(shape, 1);
        data = if on(1) { data.random_probabilities() } else { data.labelled(&[2], -100) };
        if on(2) {
            data = data.weight(&WEIGHT);
        }
        if on(3) {
            data = data.random_row_weights();
        }
        if on(4) {
            loss = loss.label_smoothing(0.25);
        }
        if on(5) {
            loss = loss.softcap(3.0).logit_scale(1.5);
        }
        if on(6) {
            loss = loss.z_loss(0.125);
        }
        data = match reduction {
            Reduction::None => data.random_upstream(),
            _ => data.upstream(-1.25),
        };
        let name = format!("combination {bits:07b} {reduction:?}");
        all.push(Combination { name, loss, data, reduction, capped: on(5) });
    }
    all
}

#[test]
fn gradient_of_every_combination_is_the_slope() {
    for Combination { name, loss, data, .. } in combinations() {
        check_gradient(&name, &loss, &data);
    }
}

#[test]
fn gradient_of_scale_and_cap_alone_is_the_slope() {
    for reduction in REDUCTIONS {
        let loss = CrossEntropy::new().reduction(reduction);
        check_gradient("scale", &loss.clone().logit_scale(0.5), &Data::random(&[4, 5], 1));
        check_gradient("cap", &loss.clone().softcap(2.0), &Data::random(&[4, 5], 1));
        check_gradient(
            "last axis",
            &loss.softcap(5.0).class_axis(-1),
            &Data::random(&[2, 3, 4], 2),
        );
    }
}

#[test]
fn gradient_of_the_entropy_is_the_slope() {
    for reduction in REDUCTIONS {
        let loss = Entropy::new().reduction(reduction);
        for (shape, axis) in [(&[4, 5][..], -1), (&[2, 5, 3], 1), (&[7], 0), (&[3, 4], 0)] {
            let data = alone(Data::random(shape, axis), axis);
            let what = format!("entropy {reduction:?} of {shape:?} along {axis}");
            check_gradient(&what, &loss.clone().axis(axis), &data);
            let data = match reduction {
                Reduction::None => data.random_upstream(),
                _ => data.upstream(3.0),
            };
            check_gradient(&what, &loss.clone().axis(axis), &data.random_row_weights());
        }
    }
}

#[test]
fn gradient_of_a_distribution_is_the_slope() {
    for (shape, axis) in [(&[4, 5][..], -1), (&[2, 5, 3], 1), (&[7], 0), (&[3, 4], 0)] {
        let data = alone(Data::random(shape, axis), axis).random_upstream_elements();
        let what = format!("{shape:?} along {axis}");
        check_gradient(&what, &Softmax::probs().axis(axis), &data);
        check_gradient(&what, &Softmax::log_probs().axis(axis), &data);
    }
}

#[test]
fn gradient_of_nll_with_row_weights_is_the_slope() {
    for reduction in REDUCTIONS {
        let data = Data::random(&[9, 5], 1).weight(&WEIGHT).random_row_weights();
        check_gradient("nll", &Nll::new().reduction(reduction), &data);
    }
}

/// Returns the same data without a target.
fn alone(data: Data, axis: isize) -> Data {
    let shape = data.shape().to_vec();
    Data::new(&shape, axis, data.input)
}

// ---- Properties

/// Returns all outputs that a loss can give in addition.
fn of_any_target() -> Outputs {
    let outputs = Outputs::loss().with_lse().with_argmax().with_entropy().with_row_weights();
    outputs.with_variance().with_grad().with_log_probs()
}

/// Returns all outputs that a loss with labels can give in addition.
fn everything() -> Outputs {
    of_any_target().with_rank().with_accuracy().with_top_k(3).with_class_losses()
}

/// Returns all outputs that this data can give.
fn all_of(data: &Data) -> Outputs {
    if data.label(0).is_some() { everything() } else { of_any_target() }
}

/// Returns the bits of all numbers of an output that stay the same if only the order of summation changes.
fn bits(output: &Output<f64>) -> Vec<Vec<u64>> {
    let parts =
        [Some(&output.loss), Some(&output.z_loss), output.grad.as_ref(), output.log_probs.as_ref()];
    let parts = parts.into_iter().map(|part| part.map_or(&[][..], |part| part));
    let of_rows = output.rows.columns().filter_map(|(_, column)| match column {
        RowColumn::Numbers(numbers) => Some(numbers),
        RowColumn::Words(_) => None,
    });
    parts.chain(of_rows).map(|part| part.iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn a_scale_of_two_is_logits_times_two() {
    for Combination { name, loss, data, capped, .. } in combinations() {
        if capped {
            continue;
        }
        let mut doubled = data.clone();
        doubled.input.iter_mut().for_each(|x| *x *= 2.0);
        let outputs = all_of(&data);
        let got = data.truth(&loss.clone().logit_scale(2.0), outputs);
        let mut wanted = doubled.truth(&loss, outputs);
        wanted.grad.iter_mut().flatten().for_each(|g| *g *= 2.0);
        assert_eq!(bits(&got), bits(&wanted), "{name}");
        assert_eq!((got.rows, got.classes), (wanted.rows, wanted.classes), "{name}");
        assert_eq!(got.summary, wanted.summary, "{name}");
    }
}

#[test]
fn a_z_loss_stands_apart() {
    for Combination { name, loss, data, .. } in combinations() {
        let outputs = all_of(&data);
        let without = data.truth(&loss.clone().z_loss(0.0), outputs);
        let with = data.truth(&loss.clone().z_loss(0.5), outputs);
        assert!(without.z_loss.is_empty(), "{name}");
        assert_eq!((&with.loss, &with.rows), (&without.loss, &without.rows), "{name}");
        assert_eq!((&with.classes, with.summary), (&without.classes, without.summary), "{name}");
        // Of each row it is 0.5 w lse^2, reduced as the weights are.
        let (lse, weights) = (with.rows.lse.as_ref().unwrap(), with.rows.weights.as_ref().unwrap());
        let of_rows: Vec<f64> = lse.iter().zip(weights).map(|(l, w)| 0.5 * w * l * l).collect();
        let sum: f64 = of_rows.iter().sum();
        let batch = data.shape()[0] as f64;
        let plain = data.without_upstream();
        let loss = loss.z_loss(0.5);
        let reduced = |reduction| plain.truth(&loss.clone().reduction(reduction), Outputs::loss());
        let unreduced = reduced(Reduction::None);
        assert_close(&name, &unreduced.z_loss, &of_rows, Tolerance::relative(1e-15));
        for (reduction, divisor) in [
            (Reduction::Sum, 1.0),
            (Reduction::Mean, with.summary.weight),
            (Reduction::BatchMean, batch),
        ] {
            assert_close(
                &name,
                &reduced(reduction).z_loss,
                &[sum / divisor],
                Tolerance::relative(1e-14),
            );
        }
    }
}

#[test]
fn a_row_of_weight_zero_is_an_ignored_row() {
    for Combination { name, loss, data, .. } in combinations() {
        if data.label(0).is_none() || data.row_weights.is_some() {
            continue;
        }
        let rows = data.view.rows();
        let some: Vec<usize> = (0..rows).filter(|row| row % 3 == 1).collect();
        let weight = |row| if some.contains(&row) { 0.0 } else { 1.0 };
        let weighed = data.clone().row_weights((0..rows).map(weight).collect());
        let weighed = weighed.labelled(&some, i64::MAX);
        let ignored = data.labelled(&some, -100);
        let outputs = everything();
        let (got, wanted) = (weighed.truth(&loss, outputs), ignored.truth(&loss, outputs));
        assert_eq!(bits(&got), bits(&wanted), "{name}");
        assert_eq!((got.rows, got.classes), (wanted.rows, wanted.classes), "{name}");
        assert_eq!(got.summary, wanted.summary, "{name}");
        assert!(got.summary.ignored() >= some.len() as u64);
    }
}

#[test]
fn whole_row_weights_are_rows_repeated() {
    let times = [2usize, 1, 3, 1, 1];
    let again = |values: &[f32]| -> Vec<f32> {
        let rows = values.chunks(values.len() / 5).zip(times);
        rows.flat_map(|(row, times)| row.repeat(times)).collect()
    };
    for reduction in [Reduction::Mean, Reduction::Sum] {
        for soft in [false, true] {
            let data = Data::random(&[5, 5], 1).weight(&WEIGHT);
            let data = if soft { data.random_probabilities() } else { data };
            let mut repeated = Data::new(&[8, 5], 1, again(&data.input)).weight(&WEIGHT);
            repeated = match &data.target {
                Target::Probabilities(q) => repeated.probabilities(again(q)),
                _ => {
                    let labels =
                        (0..5).flat_map(|row| vec![data.label(row).unwrap() as i64; times[row]]);
                    repeated.labels(LabelType::I64, &labels.collect::<Vec<_>>())
                }
            };
            let weighed = data.row_weights(times.map(|t| t as f32).to_vec());
            let loss = CrossEntropy::new().reduction(reduction).label_smoothing(0.1).z_loss(0.25);
            let (got, wanted) =
                (weighed.truth(&loss, Outputs::loss()), repeated.truth(&loss, Outputs::loss()));
            let tolerance = Tolerance::relative(2e-15);
            assert_close("loss", &got.loss, &wanted.loss, tolerance);
            assert_close("z-loss", &got.z_loss, &wanted.z_loss, tolerance);
            assert_eq!(got.summary.weight, wanted.summary.weight);
        }
    }
}

#[test]
fn records_say_what_the_distribution_says() {
    for Combination { name, loss, data, .. } in combinations() {
        let output = data.truth(&loss, all_of(&data));
        let (view, rows) = (data.view, &output.rows);
        let log_probs = output.log_probs.as_ref().unwrap();
        for row in 0..view.rows() {
            let class = |class| log_probs[view.row_start(row) + class * view.inner];
            let entropy: f64 = (0..view.classes).map(|c| -class(c) * class(c).exp()).sum();
            let of_row = rows.entropy.as_ref().unwrap()[row];
            assert!((of_row - entropy).abs() < 4e-15, "{name}: entropy of {row}");
            let square = |c| class(c).exp() * (class(c) + entropy).powi(2);
            let variance: f64 = (0..view.classes).map(square).sum();
            let of_row = rows.variance.as_ref().unwrap()[row];
            assert!(
                (of_row - variance).abs() < 4e-14 * (1.0 + variance),
                "{name}: variance of {row}"
            );
            let argmax = (0..view.classes).rev().max_by(|&a, &b| class(a).total_cmp(&class(b)));
            assert_eq!(rows.argmax.as_ref().unwrap()[row] as usize, argmax.unwrap(), "{name}");
            let Some(rank) = &rows.rank else { continue };
            match data.label(row).map(usize::try_from) {
                // Rows of weight 0 have labels that are no classes.
                Some(Ok(label)) if label < view.classes => {
                    let before = (0..view.classes).filter(|&c| {
                        class(c) > class(label) || (class(c) == class(label) && c < label)
                    });
                    assert_eq!(rank[row] as usize, before.count(), "{name}");
                }
                _ => assert_eq!(rank[row], u32::MAX, "{name}"),
            }
        }
        if let Some(rank) = &rows.rank {
            let below = |k| rank.iter().filter(|&&rank| rank < k).count() as u64;
            assert_eq!(
                (output.summary.correct, output.summary.top_k),
                (below(1), below(3)),
                "{name}"
            );
            assert!(output.summary.correct > 0 || output.summary.top_k > 0, "{name}");
        }
    }
}

#[test]
fn losses_of_classes_are_the_losses_of_their_rows() {
    for Combination { name, loss, data, .. } in combinations() {
        let Some(_) = data.label(0) else { continue };
        let asked = Outputs::loss().with_class_losses().with_row_weights();
        let data = data.without_upstream();
        let rows = data.truth(&loss.clone().reduction(Reduction::None), Outputs::loss()).loss;
        for reduction in REDUCTIONS {
            let loss = loss.clone().reduction(reduction);
            let output = data.truth(&loss, asked);
            let classes = output.classes.unwrap();
            let mut wanted = (vec![0.0; 5], vec![0; 5]);
            for (row, &l) in rows.iter().enumerate() {
                let zero = data.row_weights.as_ref().is_some_and(|r| r[row] == 0.0);
                if let (Ok(label), false) = (usize::try_from(data.label(row).unwrap()), zero) {
                    wanted.0[label] += l;
                    wanted.1[label] += 1;
                }
            }
            assert_eq!((classes.loss, classes.rows), wanted, "{name}");
            assert_eq!(output.summary.live, wanted.1.iter().sum::<u64>(), "{name}");
        }
    }
    // The gather has them as well.
    let data = Data::random(&[9, 5], 1).weight(&WEIGHT).random_row_weights();
    let output =
        data.truth(&Nll::new().reduction(Reduction::Sum), Outputs::loss().with_class_losses());
    let classes = output.classes.unwrap();
    assert!((classes.loss.iter().sum::<f64>() - output.loss[0]).abs() < 1e-14);
    assert_eq!(classes.rows.iter().sum::<u64>(), output.summary.live);
}

#[test]
fn ranges_of_outer_steps_make_the_whole() {
    for Combination { name, loss, data, reduction, .. } in combinations() {
        if reduction != Reduction::None && reduction != Reduction::Sum {
            continue;
        }
        let outputs = all_of(&data);
        let whole = data.truth(&loss, outputs);
        let mut parts: Vec<Output<f64>> = Vec::new();
        for step in 0..data.view.outer {
            parts.push(data.step(step).truth(&loss, outputs));
        }
        let joined = |part: fn(&Output<f64>) -> Option<&Vec<f64>>| -> Vec<f64> {
            parts.iter().flat_map(|output| part(output).unwrap()).copied().collect()
        };
        assert_eq!(&joined(|o| o.grad.as_ref()), whole.grad.as_ref().unwrap(), "{name}");
        assert_eq!(&joined(|o| o.rows.lse.as_ref()), whole.rows.lse.as_ref().unwrap(), "{name}");
        assert_eq!(&joined(|o| o.rows.weights.as_ref()), whole.rows.weights.as_ref().unwrap());
        assert_eq!(parts.iter().map(|o| o.summary.correct).sum::<u64>(), whole.summary.correct);
        let (loss, z_loss) = (joined(|o| Some(&o.loss)), joined(|o| Some(&o.z_loss)));
        if reduction == Reduction::None {
            assert_eq!((loss, z_loss), (whole.loss, whole.z_loss), "{name}");
        } else {
            let sums = |parts: Vec<f64>| {
                parts.chunks(data.view.outer).map(|p| p.iter().sum()).collect::<Vec<f64>>()
            };
            let tolerance = Tolerance::relative(2e-15);
            assert_close(&name, &sums(loss), &whole.loss, tolerance);
            assert_close(&name, &sums(z_loss), &whole.z_loss, tolerance);
        }
    }
}

#[test]
fn a_shift_leaves_the_entropy_and_moves_the_log_sum_exp() {
    let data = alone(Data::random(&[6, 5], 1), 1);
    let asked = Outputs::loss().with_grad().with_lse().with_argmax();
    let mut data = data;
    data.input.iter_mut().for_each(|x| *x = (*x * 1024.0).round() / 1024.0);
    let wanted = data.truth(&Entropy::new(), asked);
    let mut shifted = data.clone();
    shifted.input.iter_mut().for_each(|x| *x += 1000.0);
    let got = shifted.truth(&Entropy::new(), asked);
    assert_eq!(
        (got.loss, got.grad, got.rows.argmax),
        (wanted.loss, wanted.grad, wanted.rows.argmax)
    );
    let lse = wanted.rows.lse.unwrap().iter().map(|lse| lse + 1000.0).collect::<Vec<_>>();
    assert_close("lse", &got.rows.lse.unwrap(), &lse, Tolerance::absolute(2e-13));
}

#[test]
fn the_entropy_is_what_cross_entropy_with_its_own_distribution_is() {
    let data = alone(Data::random(&[6, 5], 1).holes(), 1);
    let entropy =
        data.truth(&Entropy::new().reduction(Reduction::None), Outputs::loss().with_entropy());
    assert_eq!(entropy.loss, entropy.rows.entropy.unwrap());
    let p = data.truth(&Softmax::probs(), Outputs::loss()).probs.unwrap();
    let data = data.probabilities(p.iter().map(|&p| p as f32).collect());
    let loss = CrossEntropy::new().reduction(Reduction::None);
    // The probabilities are rounded to f32.
    assert_close(
        "entropy",
        &entropy.loss,
        &data.truth(&loss, Outputs::loss()).loss,
        Tolerance::relative(6e-8),
    );
}

// ---- Edges

#[test]
fn nothing_there() {
    let rows = |labels: &[i64]| Data::rows(&[[0.0, 1.0], [2.0, 3.0]], labels);
    let ignored = rows(&[-100, -100]);
    let weightless = rows(&[0, 77]).row_weights(vec![0.0, 0.0]);
    let soft = rows(&[0, 0]).probabilities(vec![0.5; 4]).row_weights(vec![0.0, 0.0]);
    let loss = CrossEntropy::new().z_loss(0.5).softcap(4.0);
    for data in [&ignored, &weightless, &soft] {
        let output = data.truth(&loss, Outputs::loss().with_grad().with_row_weights());
        assert!(output.loss[0].is_nan() && output.z_loss[0].is_nan());
        assert_eq!(output.grad.unwrap(), [0.0; 4]);
        assert_eq!(output.rows.weights.unwrap(), [0.0; 2]);
        assert_eq!((output.summary.live, output.summary.ignored()), (0, 2));
        let output = data.truth(&loss.clone().empty_mean(EmptyMean::Zero), Outputs::loss());
        assert_eq!((output.loss, output.z_loss), (vec![0.0], vec![0.0]));
        let output = data.truth(&loss.clone().reduction(Reduction::Sum), Outputs::loss());
        assert_eq!((output.loss, output.z_loss), (vec![0.0], vec![0.0]));
    }
    let empty = alone(weightless.clone(), 1).row_weights(vec![0.0, 0.0]);
    let output = empty.truth(&Entropy::new(), Outputs::loss().with_grad());
    assert!(output.loss[0].is_nan());
    assert_eq!(output.grad.unwrap(), [0.0; 4]);
    let output = empty.truth(&Entropy::new().empty_mean(EmptyMean::Zero), Outputs::loss());
    assert_eq!(output.loss, [0.0]);
}

#[test]
fn no_classes() {
    let nothing: [f32; 0] = [];
    let shape = [2, 0];
    let inputs = Inputs::new(Tensor::new(&nothing, &shape));
    let soft = inputs.probabilities(Tensor::new(&nothing, &shape));
    let weights = [0.0, 2.0];
    let weighed = soft.row_weights(Tensor::new(&weights, &[2]));
    let asked =
        Outputs::loss().with_grad().with_lse().with_argmax().with_entropy().with_row_weights();
    let output = reference::run(&CrossEntropy::new().z_loss(1.0), &weighed, asked).unwrap();
    assert_eq!((output.loss, output.z_loss), (vec![0.0], vec![0.0]));
    assert_eq!(output.rows.lse.unwrap(), [f64::NEG_INFINITY; 2]);
    assert_eq!(output.rows.entropy.unwrap(), [0.0; 2]);
    assert_eq!(output.rows.argmax.unwrap(), [u32::MAX; 2]);
    assert_eq!(output.rows.weights.unwrap(), [0.0, 2.0]);
    assert_eq!((output.summary.live, output.summary.weight), (1, 2.0));
    let output = reference::run(&Entropy::new(), &inputs, asked).unwrap();
    assert_eq!((output.loss, output.grad), (vec![0.0], Some(vec![])));
    assert_eq!(output.rows.weights.unwrap(), [1.0; 2]);
    let upstream = inputs.upstream(Tensor::new(&nothing, &shape));
    let output = reference::run(&Softmax::probs(), &upstream, Outputs::loss().with_grad()).unwrap();
    assert_eq!((output.probs, output.grad), (Some(vec![]), Some(vec![])));
}

#[test]
fn one_class_is_certain() {
    let data = Data::rows(&[[5.0], [-3.0]], &[0, 0]);
    let output = data.truth(&CrossEntropy::new().z_loss(0.5), everything());
    assert_eq!((output.loss, output.z_loss), (vec![0.0], vec![(0.5 * 25.0 + 0.5 * 9.0) / 2.0]));
    // Half of 2 * 0.5 * lse, and nothing from the loss.
    assert_eq!(output.grad.unwrap(), [2.5, -1.5]);
    assert_eq!((output.rows.lse, output.rows.entropy), (Some(vec![5.0, -3.0]), Some(vec![0.0; 2])));
    assert_eq!(output.rows.variance, Some(vec![0.0; 2]));
    assert_eq!((output.rows.argmax, output.rows.rank), (Some(vec![0; 2]), Some(vec![0; 2])));
    assert_eq!((output.summary.correct, output.summary.top_k), (2, 2));
}

#[test]
fn an_entropy_of_infinities() {
    let rows = [[0.0, -INF, 0.0], [NAN, 0.0, 1.0], [-INF; 3], [INF, 0.0, 1.0], [3.0, -INF, -INF]];
    let data = alone(Data::rows(&rows, &[0; 5]), 1);
    let loss = Entropy::new().reduction(Reduction::None);
    let output = data.truth(&loss, Outputs::loss().with_grad());
    let (nan, ln2) = (f64::NAN, std::f64::consts::LN_2);
    assert_close("loss", &output.loss, &[ln2, nan, nan, nan, 0.0], Tolerance::EXACT);
    let grad = output.grad.unwrap();
    assert_eq!(grad[..3], [0.0; 3]);
    assert!(grad[3..12].iter().all(|g| g.is_nan()));
    assert_eq!(grad[12..], [0.0; 3]);
    assert_eq!((output.summary.nonfinite, output.summary.first_nonfinite), (3, Some(1)));
    // A row that is left out has a gradient of 0, whatever is in it.
    let output =
        data.row_weights(vec![1.0, 0.0, 0.0, 0.0, 1.0]).truth(&loss, Outputs::loss().with_grad());
    assert_close("loss", &output.loss, &[ln2, 0.0, 0.0, 0.0, 0.0], Tolerance::EXACT);
    assert!(output.grad.unwrap().iter().all(|&g| g == 0.0));
    assert_eq!(output.summary.nonfinite, 0);
}

#[test]
fn a_soft_cap_makes_infinities_finite() {
    let rows = [[0.0, -INF, 0.0], [INF, INF, -INF], [-INF; 3], [NAN, 0.0, 1.0]];
    let data = Data::rows(&rows, &[1, 2, 0, 0]);
    let loss = CrossEntropy::new().softcap(2.0).logit_scale(0.5).reduction(Reduction::None);
    let output = data.truth(&loss, everything());
    let e = |z: f64| z.exp();
    let first = (1.0 + 2.0 * e(1.0)).ln();
    let second = (1.0 + 2.0 * e(2.0)).ln();
    let tolerance = Tolerance::relative(1e-15);
    assert_close("loss", &output.loss, &[first, second, 3f64.ln(), f64::NAN], tolerance);
    assert_eq!(output.rows.argmax.unwrap(), [0, 0, 0, u32::MAX]);
    assert_eq!(output.rows.rank.unwrap(), [2, 2, 0, u32::MAX]);
    let grad = output.grad.unwrap();
    // At the cap the slope is 0.
    assert_eq!(grad[1], 0.0);
    assert_eq!(grad[3..9], [0.0; 6]);
    assert!(grad[0] > 0.0 && grad[9..].iter().all(|g| g.is_nan()));
    assert_eq!(output.summary.nonfinite, 1);
}

#[test]
fn the_largest_logits_do_not_overflow() {
    let data = Data::rows(&[[f32::MAX, f32::MIN]], &[1]);
    let loss = CrossEntropy::new().logit_scale(f32::MAX);
    let output = data.truth(&loss, Outputs::loss().with_grad().with_entropy().with_variance());
    let max = f64::from(f32::MAX);
    assert_eq!(output.loss, [2.0 * max * max]);
    assert_eq!(output.grad.unwrap(), [max, -max]);
    assert_eq!(output.rows.entropy.unwrap(), [0.0]);
    assert_eq!(output.rows.variance.unwrap(), [0.0]);
    for cap in [f32::MIN_POSITIVE, 1e-3, f32::MAX] {
        let output = data.truth(&loss.clone().softcap(cap), Outputs::loss().with_grad());
        assert!(output.loss[0].is_finite() && output.grad.unwrap().iter().all(|g| g.is_finite()));
    }
}

// ---- Refusals

#[test]
fn what_does_not_fit_is_refused() {
    let data = Data::random(&[4, 5], 1);
    let soft = data.clone().random_probabilities();
    let option = |loss: &dyn Loss, data: &Data, outputs: Outputs| match reference::run(
        loss,
        &data.inputs(),
        outputs,
    ) {
        Err(Error::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    let (loss, plain) = (CrossEntropy::new(), Outputs::loss());
    for bad in [0.0, -1.0, NAN, INF] {
        assert_eq!(option(&loss.clone().logit_scale(bad), &data, plain), "logit_scale");
        assert_eq!(option(&loss.clone().softcap(bad), &data, plain), "softcap");
    }
    for bad in [NAN, INF] {
        assert_eq!(option(&loss.clone().z_loss(bad), &data, plain), "z_loss");
    }
    for (outputs, name) in [
        (plain.with_rank(), "rank"),
        (plain.with_accuracy(), "accuracy"),
        (plain.with_top_k(2), "top_k"),
        (plain.with_class_losses(), "class_losses"),
    ] {
        assert_eq!(option(&loss, &soft, outputs), name);
    }
    assert_eq!(option(&Nll::new(), &data, plain.with_lse()), "lse");
    let distribution = alone(data.clone(), 1);
    assert_eq!(option(&Entropy::new(), &distribution, plain.with_rank()), "rank");
    assert_eq!(option(&Softmax::probs(), &distribution, plain.with_row_weights()), "row_weights");
    assert_eq!(option(&Softmax::probs(), &distribution, plain.with_grad()), "upstream gradient");

    let short = data.clone().row_weights(vec![1.0; 3]);
    let error = reference::run(&loss, &short.inputs(), plain).unwrap_err();
    assert!(matches!(error, Error::Length { what: "row weights", given: 3, wanted: 4, .. }));
    let weights = [1.0; 4];
    let inputs = data.inputs().row_weights(Tensor::new(&weights, &[2, 2]));
    let error = reference::run(&loss, &inputs, plain).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "row weights", .. }));
    // A label is validated only if its row has weight.
    let bad = data.labelled(&[1, 2], 99).row_weights(vec![1.0, 0.0, 1.0, 1.0]);
    let error = reference::run(&loss, &bad.inputs(), plain).unwrap_err();
    assert!(matches!(error, Error::BadTargets { count: 1, first: 2, value: 99, .. }));
}
