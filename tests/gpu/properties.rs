//! Properties of any loss on any device, whatever its value.

use std::rc::Rc;

use support::answer::{Answer, bits, widened};
use support::close::{Tolerance, assert_close};
use support::data::{Data, Target};
use support::embedded::{Embedded, Place, submit};
use support::gpus::{TestGpu, gpus, in_turn};
use support::rounding::{Rounding, UNIT, UNITS};
use wgpu_loss::{
    CrossEntropy, Gpu, LabelType, Loss, Nll, Output, Outputs, Profile, Reduction, Softmax,
};

/// A loss, its inputs, and the requested outputs.
#[derive(Clone)]
struct Call {
    name: &'static str,
    loss: Rc<dyn Loss>,
    data: Data,
    outputs: Outputs,
}

impl Call {
    fn new(name: &'static str, loss: impl Loss + 'static, data: Data, outputs: Outputs) -> Self {
        Self { name, loss: Rc::new(loss), data, outputs }
    }

    /// Returns the same loss of other data.
    fn of(&self, data: Data) -> Self {
        Self { data, ..self.clone() }
    }

    fn on(&self, gpu: &Gpu) -> Output<f32> {
        self.data.on(gpu, &*self.loss, self.outputs)
    }

    fn embedded<'a>(&self, gpu: &'a Gpu, place: Place) -> Embedded<'a> {
        self.embedded_for(gpu.kernels().profile(), gpu, place)
    }

    /// Planned for another profile than the device's own.
    fn embedded_for<'a>(&self, profile: &Profile, gpu: &'a Gpu, place: Place) -> Embedded<'a> {
        let plan = self.data.plan(&*self.loss, self.outputs, profile);
        Embedded::new(gpu, &self.data, plan, place)
    }

    fn truth(&self) -> Answer {
        Answer::from(&self.data.truth(&*self.loss, self.outputs))
    }

    fn rounding(&self) -> Rounding<'_> {
        Rounding::new(&*self.loss, &self.data, self.outputs)
    }
}

fn unreduced() -> CrossEntropy {
    CrossEntropy::new().reduction(Reduction::None)
}

/// Rows of neighbouring classes, some of them ignored.
fn matrix(rows: usize, classes: usize) -> Data {
    let data = Data::random(&[rows, classes], 1).holes();
    data.labelled(&[1, rows / 2], -100).labels_as(LabelType::I32)
}

/// Rows that are neighbours, some of them ignored.
fn image(classes: usize, pixels: usize) -> Data {
    let data = Data::random(&[5, classes, pixels], 1).holes();
    data.labelled(&[1, pixels + 1], -100).labels_as(LabelType::I32)
}

/// Returns the same data without a target.
fn alone(data: Data) -> Data {
    let shape = data.shape().to_vec();
    Data::new(&shape, 1, data.input)
}

/// Calls that between them run every kernel, with narrow and wide loads and one lane or several per
/// row.
fn calls() -> Vec<Call> {
    let grad = Outputs::loss().with_grad();
    let all = grad.with_log_probs();
    let smooth = CrossEntropy::new().label_smoothing(0.1);
    let solid = Data::random(&[40, 130], 1).random_weight().labels_as(LabelType::I32);
    let nll = Nll::new().reduction(Reduction::None);
    let log_probs = Softmax::log_probs().axis(1);
    vec![
        Call::new("narrow rows", CrossEntropy::new(), matrix(133, 7), grad),
        Call::new("wide rows", unreduced(), matrix(133, 8).random_upstream(), all),
        Call::new("long rows", unreduced(), matrix(20, 999), grad),
        Call::new("long wide rows", CrossEntropy::new(), matrix(20, 1000).upstream(3.0), all),
        Call::new("forward", CrossEntropy::new(), matrix(133, 300), Outputs::loss()),
        Call::new("columns", CrossEntropy::new(), image(6, 37).random_weight(), grad),
        Call::new("wide columns", unreduced(), image(5, 64), all),
        Call::new("large vocabulary", unreduced(), image(16_500, 3), grad),
        Call::new("short rows", unreduced(), matrix(136, 10).random_upstream(), all),
        Call::new("short smoothing", smooth.clone(), matrix(64, 9).random_weight(), all),
        Call::new("short probabilities", unreduced(), matrix(72, 12).random_probabilities(), grad),
        Call::new("few long rows", unreduced(), matrix(9, 70_000), all),
        Call::new("few ragged rows", smooth.clone(), matrix(9, 66_001).random_weight(), all),
        Call::new("smoothing", smooth, solid.clone(), grad),
        Call::new("probabilities", unreduced(), matrix(40, 132).random_probabilities(), grad),
        Call::new("nll", Nll::new(), solid, grad),
        Call::new("nll rows", nll, image(5, 30), grad),
        Call::new("probs", Softmax::probs(), alone(matrix(50, 260)), Outputs::loss()),
        Call::new("log-probs", log_probs, alone(image(9, 20)), Outputs::loss()),
    ]
}

