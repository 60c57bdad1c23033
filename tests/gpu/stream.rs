//! Calls on host data in pieces: the results do not depend on their number, large outputs are written whole and once,
//! batches are one tensor, and a call that ends early leaves a device that works.

use std::future::Future;
use std::sync::OnceLock;
use std::task::{Context, Waker};

use support::answer::{Answer, bits};
use support::data::{Data, Types};
use support::failing::Failing;
use support::gpus::{gpus, in_turn, knows_allocations};
use support::random::Random;
use support::recorder::Recorder;
use support::rounding::Rounding;
use wgpu_loss::stream::Progress;
use wgpu_loss::{
    CrossEntropy, ElementType, EmptyMean, Error, Gpu, Inputs, LabelType, LargeOutput, Loss, Nll,
    Outputs, Reduction, Sink, Softmax, Tensor,
};

/// Bytes that hold a few dozen of the rows below.
const TINY: u64 = 12 << 10;

/// Every device with a budget of `TINY`: those whose buffers the host maps, and those it copies to.
fn tiny() -> &'static [(String, Gpu)] {
    static TINY_GPUS: OnceLock<Vec<(String, Gpu)>> = OnceLock::new();
    TINY_GPUS.get_or_init(|| {
        let tiny = |gpu: &Gpu| gpu.with_memory_budget(TINY);
        gpus().iter().map(|gpu| (format!("{} ({TINY} bytes)", gpu.name), tiny(gpu))).collect()
    })
}

/// A call in pieces on every device, against the reference and the uncut call.
#[track_caller]
fn check(loss: &dyn Loss, data: &Data, outputs: Outputs) {
    let truth = data.truth(loss, outputs);
    let wanted = Answer::from(&truth);
    let rounding = Rounding::new(loss, data, outputs);
    for whole in in_turn() {
        let what = format!("{:?} on {} ({TINY} bytes)", data.shape(), whole.name);
        let tiny = whole.with_memory_budget(TINY);
        let output = data.on(&tiny, loss, outputs);
        rounding.check(&what, &Answer::from(&output), &wanted);
        let uncut = data.on(whole, loss, outputs);
        rounding.check(&what, &Answer::from(&uncut), &wanted);
        assert_eq!(output.loss_shape, truth.loss_shape, "{what}");
        let mut summary = output.summary;
        for other in [uncut.summary, truth.summary] {
            // Weights are sums of f32.
            assert!((summary.weight - other.weight).abs() <= 1e-6 * other.weight, "{what}");
            summary.weight = other.weight;
            assert_eq!(summary, other, "{what}");
        }
        let mut sink = Recorder::default();
        let into = tiny.run_into(loss, &data.inputs(), outputs, &mut sink).unwrap();
        assert!(sink.reports.len() >= 8, "{what}: {} pieces", sink.reports.len());
        let last = sink.reports.last().unwrap();
        let rows = data.view.rows() as u64;
        assert_eq!((last.rows, last.of), (rows, Some(rows)), "{what}");
        assert!(sink.reports.windows(2).all(|two| two[0].bytes < two[1].bytes), "{what}");
        assert_eq!(into.summary, output.summary, "{what}");
        for (kind, collected) in [
            (LargeOutput::Grad, output.grad.as_ref()),
            (LargeOutput::Distribution, output.log_probs.as_ref().or(output.probs.as_ref())),
            (LargeOutput::RowLoss, (!into.loss_shape.is_empty()).then_some(&output.loss)),
        ] {
            let collected = collected.map_or(Vec::new(), |collected| bits(collected));
            assert!(sink.words(kind) == collected, "{what}: {kind:?}");
        }
        if into.loss_shape.is_empty() {
            assert_eq!(bits(&into.loss), bits(&output.loss), "{what}");
        } else {
            assert!(into.loss.is_empty(), "{what}");
        }
        assert!(into.grad.is_none() && into.log_probs.is_none() && into.probs.is_none());
    }
}

/// Rows, images that are cut between each other, images that are cut inside, classes last.
fn tensors() -> [Data; 6] {
    [
        Data::random(&[403, 33], 1),
        Data::random(&[900, 5], 1),
        Data::random(&[61, 7, 9], 1),
        Data::random(&[3, 11, 211], 1),
        Data::random(&[2, 8, 17, 24], 1),
        Data::random(&[5, 71, 19], -1),
    ]
}

