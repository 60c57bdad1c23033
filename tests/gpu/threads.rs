//! Threads that share one device, with budgets that hold a few rows: each has the results that it would have alone. A
//! device that is lost meanwhile is an error in each of them: no panic, no hang, and no partial result.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use support::answer::{Answer, bits};
use support::data::Data;
use support::gpus::gpus;
use support::recorder::Recorder;
use support::rounding::Rounding;
use wgpu_loss::stream::Progress;
use wgpu_loss::{
    CrossEntropy, Error, Gpu, Inputs, LargeOutput, Loss, Nll, Output, Outputs, Reduction, Sink,
    Softmax, Summary, Tensor,
};

/// Bytes that hold a few dozen rows of the calls below.
const TINY: u64 = 12 << 10;
/// The time limit of a scenario: they take a second or two.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A loss, its tensors, and the requested outputs.
struct Call {
    loss: Box<dyn Loss + Send + Sync>,
    data: Data,
    outputs: Outputs,
}

/// Calls of different kernels, each in a dozen pieces or more: between rows, between images and inside them.
fn calls() -> [Call; 4] {
    let call = |loss: Box<dyn Loss + Send + Sync>, data, outputs| Call { loss, data, outputs };
    let grad = Outputs::loss().with_grad();
    let none = CrossEntropy::new().reduction(Reduction::None);
    let images = Data::random(&[3, 11, 211], 1);
    let alone = Data::new(&[900, 5], 1, Data::random(&[900, 5], 1).input);
    [
        call(Box::new(CrossEntropy::new()), Data::random(&[403, 33], 1), grad),
        call(Box::new(none), Data::random(&[61, 7, 9], 1).random_upstream(), grad.with_log_probs()),
        call(Box::new(Nll::new()), images.random_weight(), grad),
        call(Box::new(Softmax::probs().axis(1)), alone, Outputs::loss()),
    ]
}

/// An output's bits.
type Bits = (Vec<Option<Vec<u32>>>, Summary);

fn bits_of(output: &Output<f32>) -> Bits {
    let parts = [
        Some(&output.loss),
        output.grad.as_ref(),
        output.log_probs.as_ref(),
        output.probs.as_ref(),
    ];
    (parts.map(|part| part.map(|numbers| bits(numbers))).to_vec(), output.summary)
}

impl Call {
    fn on(&self, gpu: &Gpu) -> Result<Bits, Error> {
        gpu.run(&*self.loss, &self.data.inputs(), self.outputs).map(|output| bits_of(&output))
    }

    fn on_async(&self, gpu: &Gpu) -> Result<Bits, Error> {
        let inputs = self.data.inputs();
        let call = gpu.run_async(&*self.loss, &inputs, self.outputs);
        pollster::block_on(call).map(|output| bits_of(&output))
    }

    /// Returns the call's result alone, which is right.
    fn alone(&self, gpu: &Gpu) -> Bits {
        let output = gpu.run(&*self.loss, &self.data.inputs(), self.outputs).unwrap();
        let rounding = Rounding::new(&*self.loss, &self.data, self.outputs);
        let truth = Answer::from(&self.data.truth(&*self.loss, self.outputs));
        rounding.check(&gpu.info().name, &Answer::from(&output), &truth);
        bits_of(&output)
    }
}

/// A loader's batches of one tensor, streamed.
struct Batches(Data);

impl Batches {
    fn new() -> Self {
        Self(Data::random(&[400, 33], 1))
    }

    /// Pushes the batches into a sink.
    fn stream(&self, gpu: &Gpu, sink: &mut dyn Sink) -> Result<Bits, Error> {
        let loss = CrossEntropy::new().reduction(Reduction::Sum);
        let mut stream = gpu.stream(&loss, Outputs::loss().with_grad());
        for start in (0..400).step_by(100) {
            let logits = &self.0.input[33 * start..33 * (start + 100)];
            let labels: Vec<i64> =
                (start..start + 100).map(|row| self.0.label(row).unwrap() as i64).collect();
            let inputs = Inputs::new(Tensor::new(logits, &[100, 33])).labels(&labels, &[100]);
            if let Err(error) = stream.push(&inputs, sink) {
                // A stream that has failed has no result.
                assert_eq!(stream.finish().err(), Some(error.clone()));
                return Err(error);
            }
        }
        stream.finish().map(|output| bits_of(&output))
    }

    /// Returns the same alone, and the outputs in its sink.
    fn alone(&self, gpu: &Gpu) -> (Bits, Recorder) {
        let mut sink = Recorder::default();
        let output = self.stream(gpu, &mut sink).unwrap();
        (output, sink)
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

// ---- Two at once

#[test]
fn threads_have_what_they_have_alone() {
    for gpu in gpus() {
        let (calls, batches) = (calls(), Batches::new());
        let tiny = gpu.with_memory_budget(TINY);
        let wanted: Vec<Bits> = calls.iter().map(|call| call.alone(&tiny)).collect();
        let (streamed, sink) = batches.alone(&tiny);
        // Both compile the same kernels at first.
        let tiny = tiny.fresh();
        let name = &gpu.name;
        let of_calls = |first: usize| {
            for turn in 0..12 {
                let number = (first + turn) % calls.len();
                let got = match turn % 2 {
                    0 => calls[number].on(&tiny),
                    _ => calls[number].on_async(&tiny),
                };
                assert!(got.unwrap() == wanted[number], "call {number} of turn {turn} on {name}");
            }
        };
        let of_streams = || {
            for turn in 0..4 {
                let mut own = Recorder::default();
                let output = batches.stream(&tiny, &mut own).unwrap();
                assert!(output == streamed, "the stream of turn {turn} on {name}");
                assert!(own.parts == sink.parts, "the parts of turn {turn} on {name}");
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| of_calls(0));
            scope.spawn(|| of_calls(1));
            scope.spawn(of_streams);
        });
    }
}

// ---- Lost devices

/// Keeps the outputs, and destroys the device at a write.
struct Destroying<'a> {
    gpu: &'a Gpu,
    /// Writes before that.
    left: usize,
    kept: Recorder,
}

