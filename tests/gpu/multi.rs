//! Several GPUs as one: what one gives, every byte once, whichever of them computes a piece and whichever is lost.
//!
//! Two devices on one adapter are two GPUs. Two adapters need a second driver: SwiftShader, in addition to Mesa's.

use std::ffi::OsString;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use support::alone::is_alone;
use support::answer::{Answer, bits};
use support::data::Data;
use support::failing::Failing;
use support::gpus::{TestGpu, gpus};
use support::points::{Kind, Points, Types};
use support::recorder::Recorder;
use support::rounding::Rounding;
use wgpu_loss::gpu::Share;
use wgpu_loss::reference::Cpu;
use wgpu_loss::stream::{Device, Progress};
use wgpu_loss::{
    CrossEntropy, Error, Gpu, GpuOptions, Inputs, LargeOutput, Loss, MultiGpu, Nll, Output,
    Outputs, Reduction, Sink, Softmax, Tensor,
};

/// Bytes that hold a few dozen of the rows below.
const TINY: u64 = 12 << 10;
/// The time limit of a scenario in which devices are lost: they take a second or two.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Two devices on the best adapter, opened as one of [`gpus`] was, with a budget of `bytes`.
fn twins(device: usize, bytes: u64) -> MultiGpu {
    let open = |what| {
        let twin = TestGpu::open(what, gpus()[device].options.clone());
        twin.with_memory_budget(bytes)
    };
    MultiGpu::new(vec![open("a twin"), open("its twin")]).unwrap()
}

/// A loss, its tensors, and the requested outputs.
struct Call {
    loss: Box<dyn Loss + Send + Sync>,
    data: Data,
    outputs: Outputs,
}

/// Calls in a dozen pieces or more: between rows, between images and inside them, with sums of classes, records of rows,
/// gradients, and losses of rows.
fn calls() -> Vec<Call> {
    let call = |loss: Box<dyn Loss + Send + Sync>, data, outputs| Call { loss, data, outputs };
    let (sums, grad) = (Outputs::loss().with_accuracy().with_top_k(3), Outputs::loss().with_grad());
    let none = || CrossEntropy::new().reduction(Reduction::None);
    let rows = || Data::random(&[403, 33], 1).labelled(&[0, 5, 77], -100);
    let alone = Data::new(&[900, 5], 1, Data::random(&[900, 5], 1).input);
    vec![
        call(Box::new(CrossEntropy::new()), rows().random_weight(), sums.with_class_losses()),
        call(Box::new(CrossEntropy::new().z_loss(1e-3)), rows(), grad.with_lse().with_argmax()),
        call(
            Box::new(none()),
            Data::random(&[61, 7, 9], 1).random_upstream(),
            grad.with_log_probs(),
        ),
        call(Box::new(Nll::new()), Data::random(&[3, 11, 211], 1).random_weight(), grad),
        call(Box::new(Softmax::probs().axis(1)), alone, Outputs::loss()),
    ]
}

/// The results of a call, in bits.
#[derive(Debug, PartialEq)]
struct Given {
    output: String,
    words: Vec<(LargeOutput, Vec<u32>)>,
}

impl Call {
    fn run_into(&self, device: &dyn Device, sink: &mut dyn Sink) -> Result<Output<f32>, Error> {
        device.run_into(&*self.loss, &self.data.inputs(), self.outputs, sink)
    }

    /// Returns the results on a device, whose bytes must all have come once.
    #[track_caller]
    fn given(&self, device: &dyn Device) -> Given {
        let mut sink = Recorder::default();
        let output = self.run_into(device, &mut sink).unwrap();
        let rows = self.data.view.rows() as u64;
        let last = sink.reports.last().unwrap();
        assert_eq!((last.rows, last.of), (rows, Some(rows)));
        assert!(sink.reports.windows(2).all(|two| two[0].bytes < two[1].bytes));
        Given::new(output, &sink)
    }