fn axis_of(data: &Data) -> isize {
    if data.shape() == [5, 71, 19] { -1 } else { 1 }
}

const REDUCTIONS: [Reduction; 4] =
    [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean];

/// With a gradient upstream that fits the reduction.
fn upstream(data: Data, reduction: Reduction) -> Data {
    match reduction {
        Reduction::None => data.random_upstream(),
        _ => data.upstream(1.75),
    }
}

#[test]
fn cross_entropy_of_labels() {
    for data in tensors() {
        for reduction in REDUCTIONS {
            let loss = CrossEntropy::new().reduction(reduction).class_axis(axis_of(&data));
            let data = data.clone().labelled(&[0, 5, 77], -100);
            check(&loss, &data, Outputs::loss());
            check(&loss, &data, Outputs::loss().with_grad());
            let data = upstream(data.holes().random_weight(), reduction);
            let loss = loss.label_smoothing(0.0);
            check(&loss, &data, Outputs::loss().with_grad().with_log_probs());
        }
    }
}

#[test]
fn cross_entropy_with_smoothing_and_ignored_labels() {
    for data in tensors() {
        for reduction in REDUCTIONS {
            let loss = CrossEntropy::new()
                .reduction(reduction)
                .class_axis(axis_of(&data))
                .ignore_index(2)
                .label_smoothing(0.2);
            check(&loss, &data.clone().random_weight(), Outputs::loss().with_grad());
        }
    }
}

#[test]
fn cross_entropy_of_probabilities() {
    for data in tensors() {
        for reduction in REDUCTIONS {
            let loss = CrossEntropy::new().reduction(reduction).class_axis(axis_of(&data));
            let data = upstream(data.clone().random_probabilities(), reduction);
            check(&loss, &data, Outputs::loss());
            check(&loss, &data.random_weight(), Outputs::loss().with_grad());
        }
    }
}

#[test]
fn nll() {
    for data in tensors() {
        for reduction in REDUCTIONS {
            let loss = Nll::new().reduction(reduction).class_axis(axis_of(&data));
            let data = upstream(data.clone().labelled(&[3, 4, 200], -100), reduction);
            check(&loss, &data, Outputs::loss());
            check(&loss, &data.random_weight(), Outputs::loss().with_grad());
        }
    }
}

#[test]
fn softmax() {
    for data in tensors() {
        let axis = axis_of(&data);
        let data = Data::new(data.shape(), axis, data.input.clone()).holes();
        check(&Softmax::probs().axis(axis), &data, Outputs::loss());
        check(&Softmax::log_probs().axis(axis), &data, Outputs::loss());
    }
}

/// Pieces of odd sizes begin inside words.
#[test]
fn labels_of_every_type() {
    for label_type in LabelType::ALL {
        for shape in [&[413, 31][..], &[2, 23, 301]] {
            let data = Data::random(shape, 1).labels_as(label_type);
            check(&CrossEntropy::new(), &data, Outputs::loss().with_grad());
            check(&CrossEntropy::new(), &data, Outputs::loss());
        }
    }
}

#[test]
fn means_over_nothing() {
    for empty in [EmptyMean::Nan, EmptyMean::Zero] {
        let data = Data::random(&[403, 33], 1);
        let rows: Vec<usize> = (0..403).collect();
        let loss = CrossEntropy::new().empty_mean(empty);
        check(&loss, &data.clone().labelled(&rows, -100), Outputs::loss().with_grad());
        check(&loss, &data.weight(&[0.0; 33]), Outputs::loss().with_grad());
    }
}

#[test]
fn losses_that_are_no_numbers() {
    for (logit, at) in [(f32::NAN, 390), (f32::INFINITY, 7), (f32::NEG_INFINITY, 200)] {
        let mut data = Data::random(&[403, 33], 1);
        let class = data.label(at).unwrap() as usize;
        data.input[33 * at + class] = logit;
        for loss in [CrossEntropy::new(), CrossEntropy::new().reduction(Reduction::Sum)] {
            check(&loss, &data, Outputs::loss());
            check(&loss, &data, Outputs::loss().with_grad());
        }
        for (_, gpu) in tiny() {
            let summary = data.on(gpu, &CrossEntropy::new(), Outputs::loss()).summary;
            let first = (logit != f32::NEG_INFINITY).then_some(at as u64);
            assert_eq!(summary.first_nonfinite, first);
        }
    }
}

