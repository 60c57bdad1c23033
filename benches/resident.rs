//! Cross-entropy with everything resident, by the device's clock and by the wall's; for several placements of its
//! tensors; and the cost of a first call. The answer of each shape is asserted against the f64 reference before it is
//! timed.
//!
//! `cargo bench --bench resident` measures the best adapter; `WGPU_LOSS_ADAPTER=llvmpipe` picks one.
//! `wgpu-loss bench` measures the same shapes against the device's roof.

use std::time::{Duration, Instant};

use bytemuck::cast_slice;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, ElementType, Gpu, LabelType, Outputs, Plan, TargetType,
    reference, wgpu,
};

use wgpu_loss_cli::bench::case::{Case, Stored};

const SHAPES: [&[usize]; 5] =
    [&[4096, 1000], &[2048, 32_000], &[512, 151_936], &[1 << 20, 10], &[4, 21, 512, 512]];

fn gpu() -> Gpu {
    let adapter = std::env::var("WGPU_LOSS_ADAPTER").unwrap_or_default();
    Gpu::with_adapter(&adapter).expect("a GPU adapter")
}

fn passes() -> [(&'static str, Outputs); 2] {
    [("forward", Outputs::loss()), ("forward+gradient", Outputs::loss().with_grad())]
}

fn case(shape: &[usize]) -> Case {
    Case::new(shape, ElementType::F32).expect("memory for the tensors")
}

fn bind(gpu: &Gpu, case: &Case, outputs: Outputs) -> Bound {
    gpu.bind(&CrossEntropy::new(), &case.inputs(), outputs).expect("bound tensors")
}

/// Panics if an answer is wrong, before it is timed.
fn assert_answer(gpu: &Gpu, case: &Case) {
    let loss = CrossEntropy::new();
    let wanted = reference::run(&loss, &case.inputs(), Outputs::loss()).expect("a loss").loss[0];
    let got = gpu.run(&loss, &case.inputs(), Outputs::loss()).expect("a loss").loss[0];
    let off = (f64::from(got) - wanted).abs() / wanted;
    assert!(off < 2e-6, "{:?}: {got} for {wanted}", case.shape);
}

/// `kernel` is the device's work alone where the device has timestamps; `resident` adds recording,
/// submitting, waiting and reading the loss.
fn resident(criterion: &mut Criterion) {
    let gpu = gpu();
    let timer = gpu.timer().expect("a timer");
    println!("{} ({:?})", gpu.info().name, gpu.info().backend);
    for shape in SHAPES {
        let case = case(shape);
        assert_answer(&gpu, &case);
        for (name, outputs) in passes() {
            let mut group = criterion.benchmark_group(name);
            group.sample_size(10).throughput(Throughput::Bytes(case.bytes(outputs.grad)));
            let bound = bind(&gpu, &case, outputs);
            let kernel = |times| timer.kernel(times, |pass| bound.record(pass)).expect("times");
            println!("{shape:?} {name}: kernels by {:?}", kernel(1).clock);
            group.bench_function(BenchmarkId::new("kernel", format!("{shape:?}")), |bencher| {
                bencher.iter_custom(|times| kernel(times as usize).sum());
            });
            group.bench_function(BenchmarkId::new("resident", format!("{shape:?}")), |bencher| {
                bencher.iter_custom(|times| {
                    timer.resident(times as usize, &bound).expect("times").sum()
                });
            });
            group.finish();
        }
    }
}

/// Measures loss and gradient with the tensors in buffers of their own, in one buffer at multiples of 256 bytes, and in
/// one buffer with a word in front of each.
fn places(criterion: &mut Criterion) {
    let gpu = gpu();
    let timer = gpu.timer().expect("a timer");
    let outputs = Outputs::loss().with_grad();
    for shape in [&[4096, 1000], &[1 << 20, 10]] {
        let case = case(shape);
        let bounds = [
            ("apart", bind(&gpu, &case, outputs)),
            ("arena", bind_in_arena(&gpu, &case, 0)),
            ("arena, off 16 bytes", bind_in_arena(&gpu, &case, 4)),
        ];
        let mut group = criterion.benchmark_group("forward+gradient");
        group.sample_size(10).throughput(Throughput::Bytes(case.bytes(true)));
        for (place, bound) in bounds {
            group.bench_function(BenchmarkId::new(place, format!("{shape:?}")), |bencher| {
                let kernel = |times| timer.kernel(times, |pass| bound.record(pass));
                bencher.iter_custom(|times| kernel(times as usize).expect("times").sum());
            });
        }
        group.finish();
    }
}

/// Binds all tensors in one buffer, each `lead` bytes after a multiple of 256.
fn bind_in_arena(gpu: &Gpu, case: &Case, lead: u64) -> Bound {
    let Stored::F32(logits) = &case.logits else { panic!("f32 logits") };
    let (logits, labels): (&[u8], &[u8]) = (cast_slice(logits), cast_slice(&case.labels));
    let sizes = [logits.len(), labels.len(), logits.len()].map(|bytes| bytes as u64);
    let room = |bytes: u64| (bytes + lead).next_multiple_of(256);
    let arena = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("arena"),
        size: sizes.map(room).iter().sum(),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let starts = [lead, room(sizes[0]) + lead, room(sizes[0]) + room(sizes[1]) + lead];
    gpu.queue().write_buffer(&arena, starts[0], logits);
    gpu.queue().write_buffer(&arena, starts[1], labels);
    let range = |tensor: usize| wgpu::BufferBinding {
        buffer: &arena,
        offset: starts[tensor],
        size: wgpu::BufferSize::new(sizes[tensor]),
    };
    let shapes =
        Shapes::new(&case.shape).target(TargetType::Labels(LabelType::I64), &case.label_shape);
    let outputs = Outputs::loss().with_grad();
    let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, gpu.kernels().profile());
    let buffers = Buffers::new(range(0)).target(range(1)).grad(range(2));
    Bound::new(gpu.kernels(), plan.expect("a plan"), &buffers).expect("bound tensors")
}

/// A first call on a small batch: kernels compiled, tensors uploaded and bound, work done and loss
/// read. Drivers that keep compiled kernels on disk have them there from the second time on.
fn first_call(criterion: &mut Criterion) {
    let gpu = gpu();
    let case = case(&[64, 1000]);
    let once = |outputs| -> Duration {
        let fresh = gpu.fresh();
        let start = Instant::now();
        fresh.run(&CrossEntropy::new(), &case.inputs(), outputs).expect("a loss");
        start.elapsed()
    };
    let mut group = criterion.benchmark_group("first call");
    group.sample_size(10);
    for (name, outputs) in passes() {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| once(outputs)).sum());
        });
    }
    group.finish();
}

criterion_group!(benches, resident, places, first_call);
criterion_main!(benches);