    /// Compares the results on a device, in vectors, with the reference.
    fn check(&self, what: &str, device: &dyn Device) {
        let output = device.run(&*self.loss, &self.data.inputs(), self.outputs).unwrap();
        let rounding = Rounding::new(&*self.loss, &self.data, self.outputs);
        let truth = self.data.truth(&*self.loss, self.outputs);
        rounding.check(what, &Answer::from(&output), &Answer::from(&truth));
        assert_eq!(output.summary.live, truth.summary.live, "{what}");
        if let (Some(got), Some(wanted)) = (&output.classes, &truth.classes) {
            assert_eq!((&got.rows, &got.correct), (&wanted.rows, &wanted.correct), "{what}");
        }
    }
}

impl Given {
    #[track_caller]
    fn new(mut output: Output<f32>, sink: &Recorder) -> Self {
        output.timing = None;
        let mut kinds: Vec<LargeOutput> = sink.parts.iter().map(|part| part.0).collect();
        kinds.dedup();
        kinds.sort_by_key(|kind| kind.name());
        kinds.dedup();
        let words = kinds.into_iter().map(|kind| (kind, sink.words(kind))).collect();
        // As text a NaN is itself.
        Self { output: format!("{output:?}"), words }
    }
}

/// Returns the pieces, rows and failures of the GPUs.
fn pieces_of(shares: &[Share]) -> Vec<u64> {
    shares.iter().map(|share| share.pieces).collect()
}

/// Asserts that a GPU that is lost since `before` has computed nothing, and the others have not failed. It is only known
/// to be lost once it was asked to compute.
#[track_caller]
fn is_done_with(dying: usize, before: &[Share], after: &[Share]) {
    assert_eq!(before[dying].pieces, after[dying].pieces, "{after:?}");
    for (number, share) in after.iter().enumerate() {
        match &share.failure {
            None => {}
            Some(Error::Lost { .. }) if number == dying => {}
            Some(_) => panic!("{after:?}"),
        }
    }
}

fn lost(shares: &[Share]) -> Vec<bool> {
    shares.iter().map(|share| matches!(share.failure, Some(Error::Lost { .. }))).collect()
}

// ---- Results

#[test]
fn two_give_what_one_gives() {
    for device in 0..gpus().len() {
        let both = twins(device, TINY);
        let one = gpus()[device].with_memory_budget(TINY);
        for (number, call) in calls().iter().enumerate() {
            let what = format!("call {number} on {}", gpus()[device].name);
            assert_eq!(call.given(&both), call.given(&one), "{what}");
            call.check(&what, &both);
            let partial = |device: &dyn Device| {
                device.partial(&*call.loss, &call.data.inputs(), Outputs::loss(), &mut ())
            };
            assert_eq!(partial(&both), partial(&one), "{what}");
        }
        let shares = both.shares();
        assert!(pieces_of(&shares).iter().all(|&pieces| pieces > 0), "{shares:?}");
        let rows: usize = calls().iter().map(|call| 3 * call.data.view.rows()).sum();
        assert_eq!(shares.iter().map(|share| share.rows).sum::<u64>(), rows as u64);
        assert!(shares.iter().all(|share| share.failure.is_none() && share.bytes > 0));
    }
}

/// Devices of one speed have about as much to do, also if the first one is always done when the host looks. Other work on
/// the machine may slow one of them down in one call, and hardly in five.
#[test]
fn equals_share() {
    let call = Call {
        loss: Box::new(CrossEntropy::new()),
        data: Data::random(&[6000, 33], 1),
        outputs: Outputs::loss().with_grad(),
    };
    let shares = (0..5).map(|_| {
        let both = twins(0, TINY);
        call.given(&both);
        pieces_of(&both.shares())
    });
    let mut seen = Vec::new();
    for pieces in shares {
        let all: u64 = pieces.iter().sum();
        assert!(all > 100, "{pieces:?}");
        if pieces.iter().all(|&pieces| pieces > all / 10) {
            return;
        }
        seen.push(pieces);
    }
    panic!("in no call both had their share: {seen:?}");
}