#[test]
fn bad_labels_are_found_wherever_they_are() {
    let outputs = [Outputs::loss(), Outputs::loss().with_grad()];
    for shape in [&[403, 33][..], &[3, 11, 211]] {
        let data = Data::random(shape, 1).labelled(&[389, 333, 371], 1000).labelled(&[350], -3);
        for reduction in REDUCTIONS {
            let loss = CrossEntropy::new().reduction(reduction);
            for (name, gpu) in tiny() {
                for outputs in outputs {
                    let error = gpu.run(&loss, &data.inputs(), outputs).unwrap_err();
                    let wanted = Error::BadTargets {
                        count: 4,
                        rows: data.view.rows() as u64,
                        first: 333,
                        value: 1000,
                        classes: data.view.classes,
                        ignore_index: -100,
                    };
                    assert_eq!(error, wanted, "{reduction:?} on {name}");
                }
            }
        }
    }
}

/// Batches of any size, as a loader gives them, from one tensor.
fn batches(data: &Data) -> Vec<(usize, usize)> {
    let (mut random, mut start, mut all) = (Random(5), 0, Vec::new());
    let extent = data.shape()[0];
    while start < extent {
        let size = [1, 3, 64, 0, 200][random.below(5)].min(extent - start);
        all.push((start, start + size));
        start += size;
    }
    all
}

#[test]
fn batches_are_one_tensor() {
    let none = CrossEntropy::new().reduction(Reduction::None);
    let batch_mean = CrossEntropy::new().reduction(Reduction::BatchMean);
    for shape in [&[403, 33][..], &[61, 7, 9], &[9, 11, 211]] {
        let data = Data::random(shape, 1).random_weight().labelled(&[1, 50], -100);
        let with_grad = Outputs::loss().with_grad();
        for (loss, outputs) in [
            (&CrossEntropy::new(), Outputs::loss()),
            (&CrossEntropy::new(), with_grad),
            (&batch_mean, Outputs::loss()),
            (&batch_mean, with_grad),
            (&none, with_grad.with_log_probs()),
        ] {
            let truth = data.truth(loss, outputs);
            let rounding = Rounding::new(loss, &data, outputs);
            for (name, gpu) in tiny().iter().map(|(n, g)| (n, g)).chain(large()) {
                let mut stream = gpu.stream(loss, outputs);
                if outputs.grad && loss != &none {
                    let mean = loss == &CrossEntropy::new();
                    let divisor = if mean { truth.summary.weight } else { shape[0] as f64 };
                    stream = stream.divisor(divisor);
                }
                let mut sink = Recorder::default();
                for (start, end) in batches(&data) {
                    push(&mut stream, &data, start, end, &mut sink).unwrap();
                }
                let output = stream.finish().unwrap();
                let floats = |what| {
                    let words = sink.words(what);
                    Vec::from_iter(words.into_iter().map(|word| f32::from_bits(word).into()))
                };
                let got = Answer {
                    loss: match output.loss_shape.is_empty() {
                        true => vec![output.loss[0].into()],
                        false => floats(LargeOutput::RowLoss),
                    },
                    grad: outputs.grad.then(|| floats(LargeOutput::Grad)),
                    elements: outputs.log_probs.then(|| floats(LargeOutput::Distribution)),
                };
                rounding.check(&format!("{shape:?} on {name}"), &got, &Answer::from(&truth));
                assert_eq!(output.loss_shape, truth.loss_shape);
                let (got, wanted) = (output.summary, truth.summary);
                assert_eq!((got.rows, got.live), (wanted.rows, wanted.live));
            }
        }
    }
}

/// Returns the same devices with practically no limit of memory.
fn large() -> impl Iterator<Item = (&'static String, &'static Gpu)> {
    gpus().iter().map(|gpu| (&gpu.name, &**gpu))
}

