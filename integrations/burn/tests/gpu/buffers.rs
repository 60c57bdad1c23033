//! The kernels work on Burn's own buffers, in order with Burn's work.

use std::sync::Mutex;

use burn::backend::Cube;
use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::{Device, Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::wgpu::{AutoCompiler, WgpuResource, WgpuServer};
use burn_cubecl::tensor::CubeTensor;
use wgpu_loss::{CrossEntropy, Inputs, Tensor as View, wgpu};
use wgpu_loss_burn::CrossEntropyLossConfig;

use crate::support::{LOSS, close, host, ints, labels, numbers, opened, tensor, truth};

/// Returns a tensor's buffer in Burn, by CubeCL's public interface.
fn place(tensor: &CubeTensor) -> WgpuResource {
    let client = &tensor.client;
    let found = client.get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone());
    found.expect("a wgpu buffer").resource().clone()
}

fn floats<const D: usize>(tensor: &Tensor<D>) -> CubeTensor {
    let lazy = tensor.clone().try_into_primitive::<Cube>().expect("a tensor of the wgpu backend");
    lazy.client.clone().resolve_tensor_float::<CubeBackend>(lazy)
}

fn whole_numbers<const D: usize>(tensor: &Tensor<D, Int>) -> CubeTensor {
    let lazy = tensor.clone().try_into_primitive::<Cube>().expect("a tensor of the wgpu backend");
    lazy.client.clone().resolve_tensor_int::<CubeBackend>(lazy)
}

#[test]
fn what_is_written_into_burns_buffer_is_what_the_loss_reads() {
    let (device, setup) = opened();
    let (rows, classes) = (23, 8);
    let targets = labels(rows, classes, 1);
    let logits: Tensor<2> = tensor(&numbers(rows * classes, 2), [rows, classes], device);
    let WgpuResource { buffer, offset, .. } = place(&floats(&logits));
    let data = numbers(rows * classes, 3);
    setup.queue.write_buffer(&buffer, offset, bytemuck::cast_slice(&data));
    setup.queue.submit([]);
    let loss = CrossEntropyLossConfig::new().init(device);
    let loss = host(loss.forward(logits, ints(&targets, [rows], device)));
    let (shape, of_labels) = ([rows, classes], [rows]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&targets, &of_labels);
    close("the loss", &loss, &truth(&CrossEntropy::new(), &inputs).loss, LOSS, 0.0);
}

#[test]
fn one_buffer_may_hold_all_tensors() {
    let (device, _) = opened();
    let (rows, classes) = (16, 4);
    let data = numbers(rows * classes, 4);
    let targets = labels(rows, classes, 5);
    let logits = tensor(&data, [rows, classes], device);
    let labels = ints(&targets, [rows], device);
    let loss = CrossEntropyLossConfig::new().init(device).forward(logits.clone(), labels.clone());
    let places = [floats(&logits), whole_numbers(&labels), floats(&loss)].map(|it| place(&it));
    let [logits_at, labels_at, loss_at] = &places;
    assert_eq!(logits_at.buffer, labels_at.buffer, "Burn's pool gave them buffers of their own");
    assert_eq!(logits_at.buffer, loss_at.buffer, "Burn's pool gave them buffers of their own");
    let (shape, of_labels) = ([rows, classes], [rows]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&targets, &of_labels);
    close("the loss", &host(loss), &truth(&CrossEntropy::new(), &inputs).loss, LOSS, 0.0);
}

/// The GPU memory of a device, Burn's pools included.
struct Memory<'a>(&'a Device, &'a WgpuSetup);

impl Memory<'_> {
    fn now(&self) -> u64 {
        self.0.sync().expect("a device");
        self.1.device.poll(wgpu::PollType::wait_indefinitely()).expect("a device");
        let report = self.1.device.generate_allocator_report();
        report.expect("a wgpu backend that reports its allocations").total_allocated_bytes
    }

    /// Returns the memory that `run` takes at its peak: Burn keeps freed memory until it is asked to release it.
    fn taken<T>(&self, run: impl FnOnce() -> T) -> (u64, T) {
        self.0.sync().expect("a device");
        self.0.memory_cleanup();
        let before = self.now();
        let made = run();
        (self.now() - before, made)
    }
}