/// Losses of single elements: operands that pieces share, and gradients of variances that are sums over pieces.
#[test]
fn single_elements_too() {
    let all = Kind::Gaussian { full: false }.outputs();
    let gaussian =
        |shape: &[usize]| Points::random(Kind::Gaussian { full: false }, shape, Types::F32);
    let grad = Outputs::loss().with_grad();
    let logits = Points::random(Kind::Logits, &[40, 240], Types::F32);
    let calls = [
        (logits.weights(&[240], &[40, 1], Types::F32.others), grad),
        (gaussian(&[3, 190, 23]).var_in(&[3, 1, 23]), all),
        (gaussian(&[330, 31]).var_in(&[1, 31]), all),
        (gaussian(&[9000]).var_in(&[1]), all),
    ];
    // A row and its copy in staging memory, where the device's memory is not the host's.
    let both = twins(0, 14 << 10);
    for (points, outputs) in calls {
        for reduction in [Reduction::None, Reduction::Mean] {
            let what = format!("{:?}, {:?}, {reduction:?}", points.kind, points.input.shape);
            let points = points.clone().with_upstream(reduction);
            let loss = points.loss(reduction);
            let got = both.run(&*loss, &points.inputs(), outputs).unwrap();
            let truth = points.truth(reduction, outputs);
            points.check(&what, reduction, outputs, &got, &truth);
            assert_eq!(got.summary, truth.summary, "{what}");
        }
    }
    assert!(pieces_of(&both.shares()).iter().all(|&pieces| pieces > 0), "{:?}", both.shares());
}

/// Streams, with batches of one piece among those of many, and none.
#[test]
fn streams_are_those_of_one() {
    let both = twins(0, TINY);
    let one = gpus()[0].with_memory_budget(TINY);
    let data = Data::random(&[1000, 33], 1);
    let labels: Vec<i64> = (0..1000).map(|row| data.label(row).unwrap() as i64).collect();
    let streamed = |device: &dyn Device, outputs: Outputs| {
        let loss = CrossEntropy::new();
        let mut stream = device.stream(&loss, outputs);
        stream.set_divisor(1000.0);
        let mut sink = Recorder::default();
        for (start, end) in [(0, 3), (3, 403), (403, 403), (403, 404), (404, 1000)] {
            let shape = [end - start, 33];
            let inputs = Inputs::new(Tensor::new(&data.input[33 * start..33 * end], &shape));
            let inputs = inputs.labels(&labels[start..end], &shape[..1]);
            stream.push(&inputs, &mut sink).unwrap();
        }
        Given::new(stream.finish().unwrap(), &sink)
    };
    for outputs in [Outputs::loss().with_class_losses(), Outputs::loss().with_grad().with_lse()] {
        assert_eq!(streamed(&both, outputs), streamed(&one, outputs));
    }
    let shares = both.shares();
    assert_eq!(shares.iter().map(|share| share.rows).sum::<u64>(), 2000);
    assert!(pieces_of(&shares).iter().all(|&pieces| pieces > 0), "{shares:?}");
}

#[test]
fn bad_labels_have_their_places_in_the_whole() {
    let both = twins(1, TINY);
    for shape in [&[403, 33][..], &[3, 11, 211]] {
        let data = Data::random(shape, 1).labelled(&[389, 333, 371], 1000);
        for outputs in [Outputs::loss(), Outputs::loss().with_grad()] {
            let loss = CrossEntropy::new().reduction(Reduction::Sum);
            let wanted = Cpu.run(&loss, &data.inputs(), outputs).unwrap_err();
            assert!(matches!(wanted, Error::BadTargets { count: 3, first: 333, .. }), "{wanted}");
            assert_eq!(both.run(&loss, &data.inputs(), outputs).unwrap_err(), wanted);
        }
    }
}

/// A single piece runs on one GPU; a GPU whose budget does not hold a row leaves it to one whose does.
#[test]
fn budgets_decide_who_takes_part() {
    let call = &calls()[1];
    let open =
        |bytes| TestGpu::open("budgets", gpus()[0].options.clone()).with_memory_budget(bytes);
    let gpus = MultiGpu::new(vec![open(600), open(1 << 20), open(TINY)]).unwrap();
    call.check("three budgets", &gpus);
    let shares = gpus.shares();
    assert_eq!(shares[0], Share::default());
    assert!(shares[1].pieces > 0 && shares[2].pieces > 0, "{shares:?}");

    let both = MultiGpu::new(vec![open(1 << 20), open(1 << 20)]).unwrap();
    call.check("one piece", &both);
    assert_eq!(pieces_of(&both.shares()), [1, 0]);

    let error = MultiGpu::new(Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Option { option: "the number of GPUs", .. }), "{error}");
    let small = MultiGpu::new(vec![open(500), open(700)]).unwrap();
    let error = call.run_into(&small, &mut ()).unwrap_err();
    assert!(matches!(error, Error::Budget { given: 700, .. }), "{error}");
}