/// Pushes a part of the data's first axis.
fn push(
    stream: &mut wgpu_loss::Stream<'_>,
    data: &Data,
    start: usize,
    end: usize,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    let shape = [&[end - start], &data.shape()[1..]].concat();
    let row_shape = [&shape[..1], &shape[2..]].concat();
    let per_step = |shape: &[usize]| shape[1..].iter().product::<usize>();
    let (input, rows) = (per_step(&shape), per_step(&row_shape));
    let labels: Vec<i64> =
        (start * rows..end * rows).map(|row| data.label(row).unwrap() as i64).collect();
    let logits = &data.input[start * input..end * input];
    let mut inputs = Inputs::new(Tensor::new(logits, &shape)).labels(&labels, &row_shape);
    if let Some(weight) = &data.weight {
        inputs = inputs.weight(weight);
    }
    stream.push(&inputs, sink)
}

#[test]
fn bad_labels_of_a_stream_are_counted_over_all_batches() {
    let data = Data::random(&[403, 33], 1).labelled(&[389, 333], 99);
    let loss = CrossEntropy::new();
    for (_, gpu) in tiny() {
        let mut stream = gpu.stream(&loss, Outputs::loss());
        for start in (0..400).step_by(100) {
            push(&mut stream, &data, start, start + 100, &mut ()).unwrap();
        }
        let error = stream.finish().unwrap_err();
        let found =
            matches!(error, Error::BadTargets { count: 2, rows: 400, first: 333, value: 99, .. });
        assert!(found, "{error}");
    }
}

#[test]
fn gradients_of_means_need_their_divisor() {
    let data = Data::random(&[10, 4], 1);
    let gpu = &tiny()[0].1;
    let with_grad = Outputs::loss().with_grad();
    let refused = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Option { option: "divisor", .. }), "{error}");
    };
    for reduction in [Reduction::Mean, Reduction::BatchMean] {
        let loss = CrossEntropy::new().reduction(reduction);
        refused(push(&mut gpu.stream(&loss, with_grad), &data, 0, 5, &mut ()));
        for divisor in [f64::NAN, f64::INFINITY] {
            let mut stream = gpu.stream(&loss, with_grad).divisor(divisor);
            refused(push(&mut stream, &data, 0, 5, &mut ()));
        }
        let mut stream = gpu.stream(&loss, with_grad).divisor(20.0);
        push(&mut stream, &data, 0, 10, &mut ()).unwrap();
        let wanted = data.truth(&CrossEntropy::new(), Outputs::loss()).loss[0] / 2.0;
        let got = f64::from(stream.finish().unwrap().loss[0]);
        assert!((got / wanted - 1.0).abs() < 1e-6, "{got} for {wanted}");
    }
    for reduction in [Reduction::Sum, Reduction::None] {
        let loss = CrossEntropy::new().reduction(reduction);
        refused(push(&mut gpu.stream(&loss, with_grad).divisor(5.0), &data, 0, 5, &mut ()));
        assert_eq!(push(&mut gpu.stream(&loss, with_grad), &data, 0, 5, &mut ()), Ok(()));
    }
}

#[test]
fn batches_that_do_not_go_together() {
    let gpu = &tiny()[0].1;
    let loss = CrossEntropy::new();
    let mut stream = gpu.stream(&loss, Outputs::loss());
    let data = Data::random(&[10, 4], 1);
    push(&mut stream, &data, 0, 7, &mut ()).unwrap();
    let error = stream.push(&Data::random(&[10, 5], 1).inputs(), &mut ()).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "batch", .. }), "{error}");
    for other in [data.clone().labels_as(LabelType::U8), data.clone().random_weight()] {
        let error = stream.push(&other.inputs(), &mut ()).unwrap_err();
        assert!(matches!(error, Error::Option { .. }), "{error}");
    }
    // The refused ones have left no state.
    push(&mut stream, &data, 7, 10, &mut ()).unwrap();
    let got = f64::from(stream.finish().unwrap().loss[0]);
    let wanted = data.truth(&loss, Outputs::loss()).loss[0];
    assert!((got / wanted - 1.0).abs() < 1e-6, "{got} for {wanted}");

    let first = CrossEntropy::new().class_axis(0);
    let error =
        gpu.stream(&first, Outputs::loss()).push(&Data::random(&[4, 9], 0).inputs(), &mut ());
    assert!(matches!(error, Err(Error::Option { option: "class axis", .. })), "{error:?}");
    let error = gpu.stream(&loss, Outputs::loss()).finish().unwrap_err();
    assert!(matches!(error, Error::Option { option: "stream", .. }), "{error}");
}