// ---- Memory

#[test]
fn every_element_is_written_and_nothing_else() {
    for call in calls() {
        for gpu in in_turn() {
            let what = format!("{} on {}", call.name, gpu.name);
            let results = call.embedded(gpu, Place::default()).run();
            call.rounding().check(&what, &results.answer(), &call.truth());
        }
    }
}

#[test]
fn rows_without_a_result_are_written_too() {
    for call in calls() {
        for gpu in in_turn() {
            let mut data = call.data.clone();
            let view = data.view;
            let elements =
                |row| (0..view.classes).map(move |class| view.row_start(row) + class * view.inner);
            for (row, value) in [(0, f32::NEG_INFINITY), (3, f32::NAN), (4, f32::INFINITY)] {
                elements(row).for_each(|element| data.input[element] = value);
            }
            let mut bad = false;
            if let Target::Labels(labels) = &data.target {
                let label = |(row, label)| if row == 5 { 77_777 } else { label as i64 };
                let labels: Vec<i64> = labels.iter().enumerate().map(label).collect();
                data = data.labels(LabelType::I32, &labels);
                bad = true;
            }
            let call = call.of(data);
            let what = format!("{} on {}", call.name, gpu.name);
            // This checks that nothing stayed poisoned.
            let results = call.embedded(gpu, Place::default()).run();
            let summary = results.summary;
            assert_eq!(summary.bad, u64::from(bad), "{what}");
            assert_eq!(summary.first_bad, bad.then_some((5, 77_777)), "{what}");
            let nan = |word: u32| f32::from_bits(word).is_nan();
            let nans = |words: &[u32], row| elements(row).all(|element| nan(words[element]));
            if let Some(grad) = &results.grad {
                // The gradient of nll does not depend on its input.
                assert!(nans(grad, 3) || call.name.starts_with("nll"), "{what}: gradient");
                assert!(nans(grad, 5) || !bad, "{what}: gradient of a bad label");
            }
            if let Some(elements) = &results.elements {
                assert!([0, 3, 4].iter().all(|&row| nans(elements, row)), "{what}: elements");
            }
            if let Some(rows) = &results.rows {
                assert!(nan(rows[3]) && (nan(rows[5]) || !bad), "{what}: loss");
            }
            assert!(results.reduced.is_none_or(nan), "{what}: reduced loss");
        }
    }
}

#[test]
fn tensors_may_start_at_any_word() {
    for call in calls() {
        for gpu in in_turn() {
            let (rounding, truth) = (call.rounding(), call.truth());
            for lead in [1, 2, 3, 4, 63, 64, 65, 68] {
                let what = format!("{} at word {lead} on {}", call.name, gpu.name);
                let results =
                    call.embedded(gpu, Place { lead, in_place: false, ..Place::default() }).run();
                rounding.check(&what, &results.answer(), &truth);
            }
        }
    }
}