// ---- Callers that end a call

#[test]
fn a_sink_that_fails_or_stops_leaves_them_usable() {
    let both = twins(0, TINY);
    let call = &calls()[2];
    let wanted = call.given(&gpus()[0].with_memory_budget(TINY));
    for after in [0, 1, 5] {
        let failed = call.run_into(&both, &mut Failing { writes: after, reports: usize::MAX });
        assert!(matches!(failed, Err(Error::Sink { .. })), "{failed:?}");
        let stopped = call.run_into(&both, &mut Failing { writes: usize::MAX, reports: after });
        assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
        assert_eq!(call.given(&both), wanted);
    }
    assert!(both.shares().iter().all(|share| share.failure.is_none()));
}

#[test]
fn a_stream_that_is_dropped_half_way_leaves_them_usable() {
    let both = twins(0, TINY);
    let loss = CrossEntropy::new();
    let data = Data::random(&[403, 33], 1);
    for failing in [false, true] {
        let mut stream = both.stream(&loss, Outputs::loss().with_lse());
        stream.push(&data.inputs(), &mut ()).unwrap();
        if failing {
            let sink = &mut Failing { writes: 3, reports: 3 };
            let error = stream.push(&data.inputs(), sink).unwrap_err();
            assert_eq!(stream.push(&data.inputs(), &mut ()), Err(error));
        }
        drop(stream);
        calls()[0].check("after a stream", &both);
    }
}

#[test]
fn threads_have_what_they_have_alone() {
    let both = twins(0, TINY);
    let calls = calls();
    let one = gpus()[0].with_memory_budget(TINY);
    let wanted: Vec<Given> = calls.iter().map(|call| call.given(&one)).collect();
    let work = |first: usize| {
        for turn in 0..8 {
            let number = (first + turn) % calls.len();
            assert_eq!(calls[number].given(&both), wanted[number], "call {number}");
        }
    };
    thread::scope(|scope| (0..3).for_each(|first| drop(scope.spawn(move || work(first)))));
}

// ---- Lost devices

/// Keeps the outputs, and destroys devices: one after some writes or reports, another after some more.
struct Destroying<'a> {
    gpus: Vec<(&'a Gpu, usize)>,
    events: usize,
    kept: Recorder,
}

impl<'a> Destroying<'a> {
    fn new(gpus: Vec<(&'a Gpu, usize)>) -> Self {
        Self { gpus, events: 0, kept: Recorder::default() }
    }

    fn event(&mut self) {
        for (gpu, at) in &self.gpus {
            if *at == self.events {
                gpu.device().destroy();
            }
        }
        self.events += 1;
    }
}

impl Sink for Destroying<'_> {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.event();
        self.kept.write(what, offset, bytes)
    }

    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        self.event();
        self.kept.progress(done)
    }
}