#[test]
fn a_sink_that_fails_ends_the_call_and_not_the_device() {
    let outputs = Outputs::loss().with_grad();
    let data = Data::random(&[403, 33], 1);
    let loss = CrossEntropy::new().reduction(Reduction::Sum);
    for (name, gpu) in tiny() {
        for number in [0, 1, 5] {
            let mut sink = Failing { writes: number, reports: usize::MAX };
            let error = gpu.run_into(&loss, &data.inputs(), outputs, &mut sink).unwrap_err();
            assert!(matches!(error, Error::Sink { what: "gradient", .. }), "{error}");
            let mut sink = Failing { writes: usize::MAX, reports: number };
            let error = gpu.run_into(&loss, &data.inputs(), outputs, &mut sink).unwrap_err();
            assert_eq!(error, Error::Stopped);

            let mut stream = gpu.stream(&loss, outputs);
            let mut sink = Failing { writes: usize::MAX, reports: number };
            assert_eq!(push(&mut stream, &data, 0, 403, &mut sink), Err(Error::Stopped));
            assert_eq!(push(&mut stream, &data, 0, 403, &mut ()), Err(Error::Stopped));
            assert_eq!(stream.finish().unwrap_err(), Error::Stopped);
        }
        let again = data.on(gpu, &loss, outputs);
        let rounding = Rounding::new(&loss, &data, outputs);
        rounding.check(name, &Answer::from(&again), &Answer::from(&data.truth(&loss, outputs)));
    }
}

#[test]
fn what_is_dropped_half_way_leaves_a_device_that_works() {
    let data = Data::random(&[403, 33], 1);
    let loss = CrossEntropy::new();
    for (name, gpu) in tiny() {
        for polls in 0..6 {
            let inputs = data.inputs();
            let mut future = Box::pin(gpu.run_async(&loss, &inputs, Outputs::loss().with_grad()));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if future.as_mut().poll(&mut context).is_ready() {
                    break;
                }
            }
            drop(future);
            let mut stream = gpu.stream(&loss, Outputs::loss());
            push(&mut stream, &data, 0, 40 * polls, &mut ()).unwrap();
            drop(stream);
        }
        let again = data.on(gpu, &loss, Outputs::loss());
        let wanted = data.truth(&loss, Outputs::loss());
        let rounding = Rounding::new(&loss, &data, Outputs::loss());
        rounding.check(name, &Answer::from(&again), &Answer::from(&wanted));
    }
}

#[test]
fn asynchronous_calls_go_in_pieces_too() {
    let data = Data::random(&[403, 33], 1);
    let outputs = Outputs::loss().with_grad();
    for (name, gpu) in tiny() {
        let loss = CrossEntropy::new();
        let inputs = data.inputs();
        let here = data.on(gpu, &loss, outputs);
        let there = pollster::block_on(gpu.run_async(&loss, &inputs, outputs)).unwrap();
        assert_eq!(bits(&here.loss), bits(&there.loss), "{name}");
        assert_eq!(bits(&here.grad.unwrap()), bits(&there.grad.unwrap()), "{name}");
    }
}

#[test]
fn a_budget_for_next_to_nothing_names_what_would_do() {
    let outputs = Outputs::loss().with_grad();
    for shape in [&[9, 1000][..], &[2, 1000, 30], &[2, 30_000]] {
        let data = Data::random(shape, 1).random_weight();
        for gpu in gpus() {
            let refused = |budget| {
                let gpu = gpu.with_memory_budget(budget);
                assert_eq!(gpu.memory_budget(), budget);
                match gpu.run(&CrossEntropy::new(), &data.inputs(), outputs) {
                    Ok(_) => None,
                    Err(Error::Budget { needed, given, .. }) if given == budget => Some(needed),
                    Err(error) => panic!("{error}"),
                }
            };
            let needed = refused(0).expect("nothing holds no row");
            assert!((8000..40_000).contains(&needed), "{needed}");
            assert_eq!(refused(needed - 1), Some(needed), "{}", gpu.name);
            assert_eq!(refused(needed), None, "{}", gpu.name);
        }
    }
}

