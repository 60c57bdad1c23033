//! Cross-entropy with everything resident, by the device's clock and by the wall's, and what a host
//! pays for recording and for a first call. The answer of each shape is asserted against the f64
//! reference before it is timed.
//!
//! `cargo bench --bench resident` measures the best adapter; `WGPU_LOSS_ADAPTER=llvmpipe` picks one.
//! `wgpu-loss bench` measures the same shapes beside the device's roof.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_loss::{Bound, CrossEntropy, ElementType, Gpu, Outputs, reference};

// The program measures the same data.
#[path = "../cli/src/bench/case.rs"]
mod case;

use case::Case;

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

/// Refuses to time a wrong answer.
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

criterion_group!(benches, resident, first_call);
criterion_main!(benches);