#[test]
fn no_rows_are_no_work() {
    let nll = Nll::new();
    let outputs = Outputs::loss().with_grad();
    for gpu in gpus() {
        for shape in [&[0, 5][..], &[0, 8], &[3, 5, 0], &[0, 5, 4]] {
            let data = Data::random(shape, 1);
            for (loss, reduced) in
                [(&CrossEntropy::new() as &dyn Loss, true), (&nll, true), (&unreduced(), false)]
            {
                let plan = data.plan(loss, outputs, gpu.kernels().profile());
                let results =
                    Embedded::new(gpu, &data, plan, Place { lead: 1, ..Place::default() }).run();
                let what = format!("{shape:?} on {}", gpu.name);
                let loss = results.reduced.map(f32::from_bits);
                assert_eq!(loss.is_some_and(f32::is_nan), reduced, "{what}");
                assert_eq!(results.rows, (!reduced).then(Vec::new), "{what}");
                assert_eq!(results.grad, Some(vec![]), "{what}");
                assert_eq!((results.summary.rows, results.summary.live), (0, 0), "{what}");
            }
        }
    }
}

#[test]
fn labels_of_any_type_may_start_at_any_word() {
    for label_type in LabelType::ALL {
        for gpu in in_turn() {
            let data = Data::random(&[37, 5], 1).labels_as(label_type);
            let call = Call::new("nll", Nll::new(), data, Outputs::loss().with_grad());
            for lead in [0, 1, 2, 3, 65] {
                let what = format!("{label_type:?} at word {lead} on {}", gpu.name);
                let results =
                    call.embedded(gpu, Place { lead, in_place: false, ..Place::default() }).run();
                call.rounding().check(&what, &results.answer(), &call.truth());
            }
        }
    }
}

#[test]
fn one_buffer_may_hold_all_tensors() {
    for call in calls() {
        for gpu in in_turn() {
            for (lead, in_place) in [(0, false), (3, false), (0, true)] {
                if in_place && !call.outputs.grad {
                    continue;
                }
                let place = Place { lead, in_place, arena: true };
                let what = format!("{} in an arena, {place:?}, on {}", call.name, gpu.name);
                let results = call.embedded(gpu, place).run();
                call.rounding().check(&what, &results.answer(), &call.truth());
            }
        }
    }
}

#[test]
fn a_gradient_in_place_is_the_same() {
    for call in calls().into_iter().filter(|call| call.outputs.grad) {
        for gpu in in_turn() {
            // Wide loads need tensors that start on 16 bytes; at word 1 they are given up.
            for lead in [0, 1] {
                let what = format!("{} at word {lead} on {}", call.name, gpu.name);
                let separate =
                    call.embedded(gpu, Place { lead, in_place: false, ..Place::default() }).run();
                let over =
                    call.embedded(gpu, Place { lead, in_place: true, ..Place::default() }).run();
                // Two kernels, in which a compiler may fuse other products and sums.
                let (got, wanted) = (over.answer(), separate.answer());
                call.rounding().between_two().check(&what, &got, &wanted);
                assert_eq!(over.summary, separate.summary, "{what}");
                call.rounding().check(&what, &got, &call.truth());
            }
        }
    }
}

// ---- Layouts of lanes

#[test]
fn rows_may_be_laid_out_as_for_another_device() {
    let outputs = Outputs::loss().with_grad();
    // As a graphics card would: large groups, up to 256 lanes for a row, many groups that walk together.
    let card =
        |gpu: &Gpu| gpu.kernels().profile().clone().with_device_type(wgpu::DeviceType::DiscreteGpu);
    // As a small device would: groups of 16.
    let small = |gpu: &Gpu| {
        let mut small = card(gpu);
        small.limits.max_compute_invocations_per_workgroup = 16;
        small
    };
    let check = |gpu: &TestGpu, what: &str, profile: &Profile, call: &Call| {
        let what = format!("{}, {:?}, for a {what} on {}", call.name, call.data.shape(), gpu.name);
        let results = call.embedded_for(profile, gpu, Place::default()).run();
        call.rounding().check(&what, &results.answer(), &call.truth());
    };
    // A few loads for each number of lanes there is.
    for classes in [3, 12, 15, 64, 200, 999, 1000, 4097, 16_400, 20_001] {
        let data = Data::random(&[9, classes], 1).holes().labels_as(LabelType::I32);
        let call = Call::new("rows", unreduced(), data, outputs);
        in_turn().iter().for_each(|gpu| check(gpu, "card", &card(gpu), &call));
        in_turn().iter().for_each(|gpu| check(gpu, "small device", &small(gpu), &call));
    }
    for shape in [&[300_001, 2][..], &[1, 2, 300_001]] {
        let data = Data::random(shape, 1).labels_as(LabelType::I32);
        let call = Call::new("rows", CrossEntropy::new(), data, outputs);
        for gpu in gpus() {
            check(gpu, "card", &card(gpu), &call);
            check(gpu, "small device", &small(gpu), &call);
        }
    }
    for call in calls() {
        in_turn().iter().for_each(|gpu| check(gpu, "card", &card(gpu), &call));
    }
}