/// Runs a scenario in a thread of its own and waits for its end.
///
/// # Panics
/// If it panics, or does not end.
fn ends(what: &str, scenario: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let running = thread::spawn(move || {
        scenario();
        // The receiver is gone if it took too long.
        let _ = done.send(());
    });
    match ended.recv_timeout(TIMEOUT) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        _ => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// One is lost after some pieces, or before the first: the others compute what it has not, and it takes part in no
/// later call.
#[test]
fn a_lost_one_leaves_its_pieces_to_the_other() {
    for (number, after) in [0, 1, 2, 7, 12].into_iter().enumerate() {
        ends(&format!("after {after} events"), move || {
            let device = number % 3;
            let one = gpus()[device].with_memory_budget(TINY);
            let mut noticed = 0;
            for (index, call) in calls().iter().enumerate() {
                let what = format!("call {index} on {} after {after}", gpus()[device].name);
                let wanted = call.given(&one);
                let both = twins(device, TINY);
                let dying = (index + number) % 2;
                let gpu = both.gpus().nth(dying).unwrap();
                let mut sink = Destroying::new(vec![(gpu, after)]);
                let output =
                    call.run_into(&both, &mut sink).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(Given::new(output, &sink.kept), wanted, "{what}");
                let rows = sink.kept.reports.last().unwrap().rows;
                assert_eq!(rows, call.data.view.rows() as u64, "{what}");

                // If it was lost with nothing more to do, the next call finds out.
                let before = both.shares();
                assert_eq!(call.given(&both), wanted, "{what}");
                let shares = both.shares();
                is_done_with(dying, &before, &shares);
                noticed += usize::from(lost(&before)[dying]);
                let rows: u64 = shares.iter().map(|share| share.rows).sum();
                assert_eq!(rows, 2 * call.data.view.rows() as u64, "{what}");
            }
            assert!(noticed > 0, "after {after}: none was lost with pieces to do");
        });
    }
}

/// A stream goes on, too, from batch to batch.
#[test]
fn a_stream_goes_on_without_the_lost_one() {
    ends("a stream", || {
        let loss = CrossEntropy::new().reduction(Reduction::Sum);
        let data = Data::random(&[403, 33], 1);
        let stream_on = |device: &dyn Device, sinks: &mut [&mut dyn Sink; 3]| {
            let mut stream = device.stream(&loss, Outputs::loss().with_grad());
            sinks.iter_mut().for_each(|sink| stream.push(&data.inputs(), *sink).unwrap());
            stream.finish().unwrap()
        };
        let mut wanted = [Recorder::default(), Recorder::default(), Recorder::default()];
        let [a, b, c] = &mut wanted;
        let output = stream_on(&gpus()[0].with_memory_budget(TINY), &mut [a, b, c]);
        for dying in 0..2 {
            let both = twins(0, TINY);
            let gpu = both.gpus().nth(dying).unwrap();
            let [mut a, mut c] = [Recorder::default(), Recorder::default()];
            let mut b = Destroying::new(vec![(gpu, 3)]);
            let got = stream_on(&both, &mut [&mut a, &mut b, &mut c]);
            assert!(b.events > 3 && !lost(&both.shares())[1 - dying]);
            assert_eq!((bits(&got.loss), got.summary), (bits(&output.loss), output.summary));
            let all = |parts: [&Recorder; 3]| {
                let parts = parts.into_iter().flat_map(|sink| sink.parts.iter().cloned());
                let whole = Recorder { parts: parts.collect(), ..Recorder::default() };
                whole.words(LargeOutput::Grad)
            };
            let [x, y, z] = &wanted;
            assert!(all([&a, &b.kept, &c]) == all([x, y, z]));
        }
    });
}

/// A batch is complete when its push returns: its tensors may be gone when a GPU is found to be lost.
#[test]
fn a_device_lost_between_batches_takes_no_sums_along() {
    ends("between batches", || {
        let loss = CrossEntropy::new();
        let batches = [1, 2, 3].map(|seed| {
            let mut data = Data::random(&[403, 33], 1);
            data.input.iter_mut().for_each(|x| *x *= seed as f32);
            data
        });
        let streamed = |device: &dyn Device, dying: Option<&Gpu>| {
            let mut stream = device.stream(&loss, Outputs::loss().with_class_losses());
            for data in &batches {
                stream.push(&data.inputs(), &mut ()).unwrap();
                if let Some(gpu) = dying {
                    gpu.device().destroy();
                }
            }
            Given::new(stream.finish().unwrap(), &Recorder::default())
        };
        let wanted = streamed(&gpus()[0].with_memory_budget(TINY), None);
        for dying in 0..2 {
            let both = twins(0, TINY);
            assert_eq!(streamed(&both, both.gpus().nth(dying)), wanted);
        }
    });
}

#[test]
fn with_all_lost_calls_fail() {
    for (first, second) in [(0, 0), (0, 5), (4, 6), (2, 3)] {
        ends(&format!("after {first} and {second} events"), move || {
            for call in calls() {
                let both = twins(0, TINY);
                let devices: Vec<&Gpu> = both.gpus().collect();
                let mut sink = Destroying::new(vec![(devices[0], first), (devices[1], second)]);
                let error = call.run_into(&both, &mut sink).unwrap_err();
                assert!(matches!(error, Error::Lost { .. }), "{error}");
                for _ in 0..2 {
                    let error = call.run_into(&both, &mut ()).unwrap_err();
                    assert!(matches!(error, Error::Lost { .. }), "{error}");
                }
                let error = Device::partial(
                    &both,
                    &*call.loss,
                    &call.data.inputs(),
                    Outputs::loss(),
                    &mut (),
                );
                assert!(matches!(error, Err(Error::Lost { .. })), "{error:?}");
                assert_eq!(lost(&both.shares()), [true; 2]);
            }
        });
    }
}

/// One is lost between the calls of several threads: all have their results.
#[test]
fn threads_go_on_without_the_lost_one() {
    ends("threads", || {
        let (both, calls) = (twins(0, TINY), calls());
        let one = gpus()[0].with_memory_budget(TINY);
        let wanted: Vec<Given> = calls.iter().map(|call| call.given(&one)).collect();
        let work = |first: usize, dying: Option<&Gpu>| {
            for turn in 0..8 {
                let number = (first + turn) % calls.len();
                assert_eq!(calls[number].given(&both), wanted[number], "call {number}");
                if let Some(gpu) = dying.filter(|_| turn == 2) {
                    gpu.device().destroy();
                }
            }
        };
        let dying = both.gpus().next();
        thread::scope(|scope| {
            scope.spawn(|| work(0, None));
            scope.spawn(|| work(1, None));
            scope.spawn(|| work(2, dying));
        });
        assert!(!lost(&both.shares())[1]);
    });
}

/// Rows that are larger than the budget pass through one GPU in boxes; another one goes on with them in the middle of a
/// row, in boxes of another size.
#[test]
fn long_rows_go_on_elsewhere() {
    for (number, after) in [0, 1, 3, 8, 20].into_iter().enumerate() {
        ends(&format!("after {after} events"), move || {
            let open = |bytes| {
                let twin = TestGpu::open("long rows", gpus()[number % 3].options.clone());
                twin.with_memory_budget(bytes)
            };
            let none = CrossEntropy::new().reduction(Reduction::None);
            let grad = Outputs::loss().with_grad();
            let calls = [
                Call {
                    loss: Box::new(CrossEntropy::new()),
                    data: Data::random(&[3, 40_000], 1).random_weight(),
                    outputs: grad.with_lse(),
                },
                Call {
                    loss: Box::new(none),
                    data: Data::random(&[1, 20_000, 3], 1).random_upstream(),
                    outputs: grad,
                },
            ];
            for call in &calls {
                let both = MultiGpu::new(vec![open(64 << 10), open(96 << 10)]).unwrap();
                // The one with the larger budget has the rows.
                let gpu = both.gpus().nth(1).unwrap();
                let mut sink = Destroying::new(vec![(gpu, after)]);
                let output = call.run_into(&both, &mut sink).unwrap();
                let truth = call.data.truth(&*call.loss, call.outputs);
                let floats = |what| sink.kept.floats(what).into_iter().map(f64::from).collect();
                let got = Answer {
                    loss: match output.loss_shape.is_empty() {
                        true => vec![output.loss[0].into()],
                        false => floats(LargeOutput::RowLoss),
                    },
                    grad: Some(floats(LargeOutput::Grad)),
                    elements: None,
                };
                let rounding = Rounding::new(&*call.loss, &call.data, call.outputs);
                rounding.check(&format!("after {after}"), &got, &Answer::from(&truth));
                assert_eq!(output.summary.rows, 3);
                call.check("the next call", &both);
                assert_eq!(lost(&both.shares()), [false, true]);
            }
        });
    }
}

/// A GPU whose driver refuses the kernels leaves everything to the other, and is tried again by the next call.
#[test]
fn one_that_fails_leaves_its_pieces_to_the_other() {
    fn broken(text: String) -> String {
        text + "\nfn broken() -> u32 { return 1.5; }\n"
    }
    let open = || TestGpu::open("a failure", gpus()[0].options.clone()).with_memory_budget(TINY);
    let both = MultiGpu::new(vec![open().edited(broken), open()]).unwrap();
    let one = gpus()[0].with_memory_budget(TINY);
    for call in calls() {
        assert_eq!(call.given(&both), call.given(&one));
        let shares = both.shares();
        assert!(matches!(shares[0].failure, Some(Error::Device { .. })), "{shares:?}");
        assert_eq!((shares[0].pieces, &shares[1].failure), (0, &None));
    }
    let none = MultiGpu::new(vec![open().edited(broken), open().edited(broken)]).unwrap();
    let error = calls()[0].run_into(&none, &mut ()).unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error}");
}

