//! Many recordings: several encoders and threads, frames in flight, and a training loop that never leaves the GPU.

use std::ops::Range;
use std::thread;

use external_host::{Arena, Host, block_on, close, noise, on_every_host, truth};
use wgpu_loss::loss::Shapes;
use wgpu_loss::{Bound, Buffers, CrossEntropy, Decoded, LabelType, Outputs, Plan, TargetType};

const ROWS: usize = 24;
const CLASSES: usize = 10;
const FRAMES: usize = 3;

/// The tensors of a frame.
struct Frame {
    input: Range<u64>,
    target: Range<u64>,
    weight: Range<u64>,
    grad: Range<u64>,
}

impl Frame {
    fn new(arena: &mut Arena<'_>) -> Self {
        Self {
            input: arena.room(4 * ROWS * CLASSES),
            target: arena.put(&labels()),
            weight: arena.put(&[1f32; CLASSES]),
            grad: arena.room(4 * ROWS * CLASSES),
        }
    }

    fn buffers<'a>(&self, arena: &'a Arena<'_>) -> Buffers<'a> {
        Buffers::new(arena.at(&self.input))
            .target(arena.at(&self.target))
            .weight(arena.at(&self.weight))
            .grad(arena.at(&self.grad))
            .label("external host's frame")
    }
}

fn labels() -> Vec<u8> {
    (0..ROWS).map(|row| (row * row % CLASSES) as u8).collect()
}

fn plan(host: &Host) -> Plan {
    let shapes = Shapes::new(&[ROWS, CLASSES])
        .target(TargetType::Labels(LabelType::U8), &[ROWS])
        .weight(CLASSES);
    let outputs = Outputs::loss().with_grad();
    Plan::new(&CrossEntropy::new(), &shapes, outputs, host.kernels.profile()).expect("a plan")
}

/// The frames of a ring in one arena, all bound to one plan.
fn ring<'a>(host: &Host, arena: &'a mut Arena<'_>) -> (&'a Arena<'a>, Vec<Frame>, Vec<Bound>) {
    let frames: Vec<_> = (0..FRAMES).map(|_| Frame::new(arena)).collect();
    let arena = &*arena;
    let first = Bound::new(&host.kernels, plan(host), &frames[0].buffers(arena)).expect("bound");
    let mut bound = vec![first];
    for frame in &frames[1..] {
        bound.push(bound[0].rebind(&frame.buffers(arena)).expect("bound again"));
    }
    (arena, frames, bound)
}

#[test]
fn frames_in_flight_and_three_ways_to_their_results() {
    on_every_host(|host| {
        let mut arena = Arena::new(host, 1 << 14);
        let (arena, frames, bound) = ring(host, &mut arena);
        let readers: Vec<_> = bound.iter().map(|bound| bound.reader().unwrap()).collect();
        let logits = |step: usize| noise(ROWS * CLASSES, step as u32);
        let finish = |step: usize| {
            let (frame, reader) = (&frames[step % FRAMES], &readers[step % FRAMES]);
            let Decoded { loss, summary, .. } = match step % 4 {
                0 => host.until(|| reader.try_read()),
                1 => block_on(reader.read()),
                2 => {
                    drop(reader.read());
                    thread::scope(|scope| scope.spawn(|| block_on(reader.read())).join()).unwrap()
                }
                _ => reader.wait(),
            }
            .expect("a result");
            let truth = truth::cross_entropy(&logits(step), &labels(), &[1.0; CLASSES]);
            close("loss", &[loss], &[truth.loss], 1e-6);
            assert_eq!(summary.check(reader.problem()), Ok(()));
            if step + FRAMES >= 10 {
                close("gradient", &arena.read::<f32>(&frame.grad), &truth.grad, 4e-6);
            }
        };
        for step in 0..10 {
            if step >= FRAMES {
                finish(step - FRAMES);
            }
            arena.write(&frames[step % FRAMES].input, &logits(step));
            let mut encoder = host.encoder();
            bound[step % FRAMES].encode(&mut encoder);
            readers[step % FRAMES].record(&mut encoder);
            host.queue.submit([encoder.finish()]);
        }
        (10 - FRAMES..10).for_each(finish);
        arena.check();
    });
}

#[test]
fn recorded_by_threads_into_several_encoders() {
    on_every_host(|host| {
        let mut arena = Arena::new(host, 1 << 14);
        let (arena, frames, bound) = ring(host, &mut arena);
        for (number, frame) in frames.iter().enumerate() {
            arena.write(&frame.input, &noise(ROWS * CLASSES, number as u32));
        }
        // Every thread records every frame, twice in one pass and once in one of its own.
        let record = || {
            let mut encoder = host.encoder();
            let mut pass = encoder.begin_compute_pass(&Default::default());
            bound.iter().chain(&bound).for_each(|bound| bound.record(&mut pass));
            drop(pass);
            bound.iter().for_each(|bound| bound.encode(&mut encoder));
            encoder.finish()
        };
        let commands = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(record)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        host.queue.submit(commands);
        for (number, (frame, bound)) in frames.iter().zip(&bound).enumerate() {
            let logits = noise(ROWS * CLASSES, number as u32);
            let truth = truth::cross_entropy(&logits, &labels(), &[1.0; CLASSES]);
            let decoded = bound.decode(&host.read(bound.result())).unwrap();
            close("loss", &[decoded.loss], &[truth.loss], 1e-6);
            close("gradient", &arena.read::<f32>(&frame.grad), &truth.grad, 4e-6);
        }
        arena.check();
    });
}

#[test]
fn what_is_in_flight_may_be_dropped() {
    on_every_host(|host| {
        let mut arena = Arena::new(host, 1 << 14);
        let (arena, frames, bound) = ring(host, &mut arena);
        frames.iter().for_each(|frame| arena.write(&frame.input, &noise(ROWS * CLASSES, 1)));
        let mut encoder = host.encoder();
        let readers: Vec<_> = bound.iter().map(|bound| bound.reader().unwrap()).collect();
        bound.iter().for_each(|bound| bound.encode(&mut encoder));
        readers.iter().for_each(|reader| reader.record(&mut encoder));
        // The commands keep what they need, and so do futures.
        drop(bound);
        host.queue.submit([encoder.finish()]);
        let reading = readers[0].read();
        drop(readers[1].read());
        assert!(readers[2].try_read().is_none_or(|read| read.is_ok()));
        drop(readers);
        let truth = truth::cross_entropy(&noise(ROWS * CLASSES, 1), &labels(), &[1.0; CLASSES]);
        close("loss", &[block_on(reading).unwrap().loss], &[truth.loss], 1e-6);
        close("gradient", &arena.read::<f32>(&frames[2].grad), &truth.grad, 4e-6);
    });
}
