//! The life of a bound plan in a host's hands: rebinding, frames in flight, results in the host's own buffers,
//! and their way back.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use support::bound_points;
use support::data::{Data, Types};
use support::embedded::{Embedded, Place, buffer, read_words};
use support::frame::{Frame, submit_frame};
use support::gpus::{TestGpu, gpus};
use support::points::{Kind, Points, Types as PointTypes};
use support::random::Random;
use wgpu::BufferBinding;
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::{
    Bound, CrossEntropy, Decoded, ElementType, Error, Gpu, GpuOptions, LabelType, Outputs,
    RESULT_BYTES, Reader, Reduction,
};

fn frame(gpu: &TestGpu, turn: usize) -> Frame {
    Frame::new(gpu.device(), gpu.queue(), [40, 12], turn)
}

/// Records work and the copy of its result, and submits both.
fn submit(gpu: &TestGpu, bound: &Bound, reader: &Reader) -> wgpu::SubmissionIndex {
    submit_frame(gpu.device(), gpu.queue(), bound, Some(reader))
}

/// A host's own loop: polls the device now and then until a result has come.
fn come(gpu: &TestGpu, reader: &Reader) -> Result<Decoded, Error> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(come) = reader.try_read() {
            return come;
        }
        assert!(Instant::now() < deadline, "the result never comes");
        gpu.device().poll(wgpu::PollType::Poll).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_reader_brings_the_result_in_three_ways() {
    for gpu in gpus() {
        let frame = frame(gpu, 0);
        let bound = frame.bound(gpu.kernels()).unwrap();
        let reader = bound.reader().unwrap();
        for round in 0..3 {
            let what = |way| format!("{way}, round {round}, {}", gpu.name);
            submit(gpu, &bound, &reader);
            frame.check(&what("wait"), reader.wait().unwrap());
            let index = submit(gpu, &bound, &reader);
            frame.check(&what("wait for"), reader.wait_for(index).unwrap());
            submit(gpu, &bound, &reader);
            frame.check(&what("read"), pollster::block_on(reader.read()).unwrap());
            submit(gpu, &bound, &reader);
            frame.check(&what("try read"), come(gpu, &reader).unwrap());
            // A result may be read twice.
            frame.check(&what("again"), reader.wait().unwrap());
        }
    }
}

#[test]
fn a_submission_that_was_before_the_work_does_not_end_the_waiting() {
    for gpu in gpus() {
        let small = frame(gpu, 0);
        let bound = small.bound(gpu.kernels()).unwrap();
        let early = submit(gpu, &bound, &bound.reader().unwrap());
        let large = Frame::new(gpu.device(), gpu.queue(), [4000, 1000], 0);
        let bound = large.bound(gpu.kernels()).unwrap();
        let reader = bound.reader().unwrap();
        submit(gpu, &bound, &reader);
        large.check(&gpu.name, reader.wait_for(early).unwrap());
    }
}

#[test]
fn a_reading_may_be_dropped_or_given_up() {
    fn portable<T: Send + 'static>(_: &T) {}
    for gpu in gpus() {
        let frame = frame(gpu, 0);
        let bound = frame.bound(gpu.kernels()).unwrap();
        let reader = bound.reader().unwrap();
        submit(gpu, &bound, &reader);
        // Never polled, polled once, and asked for and forgotten.
        drop(reader.read());
        let mut future = Box::pin(reader.read());
        portable(&future);
        let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(future);
        let _ = reader.try_read();
        // The host's next step is not affected.
        submit(gpu, &bound, &reader);
        frame.check(&gpu.name, reader.wait().unwrap());
        // One reading at a time: the second is refused, the first is not harmed.
        submit(gpu, &bound, &reader);
        let first = reader.read();
        let refused = reader.wait();
        assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
        frame.check(&gpu.name, pollster::block_on(first).unwrap());
        // Everything else may be gone before the result comes.
        submit(gpu, &bound, &reader);
        let future = reader.read();
        drop((reader, bound));
        frame.check(&gpu.name, pollster::block_on(future).unwrap());
    }
}