// ---- Repetition

#[test]
fn two_runs_give_the_same_bits() {
    for call in calls() {
        for gpu in in_turn() {
            let what = format!("{} on {}", call.name, gpu.name);
            let all = |output: Output<f32>| {
                let elements = output.log_probs.or(output.probs);
                let parts = [Some(output.loss), output.grad, elements];
                (parts.map(|part| part.map(|part| bits(&part))), output.summary)
            };
            let first = all(call.on(gpu));
            assert!(first.0.iter().flatten().any(|part| !part.is_empty()), "{what}");
            for _ in 0..4 {
                assert!(all(call.on(gpu)) == first, "{what}");
            }
            // The host call may cut the work into other pieces.
            let embedded = call.embedded(gpu, Place::default());
            let results = embedded.run();
            let host = Answer::from(&call.on(gpu));
            call.rounding().between_two().check(&what, &results.answer(), &host);
            assert!(embedded.run() == results, "{what}");
        }
    }
}

#[test]
fn a_bound_plan_may_be_recorded_twice_and_beside_others() {
    for gpu in gpus() {
        let calls = calls();
        let alone: Vec<_> = calls.iter().map(|c| c.embedded(gpu, Place::default()).run()).collect();
        let together: Vec<_> = calls.iter().map(|c| c.embedded(gpu, Place::default())).collect();
        submit(gpu, |pass| {
            for _ in 0..2 {
                together.iter().for_each(|embedded| embedded.bound.record(pass));
            }
        });
        for ((call, embedded), wanted) in calls.iter().zip(&together).zip(&alone) {
            assert!(embedded.results() == *wanted, "{} on {}", call.name, gpu.name);
        }
    }
}

// ---- Pieces

/// A profile whose bindings hold two steps of the call's outer axis, or one where there are few.
fn small_bindings(gpu: &Gpu, call: &Call) -> Profile {
    let view = call.data.view;
    let steps = if view.outer > 10 { 2 } else { 1 };
    let bytes = (4 * steps * view.classes * view.inner).next_multiple_of(32) as u64;
    let mut profile = gpu.kernels().profile().clone();
    // A piece may start a little after its binding's start and end a little before its end.
    let slack = u64::from(profile.limits.min_storage_buffer_offset_alignment).max(32) + 32;
    profile.limits.max_storage_buffer_binding_size = bytes + slack;
    profile
}

#[track_caller]
fn check_pieces(what: &str, gpu: &Gpu, call: &Call, place: Place) {
    let embedded = call.embedded_for(&small_bindings(gpu, call), gpu, place);
    assert!(embedded.bound.plan().pieces().len() > 4, "{what}: not cut");
    let results = embedded.run();
    call.rounding().check(what, &results.answer(), &call.truth());
    let (got, wanted) = (results.summary, call.on(gpu).summary);
    assert_eq!((got.rows, got.live, got.bad), (wanted.rows, wanted.live, wanted.bad), "{what}");
}

#[test]
fn pieces_make_the_whole() {
    for call in calls() {
        for gpu in in_turn() {
            let what = format!("{} on {}", call.name, gpu.name);
            check_pieces(&what, gpu, &call, Place::default());
            check_pieces(
                &what,
                gpu,
                &call,
                Place { lead: 3, in_place: call.outputs.grad, arena: true },
            );
        }
    }
}