/// No tensor is copied for the kernels, and the gradient overwrites logits that have no other owner.
#[test]
fn no_memory_of_the_tensors_size_is_asked_for() {
    // A device of its own: other tests allocate.
    let setup = crate::devices::own_setup();
    let device = Device::wgpu_options().setup(setup.clone()).init().expect("a device");
    wgpu_loss_burn::attach(&device, &setup).expect("a device of Burn's wgpu backend");
    let memory = Memory(&device, &setup);
    let (rows, classes) = (4096, 4096);
    let bytes = (rows * classes * 4) as u64;
    let (little, a_copy) = (0..bytes / 4, bytes / 4 * 3..u64::MAX);
    let data = numbers(rows * classes, 7);
    let labels = labels(rows, classes, 6);
    let loss = CrossEntropyLossConfig::new().init(&device);

    let targets = ints(&labels, [rows], &device);
    let logits: Tensor<2> = tensor(&data, [rows, classes], &device);
    let (x, t) = (|| logits.clone(), || targets.clone());
    for (what, taken, wanted) in [
        ("forward", memory.taken(|| loss.forward(x(), t())).0, &little),
        ("of the transpose", memory.taken(|| loss.forward(x().transpose(), t())).0, &little),
        // The size of a copy, by the same measurement.
        ("a copy", memory.taken(|| x() * 2.0).0, &a_copy),
        (
            "of a slice",
            memory.taken(|| loss.forward(x().slice([0..rows, 1..classes]), t())).0,
            &a_copy,
        ),
    ] {
        assert!(wanted.contains(&taken), "{what}: {taken} bytes, a tensor has {bytes}");
    }
    drop(logits);

    let autodiff = device.clone().autodiff();
    let base: Tensor<2> = tensor(&data, [rows, classes], &autodiff).require_grad();
    let targets = ints(&labels, [rows], &autodiff);
    // Logits as a model returns them: the operation that made them does not need them again.
    let logits = base.clone() + 1.0;
    let kept = logits.clone();
    let (taken, _) = memory.taken(|| loss.forward(logits, targets.clone()));
    assert!(a_copy.contains(&taken), "a gradient next to the logits: {taken}");
    let (taken, value) = memory.taken(|| loss.forward(kept, targets));
    assert!(little.contains(&taken), "a gradient in the place of the logits: {taken}");
    // Multiplied in place.
    let (taken, grads) = memory.taken(|| (value * 0.5).backward());
    assert!(little.contains(&taken), "the backward pass: {taken}");
    assert!(base.grad(&grads).is_some());
}

/// Each loss reads what Burn has recorded before, and Burn reads what the loss wrote, without a `sync` between them;
/// memory that is freed is reused at once.
#[test]
fn everything_happens_in_its_order() {
    let (device, _) = opened();
    let (rows, classes) = (64, 10);
    let data = numbers(rows * classes, 8);
    let targets = labels(rows, classes, 9);
    let ours = CrossEntropyLossConfig::new().init(device);
    let labels = ints(&targets, [rows], device);
    let logits: Tensor<2> = tensor(&data, [rows, classes], device);
    let steps = 40;
    let losses: Vec<_> = (0..steps)
        .map(|step| ours.forward(logits.clone() * (step as f32 / 8.0), labels.clone()) * 2.0)
        .collect();
    let all = host(Tensor::cat(losses, 0));
    for (step, loss) in all.iter().enumerate() {
        let scaled: Vec<f32> = data.iter().map(|x| x * (step as f32 / 8.0)).collect();
        let (shape, of_labels) = ([rows, classes], [rows]);
        let inputs = Inputs::new(View::new(&scaled, &shape)).labels(&targets, &of_labels);
        let truth = truth(&CrossEntropy::new(), &inputs).loss[0] * 2.0;
        close("a loss", &[*loss], &[truth], LOSS, 0.0);
    }
}

/// Burn has a stream of work for each thread; a tensor may be made in one and used in another.
#[test]
fn threads() {
    let (device, _) = opened();
    let (rows, classes) = (64, 10);
    let targets = labels(rows, classes, 10);
    let made: Mutex<Vec<(u32, Tensor<2>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let made = &made;
            scope.spawn(move || {
                let logits = tensor(&numbers(rows * classes, seed), [rows, classes], device) * 0.5;
                made.lock().expect("no panic").push((seed, logits));
            });
        }
    });
    let made = made.into_inner().expect("no panic");
    let ours = CrossEntropyLossConfig::new().init(device);
    std::thread::scope(|scope| {
        for (seed, logits) in made {
            let (ours, targets) = (&ours, &targets);
            scope.spawn(move || {
                let loss = host(ours.forward(logits, ints(targets, [rows], device)));
                let half: Vec<f32> =
                    numbers(rows * classes, seed).iter().map(|x| x * 0.5).collect();
                let (shape, of_labels) = ([rows, classes], [rows]);
                let inputs = Inputs::new(View::new(&half, &shape)).labels(targets, &of_labels);
                close("the loss", &loss, &truth(&CrossEntropy::new(), &inputs).loss, LOSS, 0.0);
            });
        }
    });
}