#[test]
fn frames_in_flight_have_a_bound_each() {
    // Other tests compile for the devices that they share.
    for gpu in gpus() {
        let kernels = gpu.fresh().kernels().clone();
        let frames: Vec<_> = (0..3).map(|seed| frame(gpu, seed)).collect();
        let first = frames[0].bound(&kernels).unwrap();
        let compiled = kernels.compiled();
        let mut ring = vec![first];
        for frame in &frames[1..] {
            ring.push(ring[0].rebind(&frame.buffers()).unwrap());
        }
        assert_eq!(kernels.compiled(), compiled, "rebinding has compiled something");
        let readers: Vec<_> = ring.iter().map(|bound| bound.reader().unwrap()).collect();
        for step in 0..9 {
            let at = step % 3;
            if step >= 3 {
                frames[at].check(&format!("step {step}"), readers[at].wait().unwrap());
            }
            submit(gpu, &ring[at], &readers[at]);
        }
        // All recorded into one encoder, and into several submitted together: the workspace is one.
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        for (bound, reader) in ring.iter().zip(&readers) {
            bound.encode(&mut encoder);
            reader.record(&mut encoder);
        }
        for reader in &readers {
            reader.wait().unwrap();
        }
        gpu.queue().submit([encoder.finish()]);
        for (frame, reader) in frames.iter().zip(&readers) {
            frame.check("one encoder", reader.wait().unwrap());
        }
        let commands: Vec<_> = std::thread::scope(|scope| {
            let threads = ring.iter().zip(&readers).map(|(bound, reader)| {
                scope.spawn(move || {
                    let mut encoder = gpu.device().create_command_encoder(&Default::default());
                    bound.record(&mut encoder.begin_compute_pass(&Default::default()));
                    bound.encode(&mut encoder);
                    reader.record(&mut encoder);
                    encoder.finish()
                })
            });
            threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        gpu.queue().submit(commands);
        for (frame, reader) in frames.iter().zip(&readers) {
            frame.check("threads", reader.wait().unwrap());
            let truth = frame.data.truth(&CrossEntropy::new(), Frame::outputs());
            let grad = read_words(gpu, &frame.grad);
            for (got, wanted) in grad.iter().zip(truth.grad.as_ref().unwrap()) {
                assert!((f64::from(f32::from_bits(*got)) - wanted).abs() < 1e-7);
            }
        }
    }
}

#[test]
fn the_result_goes_where_the_host_wants_it() {
    for gpu in gpus() {
        let frame = frame(gpu, 1);
        let plan = frame.plan(gpu.kernels().profile());
        let arena = buffer(gpu, &[0xdead_beef; 256]);
        let range = |offset, size| BufferBinding {
            buffer: &arena,
            offset,
            size: wgpu::BufferSize::new(size),
        };
        let own = frame.bound(gpu.kernels()).unwrap();
        let reader = own.reader().unwrap();
        submit(gpu, &own, &reader);
        reader.wait().unwrap();
        let wanted = read_words(gpu, own.result().buffer);
        for offset in [0, 4, 36, 300, 960] {
            let buffers = frame.buffers().result(range(offset, RESULT_BYTES));
            let bound = Bound::new(gpu.kernels(), plan.clone(), &buffers).unwrap();
            assert_eq!((bound.result().buffer, bound.result().offset), (&arena, offset));
            let reader = bound.reader().unwrap();
            gpu.queue().write_buffer(&arena, 0, bytemuck::cast_slice(&[0xdead_beef_u32; 256]));
            submit(gpu, &bound, &reader);
            frame.check(&format!("at {offset}"), reader.wait().unwrap());
            let words = read_words(gpu, &arena);
            let at = offset as usize / 4;
            assert_eq!(words[at..at + 16], wanted, "at {offset} on {}", gpu.name);
            // There is no bad label, and so no number of one.
            assert_eq!(wanted[6..8], [0, 0], "{}", gpu.name);
            let around = words[..at].iter().chain(&words[at + 16..]);
            assert!(around.copied().all(|word| word == 0xdead_beef), "at {offset} on {}", gpu.name);
        }
        for (buffers, problem) in [
            (frame.buffers().result(range(2, RESULT_BYTES)), "multiple of 4"),
            (frame.buffers().result(range(964, 60)), "too small"),
            (frame.buffers().result(range(964, RESULT_BYTES)), "past"),
        ] {
            let error = Bound::new(gpu.kernels(), plan.clone(), &buffers).unwrap_err();
            assert!(
                matches!(&error, Error::Range { what: "result", problem: said, .. } if said.contains(problem)),
                "{error}"
            );
        }
        let over = frame.buffers().result(frame.grad.as_entire_buffer_binding());
        let error = Bound::new(gpu.kernels(), plan.clone(), &over).unwrap_err();
        assert!(matches!(error, Error::Overlap { .. }), "{error}");
        // Without a way out, there is no reader.
        let closed = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: RESULT_BYTES,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let buffers = frame.buffers().result(closed.as_entire_buffer_binding());
        let bound = Bound::new(gpu.kernels(), plan, &buffers).unwrap();
        let error = bound.reader().unwrap_err();
        assert_eq!(error, Error::Usage { what: "result", missing: "COPY_SRC" });
    }
}

#[test]
fn futures_of_results_wake_who_waits() {
    // An executor that parks its thread: it is done only if the waker is called.
    struct Parked(std::thread::Thread);
    impl std::task::Wake for Parked {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    for gpu in gpus() {
        let frame = frame(gpu, 2);
        let bound = frame.bound(gpu.kernels()).unwrap();
        let reader = bound.reader().unwrap();
        submit(gpu, &bound, &reader);
        let waker = Waker::from(std::sync::Arc::new(Parked(std::thread::current())));
        let mut future = pin!(reader.read());
        let deadline = Instant::now() + Duration::from_secs(60);
        let decoded = loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(decoded) => break decoded,
                Poll::Pending => std::thread::park_timeout(Duration::from_secs(61)),
            }
            assert!(Instant::now() < deadline, "nobody woke the thread");
        };
        frame.check(&gpu.name, decoded.unwrap());
    }
}

/// A device that no other test submits to.
fn own_gpu() -> Gpu {
    Gpu::with_options(&GpuOptions::new().tuning(TuningChoice::Table)).unwrap()
}

#[test]
fn later_submissions_are_not_waited_for() {
    let gpu = own_gpu();
    let small = Frame::new(gpu.device(), gpu.queue(), [40, 12], 0);
    let large = Frame::new(gpu.device(), gpu.queue(), [4000, 1000], 0);
    let [small_bound, large_bound] = [&small, &large].map(|f| f.bound(gpu.kernels()).unwrap());
    let reader = small_bound.reader().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let submit_large = |times: usize| {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        (0..times).for_each(|_| large_bound.encode(&mut encoder));
        done.store(false, Ordering::SeqCst);
        gpu.queue().submit([encoder.finish()]);
        let done = done.clone();
        gpu.queue().on_submitted_work_done(move || done.store(true, Ordering::SeqCst));
    };
    let wait = || gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    // So much work that it is under way for a fifth of a second.
    let mut times = 1;
    loop {
        let start = Instant::now();
        submit_large(times);
        let submitted = start.elapsed();
        wait();
        let took = start.elapsed();
        if took > Duration::from_millis(200) {
            if submitted > took / 2 {
                // llvmpipe does under OpenGL: 99.99 % of it, where Vulkan's submission takes 0.1 %.
                println!("NOT RUN: {} works while work is submitted", gpu.info().name);
                return;
            }
            break;
        }
        times *= 2;
    }
    type Way<'a> = &'a dyn Fn() -> Result<Decoded, Error>;
    let ways: [(&str, Way<'_>); 2] =
        [("wait", &|| reader.wait()), ("read", &|| pollster::block_on(reader.read()))];
    for (way, read) in ways {
        submit_frame(gpu.device(), gpu.queue(), &small_bound, Some(&reader));
        submit_large(times);
        small.check(way, read().unwrap());
        assert!(!done.load(Ordering::SeqCst), "{way} has waited for a later submission");
        wait();
        assert!(done.load(Ordering::SeqCst));
    }
}

/// A host that awaits a result every frame has no new thread every frame.
#[test]
fn one_thread_polls_for_all_futures() {
    /// An executor that notes which threads wake it.
    struct Noted(std::thread::Thread, Mutex<Vec<std::thread::ThreadId>>);
    impl std::task::Wake for Noted {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(std::thread::current().id());
            self.0.unpark();
        }
    }
    let gpu = own_gpu();
    let frame = Frame::new(gpu.device(), gpu.queue(), [2000, 1000], 0);
    let bound = frame.bound(gpu.kernels()).unwrap();
    let readers = [(); 2].map(|()| bound.reader().unwrap());
    let noted = Arc::new(Noted(std::thread::current(), Mutex::default()));
    let waker = Waker::from(noted.clone());
    for round in 0..20 {
        let reader = &readers[round % 2];
        submit_frame(gpu.device(), gpu.queue(), &bound, Some(reader));
        let mut future = pin!(reader.read());
        let decoded = loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(decoded) => break decoded,
                Poll::Pending => std::thread::park_timeout(Duration::from_secs(60)),
            }
        };
        frame.check(&format!("round {round}"), decoded.unwrap());
    }
    let threads = noted.1.lock().unwrap();
    assert!(threads.len() >= 3, "{} futures had to wait", threads.len());
    assert!(threads.iter().all(|thread| *thread == threads[0]), "{threads:?}");
}