#[test]
fn pieces_make_the_whole_for_labels_of_any_type() {
    let outputs = Outputs::loss().with_grad();
    for label_type in LabelType::ALL {
        for gpu in in_turn() {
            // Two rows make a piece: small labels start inside a word.
            let data = Data::random(&[61, 5], 1).labels_as(label_type).random_weight();
            let what = format!("{label_type:?} on {}", gpu.name);
            let call = Call::new("nll", Nll::new(), data.clone(), outputs);
            check_pieces(&what, gpu, &call, Place::default());
            let call = Call::new("cross-entropy", unreduced(), data.random_upstream(), outputs);
            check_pieces(&what, gpu, &call, Place::default());
        }
    }
}

#[test]
fn pieces_name_rows_of_the_whole() {
    let mut data = Data::random(&[100, 5], 1).labelled(&[41, 77], -1).labelled(&[43], 5);
    data.input[62 * 5 + 2] = f32::NAN;
    data.input[99 * 5] = f32::INFINITY;
    for gpu in gpus() {
        let call = Call::new("pieces", unreduced(), data.clone(), Outputs::loss());
        let embedded = call.embedded_for(&small_bindings(gpu, &call), gpu, Place::default());
        assert_eq!(embedded.bound.plan().pieces().len(), 50, "{}", gpu.name);
        let summary = embedded.run().summary;
        assert_eq!((summary.bad, summary.first_bad), (3, Some((41, -1))), "{}", gpu.name);
        let nonfinite = (summary.nonfinite, summary.first_nonfinite);
        assert_eq!(nonfinite, (2, Some(62)), "{}", gpu.name);
        assert_eq!((summary.rows, summary.live), (100, 97), "{}", gpu.name);
    }
}

// ---- Mathematics

#[test]
fn a_shift_of_all_logits_changes_no_bit() {
    for call in calls().into_iter().filter(|call| !call.name.starts_with("nll")) {
        for gpu in in_turn() {
            let mut data = call.data.clone();
            // Exact in f32, and so are their sums with the shifts.
            data.input.iter_mut().for_each(|x| *x = (*x * 1024.0).round() / 1024.0);
            let wanted = call.of(data.clone()).on(gpu);
            for shift in [1000.0, -1000.0, 0.5] {
                let mut shifted = data.clone();
                shifted.input.iter_mut().for_each(|x| *x += shift);
                let what = format!("{} shifted by {shift} on {}", call.name, gpu.name);
                let output = call.of(shifted).on(gpu);
                assert_eq!(bits(&output.loss), bits(&wanted.loss), "{what}");
                assert!(output.grad == wanted.grad, "{what}");
                assert!(output.log_probs == wanted.log_probs, "{what}");
                assert!(output.probs == wanted.probs, "{what}");
                let parts = [output.grad, output.log_probs, output.probs, Some(output.loss)];
                assert!(
                    parts.iter().flatten().any(|part| part.iter().any(|&x| x != 0.0)),
                    "{what}"
                );
            }
        }
    }
}

/// Every row's classes in reverse.
fn reversed<T: Copy>(data: &Data, elements: &[T]) -> Vec<T> {
    let view = data.view;
    let mirror = |element| {
        let (row, class) = view.row_and_class(element);
        elements[view.row_start(row) + (view.classes - 1 - class) * view.inner]
    };
    (0..elements.len()).map(mirror).collect()
}

#[test]
fn the_order_of_the_classes_does_not_matter() {
    for call in calls() {
        for gpu in in_turn() {
            let data = &call.data;
            let mut other = data.clone();
            other.input = reversed(data, &data.input);
            other.weight = data.weight.clone().map(|w| w.into_iter().rev().collect());
            match &data.target {
                Target::None => {}
                Target::Probabilities(q) => {
                    other.target = Target::Probabilities(reversed(data, q));
                }
                Target::Labels(labels) => {
                    let last = data.view.classes as i128 - 1;
                    let mirror = |label| if label == -100 { -100 } else { (last - label) as i64 };
                    let labels: Vec<i64> = labels.iter().map(mirror).collect();
                    other = other.labels(LabelType::I32, &labels);
                }
            }
            let what = format!("{} on {}", call.name, gpu.name);
            let wanted = Answer::from(&call.on(gpu));
            let mut got = Answer::from(&call.of(other).on(gpu));
            got.grad = got.grad.map(|grad| reversed(data, &grad));
            got.elements = got.elements.map(|elements| reversed(data, &elements));
            call.rounding().between_two().check(&what, &got, &wanted);
        }
    }
}