/// Rows of which the budget holds a small part: they pass through in boxes of their classes.
#[test]
fn rows_larger_than_the_budget() {
    let none = CrossEntropy::new().reduction(Reduction::None);
    let smooth = CrossEntropy::new().label_smoothing(0.1);
    let soft = CrossEntropy::new().reduction(Reduction::BatchMean);
    let all = Outputs::loss().with_grad().with_log_probs();
    for (number, gpu) in gpus().iter().enumerate() {
        let small = gpu.with_memory_budget(64 << 10);
        for shape in [&[3, 40_001][..], &[2, 20_000, 3]] {
            let plain = || Data::random(shape, 1).holes().labelled(&[1], -100);
            let alone = Data::new(shape, 1, plain().input);
            let calls: [(&dyn Loss, Data, Outputs); 7] = [
                (&CrossEntropy::new(), plain(), Outputs::loss()),
                (&CrossEntropy::new(), plain().random_weight().upstream(-2.0), all),
                (&none, plain().random_upstream(), Outputs::loss().with_grad()),
                (&smooth, plain().random_weight(), Outputs::loss().with_grad()),
                (&soft, plain().random_probabilities(), all),
                (&Nll::new(), plain().random_weight(), Outputs::loss().with_grad()),
                (&Softmax::probs().axis(1), alone, Outputs::loss()),
            ];
            for (call, (loss, data, outputs)) in calls.into_iter().enumerate() {
                let what = format!("call {call} of {shape:?} on {}", gpu.name);
                let data = match (call + number) % 3 {
                    0 => data.in_types(Types::all(ElementType::BF16)),
                    _ => data,
                };
                let truth = data.truth(loss, outputs);
                let output = data.on(&small, loss, outputs);
                let rounding = Rounding::new(loss, &data, outputs);
                rounding.check(&what, &Answer::from(&output), &Answer::from(&truth));
                assert_eq!(output.summary.live, truth.summary.live, "{what}");
                let mut sink = Recorder::default();
                small.run_into(loss, &data.inputs(), outputs, &mut sink).unwrap();
                assert_eq!(sink.reports.len(), data.view.rows(), "{what}");
                for what in [LargeOutput::Grad, LargeOutput::Distribution, LargeOutput::RowLoss] {
                    sink.words(what);
                }
            }
        }
    }
}

#[test]
fn bad_labels_of_long_rows_are_found() {
    let data = Data::random(&[4, 30_000], 1).labelled(&[2], 30_000);
    for gpu in gpus() {
        let small = gpu.with_memory_budget(64 << 10);
        let error = small.run(&CrossEntropy::new(), &data.inputs(), Outputs::loss()).unwrap_err();
        let Error::BadTargets { count, first, value, .. } = error else { panic!("{error}") };
        assert_eq!((count, first, value), (1, 2, 30_000), "{}", gpu.name);
    }
}

/// The most that the device has allocated after any piece.
struct Peak<'a>(&'a Gpu, u64);

impl Sink for Peak<'_> {
    fn write(&mut self, _: LargeOutput, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn progress(&mut self, _: &Progress) -> Result<(), Error> {
        self.1 = self.1.max(allocated(self.0));
        Ok(())
    }
}

fn allocated(gpu: &Gpu) -> u64 {
    gpu.device().generate_allocator_report().expect("an allocator's report").total_allocated_bytes
}

#[test]
fn memory_stays_within_the_budget() {
    if !knows_allocations(&gpus()[0]) {
        return;
    }
    let outputs = Outputs::loss().with_grad();
    let budget = 6 << 20;
    for shape in [&[40_000, 100][..], &[2, 100, 20_000]] {
        let data = Data::random(shape, 1);
        let bytes = 8 * data.input.len() as u64;
        for gpu in gpus() {
            // A device for this test alone, with the budget of a call.
            let options = gpu.options.clone().memory_budget(budget);
            let gpu = Gpu::with_options(&options).unwrap();
            let before = allocated(&gpu);
            let mut peak = Peak(&gpu, 0);
            gpu.run_into(&CrossEntropy::new(), &data.inputs(), outputs, &mut peak).unwrap();
            let taken = peak.1 - before;
            // Parameters, workspaces and what the device keeps for itself come on top.
            assert!(taken <= budget + (1 << 20), "{taken} of {bytes}");
            assert!(taken > budget / 2 && bytes > 4 * budget, "{taken} of {bytes}");
        }
    }
}