impl Sink for Destroying<'_> {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        if self.left == 0 {
            self.gpu.device().destroy();
        }
        self.left = self.left.wrapping_sub(1);
        self.kept.write(what, offset, bytes)
    }

    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        self.kept.progress(done)
    }
}

/// A device for one scenario, with the right results on it.
struct Shared {
    gpu: Gpu,
    calls: [Call; 4],
    batches: Batches,
    wanted: Vec<Bits>,
    streamed: (Bits, Recorder),
    /// The time that a call takes alone.
    call: Duration,
}

impl Shared {
    /// Opens one of the tests' devices anew: a shared one must not be lost.
    fn open(device: usize) -> Self {
        let options = gpus()[device].options.clone().memory_budget(TINY);
        let gpu = Gpu::with_options(&options).unwrap();
        let (calls, batches) = (calls(), Batches::new());
        let wanted = calls.iter().map(|call| call.alone(&gpu)).collect();
        let streamed = batches.alone(&gpu);
        let start = Instant::now();
        calls.iter().for_each(|call| drop(call.on(&gpu)));
        let call = start.elapsed() / calls.len() as u32;
        Self { gpu, calls, batches, wanted, streamed, call }
    }

    /// Makes calls until the device is lost; results before that are whole and right. Returns their number.
    fn call_until_lost(&self, first: usize, asynchronous: bool) -> usize {
        for turn in 0.. {
            let number = (first + turn) % self.calls.len();
            let call = &self.calls[number];
            let got = if asynchronous { call.on_async(&self.gpu) } else { call.on(&self.gpu) };
            match got {
                Ok(got) => assert!(got == self.wanted[number], "call {number} of turn {turn}"),
                Err(Error::Lost { .. }) => return turn,
                Err(error) => panic!("call {number} of turn {turn}: {error}"),
            }
        }
        unreachable!("turns do not end");
    }

    /// Streams until the device is lost, into a sink that destroys it after some writes, or never.
    fn stream_until_lost(&self, writes: usize) {
        loop {
            let mut sink = Destroying { gpu: &self.gpu, left: writes, kept: Recorder::default() };
            let got = self.batches.stream(&self.gpu, &mut sink);
            // The outputs have the place and the bytes that they have alone.
            let all = &self.streamed.1.parts;
            assert!(sink.kept.parts.len() <= all.len());
            assert!(sink.kept.parts.iter().zip(all).all(|(got, wanted)| got == wanted));
            match got {
                Ok(got) => assert!(got == self.streamed.0 && sink.kept.parts.len() == all.len()),
                Err(Error::Lost { .. }) => return,
                Err(error) => panic!("the stream: {error}"),
            }
        }
    }

    /// Asserts that every later call reports it, too.
    fn is_lost(&self) {
        for call in &self.calls {
            for got in [call.on(&self.gpu), call.on_async(&self.gpu)] {
                assert!(matches!(got, Err(Error::Lost { .. })), "{:?}", got.map(|_| ()));
            }
        }
    }
}

#[test]
fn a_device_lost_within_a_stream_ends_the_calls_of_the_other_thread() {
    for (number, writes) in [0, 1, 2, 7, 12].into_iter().enumerate() {
        ends(&format!("after {writes} writes"), move || {
            let shared = Shared::open(number % 3);
            thread::scope(|scope| {
                scope.spawn(|| shared.stream_until_lost(writes));
                scope.spawn(|| shared.call_until_lost(number, number % 2 == 1));
            });
            shared.is_lost();
        });
    }
}

#[test]
fn a_device_lost_at_any_moment_ends_both_threads() {
    let mut came = 0;
    for number in 0..12 {
        let (done, ended) = mpsc::channel();
        ends(&format!("loss {number}"), move || {
            let shared = Shared::open(number % 3);
            // From at once to a dozen calls of two threads.
            let moment = shared.call * (number * number) as u32 / 5;
            let turns = thread::scope(|scope| {
                let calls = scope.spawn(|| shared.call_until_lost(number, number % 2 == 1));
                scope.spawn(|| shared.stream_until_lost(usize::MAX));
                thread::sleep(moment);
                shared.gpu.device().destroy();
                calls.join().unwrap()
            });
            shared.is_lost();
            let _ = done.send(turns);
        });
        came += ended.recv().unwrap();
    }
    assert!(came > 0, "no call came before its device was lost");
    println!("{came} calls came before their devices were lost");
}