#[test]
fn reductions_are_sums_of_the_unreduced() {
    let grad = Outputs::loss().with_grad();
    for gpu in gpus() {
        for data in [matrix(133, 7), image(6, 37).random_weight()] {
            let run = |reduction| data.on(gpu, &CrossEntropy::new().reduction(reduction), grad);
            let [rows, sum, mean, batch_mean] =
                [Reduction::None, Reduction::Sum, Reduction::Mean, Reduction::BatchMean].map(run);
            let what = format!("{:?} on {}", data.shape(), gpu.name);
            // A few hundred losses, none negative, are added in short sums. Kernels differ: a compiler may fuse other
            // products and sums in each.
            let total: f64 = widened(&rows.loss).iter().sum();
            let tolerance = Tolerance::relative((4.0 + UNITS) * UNIT);
            assert_close(&what, &widened(&sum.loss), &[total], tolerance);
            for (output, divisor) in
                [(&mean, sum.summary.weight), (&batch_mean, data.shape()[0] as f64)]
            {
                // One quotient each, good to 2.5 units.
                let tolerance = Tolerance::relative((3.0 + UNITS) * UNIT);
                let wanted = f64::from(sum.loss[0]) / divisor;
                assert_close(&what, &widened(&output.loss), &[wanted], tolerance);
                let (got, all) = (output.grad.as_ref().unwrap(), sum.grad.as_ref().unwrap());
                let wanted: Vec<f64> = all.iter().map(|&g| f64::from(g) / divisor).collect();
                let tolerance = Tolerance::relative((4.0 + UNITS) * UNIT);
                assert_close(&what, &widened(got), &wanted, tolerance);
            }
        }
    }
}

#[test]
fn one_hot_probabilities_are_labels() {
    for gpu in gpus() {
        for shape in [&[40, 7][..], &[40, 132], &[3, 6, 20]] {
            let labels = Data::random(shape, 1).random_weight();
            let one_hot = (0..labels.input.len()).map(|element| {
                let (row, class) = labels.view.row_and_class(element);
                f32::from(u8::from(labels.label(row) == Some(class as i128)))
            });
            let probabilities = labels.clone().probabilities(one_hot.collect());
            for smoothing in [0.0, 0.1] {
                let loss = unreduced().label_smoothing(smoothing);
                let outputs = Outputs::loss().with_grad();
                let hard = Answer::from(&labels.on(gpu, &loss, outputs));
                let soft = Answer::from(&probabilities.on(gpu, &loss, outputs));
                let what = format!("{shape:?}, smoothing {smoothing} on {}", gpu.name);
                let rounding = Rounding::new(&loss, &labels, outputs).between_two();
                rounding.check(&what, &soft, &hard);
            }
        }
    }
}

#[test]
fn every_label_type_reads_the_same() {
    let outputs = Outputs::loss().with_grad();
    for gpu in gpus() {
        // 7 is a class like any other, but for the rows that ignore it.
        let data = Data::random(&[39, 9], 1).random_weight().labelled(&[6, 38], 7);
        let losses: [&dyn Loss; 2] =
            [&CrossEntropy::new().ignore_index(7), &Nll::new().ignore_index(7)];
        for loss in losses {
            let wanted = data.on(gpu, loss, outputs);
            assert!(wanted.summary.ignored() >= 2 && wanted.summary.live > 20);
            let rounding = Rounding::new(loss, &data, outputs);
            let truth = Answer::from(&data.truth(loss, outputs));
            rounding.check(&gpu.name, &Answer::from(&wanted), &truth);
            let summary = wanted.summary;
            for label_type in LabelType::ALL {
                let output = data.clone().labels_as(label_type).on(gpu, loss, outputs);
                let what = format!("{label_type:?} on {}", gpu.name);
                // A kernel for each type, in which a compiler may fuse other products and sums.
                let (got, wanted) = (Answer::from(&output), Answer::from(&wanted));
                Rounding::new(loss, &data, outputs).between_two().check(&what, &got, &wanted);
                assert_eq!(output.summary, summary, "{what}");
            }
        }
    }
}
