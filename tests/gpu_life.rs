//! The life of a bound plan in a host's hands: rebinding, frames in flight, results in the host's own buffers,
//! and their way back.

mod support;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use support::embedded::{buffer, read_words};
use support::frame::{Frame, submit_frame};
use support::gpus::{TestGpu, gpus};
use wgpu::BufferBinding;
use wgpu_loss::{Bound, CrossEntropy, Decoded, Error, RESULT_BYTES, Reader};

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
        // The host's next step is none the worse.
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
    for gpu in gpus() {
        let frames: Vec<_> = (0..3).map(|seed| frame(gpu, seed)).collect();
        let first = frames[0].bound(gpu.kernels()).unwrap();
        let compiled = gpu.kernels().compiled();
        let mut ring = vec![first];
        for frame in &frames[1..] {
            ring.push(ring[0].rebind(&frame.buffers()).unwrap());
        }
        assert_eq!(gpu.kernels().compiled(), compiled, "rebinding has compiled something");
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
            // Words 6 and 7 are the first bad label's, where there is one.
            assert_eq!(words[at..at + 6], wanted[..6], "at {offset} on {}", gpu.name);
            assert_eq!(words[at + 8..at + 16], wanted[8..], "at {offset} on {}", gpu.name);
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

#[test]
fn labels_name_the_loss() {
    let gpu = &gpus()[0];
    let frame = frame(gpu, 0);
    assert_eq!(frame.bound(gpu.kernels()).unwrap().label(), "wgpu-loss cross_entropy");
    let bound =
        frame.bound(gpu.kernels()).unwrap().rebind(&frame.buffers().label("student")).unwrap();
    assert_eq!(bound.label(), "student: wgpu-loss cross_entropy");
}
