//! Cross-entropy with everything resident: record, submit, wait. The answer of each shape is asserted
//! against the f64 reference before it is timed.
//!
//! `cargo bench --bench resident` measures the best adapter; `WGPU_LOSS_ADAPTER=llvmpipe` picks one.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, Gpu, GpuOptions, Inputs, Outputs, Plan, Tensor, reference,
};

const SHAPES: [&[usize]; 5] =
    [&[4096, 1000], &[1024, 32000], &[128, 151_936], &[1 << 20, 10], &[4, 21, 512, 512]];

fn gpu() -> Gpu {
    let adapter = std::env::var("WGPU_LOSS_ADAPTER").ok();
    Gpu::with_options(&GpuOptions { adapter, ..Default::default() }).expect("a GPU adapter")
}

/// Numbers in [0, 1) that are the same on every run.
fn random(seed: u64, count: usize) -> impl Iterator<Item = f32> {
    let step = |state: &mut u64| {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some((*state >> 40) as f32 / (1u64 << 24) as f32)
    };
    let mut state = seed;
    std::iter::from_fn(move || step(&mut state)).take(count)
}

/// The tensors of one shape, on the host.
struct Case {
    shape: Vec<usize>,
    label_shape: Vec<usize>,
    logits: Vec<f32>,
    labels: Vec<i64>,
}

impl Case {
    fn new(shape: &[usize]) -> Self {
        let elements: usize = shape.iter().product();
        let classes = shape[1];
        let mut label_shape = shape.to_vec();
        label_shape.remove(1);
        Self {
            shape: shape.to_vec(),
            label_shape,
            logits: random(1, elements).map(|x| 8.0 * x - 4.0).collect(),
            labels: random(2, elements / classes).map(|x| (x * classes as f32) as i64).collect(),
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs::new(Tensor::new(&self.logits, &self.shape)).labels(&self.labels, &self.label_shape)
    }

    /// The tensors on the device, bound; the gradient has a buffer of its own.
    fn bind(&self, gpu: &Gpu, outputs: Outputs) -> Bound {
        let upload = |bytes: &[u8]| {
            let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes.len() as u64,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            gpu.queue().write_buffer(&buffer, 0, bytes);
            buffer
        };
        let logits = upload(bytemuck::cast_slice(&self.logits));
        let labels = upload(bytemuck::cast_slice(&self.labels));
        let grad = upload(bytemuck::cast_slice(&self.logits));
        let mut buffers = Buffers::new(logits.as_entire_buffer_binding())
            .target(labels.as_entire_buffer_binding());
        if outputs.grad {
            buffers = buffers.grad(grad.as_entire_buffer_binding());
        }
        let shapes = self.inputs().shapes();
        let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, gpu.kernels().profile());
        Bound::new(gpu.kernels(), plan.expect("a plan"), &buffers).expect("bound buffers")
    }

    /// Refuses to time a wrong answer.
    fn assert_answer(&self, gpu: &Gpu) {
        let loss = CrossEntropy::new();
        let wanted =
            reference::run(&loss, &self.inputs(), Outputs::loss()).expect("a loss").loss[0];
        let got = gpu.run(&loss, &self.inputs(), Outputs::loss()).expect("a loss").loss[0];
        let off = (f64::from(got) - wanted).abs() / wanted;
        assert!(off < 2e-6, "{:?}: {got} for {wanted}", self.shape);
    }
}

/// Seconds from recording to the end of the work.
fn once(gpu: &Gpu, bound: &Bound) -> Duration {
    let start = Instant::now();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    bound.record(&mut encoder.begin_compute_pass(&Default::default()));
    gpu.queue().submit([encoder.finish()]);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
    start.elapsed()
}

fn resident(criterion: &mut Criterion) {
    let gpu = gpu();
    println!("{} ({:?})", gpu.info().name, gpu.info().backend);
    for shape in SHAPES {
        let case = Case::new(shape);
        case.assert_answer(&gpu);
        let bytes = 4 * case.logits.len() as u64;
        let passes =
            [("forward", Outputs::loss(), 1), ("forward+gradient", Outputs::loss().with_grad(), 3)];
        for (name, outputs, moves) in passes {
            let mut group = criterion.benchmark_group(name);
            group.sample_size(10).throughput(Throughput::Bytes(moves * bytes));
            let bound = case.bind(&gpu, outputs);
            group.bench_function(BenchmarkId::from_parameter(format!("{shape:?}")), |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| once(&gpu, &bound)).sum());
            });
            group.finish();
        }
    }
}

/// The host's cost of recording a bound plan: no allocation, no write, no submission.
fn record(criterion: &mut Criterion) {
    let gpu = gpu();
    let bound = Case::new(&[64, 1000]).bind(&gpu, Outputs::loss().with_grad());
    criterion.bench_function("record", |bencher| {
        bencher.iter_custom(|times| {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            let start = Instant::now();
            for _ in 0..times {
                bound.record(&mut pass);
            }
            start.elapsed()
        });
    });
}

criterion_group!(benches, resident, record);
criterion_main!(benches);