// ---- Two drivers

/// SwiftShader, where Debian's Chromium has it.
const SWIFTSHADER: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";
const MESA: &str = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";

/// Returns true in a process that has both drivers. A machine without SwiftShader says so.
fn has_two_drivers(test: &str) -> bool {
    for driver in [SWIFTSHADER, MESA] {
        if !Path::new(driver).exists() {
            println!("NOT TESTED: two drivers in one process ({test}): there is no {driver}");
            return false;
        }
    }
    let both = OsString::from(format!("{MESA}:{SWIFTSHADER}"));
    // Both are Vulkan's, whatever the other tests run on.
    let variables = [("VK_DRIVER_FILES", both.as_os_str()), ("WGPU_BACKEND", "vulkan".as_ref())];
    is_alone(module_path!(), test, &variables)
}

fn llvmpipe_and_swiftshader() -> MultiGpu {
    let open = |adapter: &str| {
        let options = GpuOptions::new().adapter(adapter);
        TestGpu::open(adapter, options).with_memory_budget(TINY)
    };
    MultiGpu::new(vec![open("llvmpipe"), open("swiftshader")]).unwrap()
}

#[test]
fn two_drivers_share() {
    if !has_two_drivers("two_drivers_share") {
        return;
    }
    let both = llvmpipe_and_swiftshader();
    for (number, call) in calls().iter().enumerate() {
        call.check(&format!("call {number} on two drivers"), &both);
        call.given(&both);
    }
    let shares = both.shares();
    assert!(pieces_of(&shares).iter().all(|&pieces| pieces > 0), "{shares:?}");
    assert!(shares.iter().all(|share| share.failure.is_none()), "{shares:?}");

    // All adapters by the name that both have; without one, the best software driver.
    let all = |options: GpuOptions| {
        let gpus = MultiGpu::all(&options).unwrap();
        let names: Vec<String> = gpus.gpus().map(|gpu| gpu.info().name.to_lowercase()).collect();
        names
    };
    let names = all(GpuOptions::new().adapter("vulkan"));
    assert!(names.iter().any(|name| name.contains("llvmpipe")), "{names:?}");
    assert!(names.iter().any(|name| name.contains("swiftshader")), "{names:?}");
    assert_eq!(all(GpuOptions::new().adapter("llvmpipe")).len(), 1);
    assert_eq!(all(GpuOptions::new()).len(), 1);
    let error = MultiGpu::all(&GpuOptions::new().adapter("no such GPU")).unwrap_err();
    assert!(matches!(error, Error::NoAdapter { .. }), "{error}");
}

#[test]
fn either_driver_may_be_lost() {
    if !has_two_drivers("either_driver_may_be_lost") {
        return;
    }
    for dying in 0..2 {
        for (call, after) in calls().iter().zip([3, 1, 0, 5, 2]) {
            let both = llvmpipe_and_swiftshader();
            let gpu = both.gpus().nth(dying).unwrap();
            let mut sink = Destroying::new(vec![(gpu, after)]);
            let output = call.run_into(&both, &mut sink).unwrap();
            assert_eq!(output.summary.rows, call.data.view.rows() as u64);
            // Every byte has come once.
            Given::new(output, &sink.kept);
            let before = both.shares();
            call.check("what is left", &both);
            is_done_with(dying, &before, &both.shares());
        }
    }
}