/// A host that compiles all a plan may need does not wait for a compiler when it rebinds.
#[test]
fn all_that_a_plan_may_need_is_compiled_beforehand() {
    let outputs = Outputs::loss().with_grad();
    let halves = Types::all(ElementType::F16);
    let gpu = gpus()[0].fresh();
    for (name, data) in [
        ("ragged rows", Data::random(&[20, 131], 1)),
        ("wide rows", Data::random(&[20, 128], 1).labels_as(LabelType::U16)),
        ("short rows", Data::random(&[24, 5], 1)),
        ("columns", Data::random(&[3, 7, 64], 1)),
        ("halves", Data::random(&[20, 33], 1).random_weight().in_types(halves)),
    ] {
        let plan = || data.plan(&CrossEntropy::new(), outputs, gpu.kernels().profile());
        gpu.kernels().compile(&plan()).unwrap();
        let some = gpu.kernels().compiled();
        gpu.kernels().compile_all(&plan()).unwrap();
        let all = gpu.kernels().compiled();
        assert!(all > some, "{name}: {all} kernels, {some} of them at first");
        for lead in [0, 1, 2, 4, 6, 8, 64, 67] {
            for (in_place, arena) in [(false, false), (true, false), (false, true), (true, true)] {
                Embedded::new(&gpu, &data, plan(), Place { lead, in_place, arena });
            }
        }
        assert_eq!(gpu.kernels().compiled(), all, "{name}: binding has compiled something");
    }
    let points = Points::random(Kind::Logits, &[6, 50], PointTypes::F32);
    let points = points.weights(&[50], &[6, 1], ElementType::F16);
    let place = |lead, in_place, arena| bound_points::Place {
        lead,
        alike: lead == 4,
        in_place,
        arena,
        ..Default::default()
    };
    let plan =
        bound_points::plan_of(&gpu, &points, Reduction::None, outputs, place(0, false, false));
    gpu.kernels().compile_all(&plan).unwrap();
    // It computes something else too, of its own.
    bound_points::run(&gpu, &points, Reduction::None, outputs, place(0, false, false));
    let all = gpu.kernels().compiled();
    for lead in [0, 1, 3, 4] {
        for (in_place, arena) in [(false, false), (true, false), (false, true), (true, true)] {
            let place = place(lead, in_place, arena);
            bound_points::run(&gpu, &points, Reduction::None, outputs, place);
        }
    }
    assert_eq!(gpu.kernels().compiled(), all, "binding has compiled something");
}

/// A result's range may hold any bytes without a panic: a host may decode before the first step, or other bytes.
#[test]
fn any_bytes_are_decoded() {
    let gpu = &gpus()[0];
    let frame = frame(gpu, 0);
    let classes = frame.bound(gpu.kernels()).unwrap();
    let points = Points::random(Kind::Gaussian { full: false }, &[4, 6], PointTypes::F32);
    let points = points.var_in(&[4, 1]);
    let loss = points.loss(Reduction::Mean);
    let elements = gpu.bind(&*loss, &points.inputs(), Outputs::loss()).unwrap();
    let mut random = Random(5);
    for round in 0..2000 {
        let word = |random: &mut Random| match random.below(3) {
            0 => 0,
            1 => u32::MAX - random.below(3) as u32,
            _ => random.bits() << random.below(2),
        };
        let words: Vec<u32> = (0..16).map(|_| word(&mut random)).collect();
        for bound in [&classes, &elements] {
            let decoded = bound.decode(bytemuck::cast_slice(&words)).unwrap();
            let summary = decoded.summary;
            assert!(summary.ignored() <= summary.rows, "round {round}");
            let refused = summary.check(bound.plan().problem());
            assert_eq!(refused.is_err(), summary.bad > 0, "round {round}: {refused:?}");
            assert!(refused.map_or_else(|error| error.to_string().len(), |()| 1) > 0);
        }
    }
}

#[test]
fn labels_name_the_loss() {
    let gpu = &gpus()[0];
    let frame = frame(gpu, 0);
    assert_eq!(frame.bound(gpu.kernels()).unwrap().label(), "wgpu-loss cross_entropy");
    let bound =
        frame.bound(gpu.kernels()).unwrap().rebind(&frame.buffers().label("student")).unwrap();
    assert_eq!(bound.label(), "student: wgpu-loss cross_entropy");
}
