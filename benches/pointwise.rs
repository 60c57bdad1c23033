//! Losses of single elements with everything resident, beside the device's roof: how fast it reads as
//! many bytes as the inputs have, and with a gradient reads these and writes the gradient. The answer of
//! each loss is asserted against the f64 reference before it is timed.
//!
//! `cargo bench --bench pointwise` measures the best adapter; `WGPU_LOSS_ADAPTER=llvmpipe` picks one.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_loss::gpu::Roof;
use wgpu_loss::{
    Bce, BceWithLogits, GaussianNll, Gpu, Inputs, KlDiv, Loss, Outputs, PoissonNll, Tensor,
    reference,
};

/// Elements of a tensor: 64 MiB of f32, more than caches hold.
const SHAPE: [usize; 2] = [4096, 4096];

fn gpu() -> Gpu {
    let adapter = std::env::var("WGPU_LOSS_ADAPTER").unwrap_or_default();
    Gpu::with_adapter(&adapter).expect("a GPU adapter")
}

/// Numbers between two others, spread evenly and out of order.
fn spread(low: f32, high: f32) -> Vec<f32> {
    let count = SHAPE.iter().product::<usize>();
    let part = |n: usize| (n.wrapping_mul(0x9e37_79b9) >> 8 & 0xffff) as f32 / 65536.0;
    (0..count).map(|n| low + (high - low) * part(n)).collect()
}

/// A loss and its operands.
struct Case {
    name: &'static str,
    loss: Box<dyn Loss>,
    input: Vec<f32>,
    target: Vec<f32>,
    var: Option<Vec<f32>>,
}

impl Case {
    fn new(name: &'static str, loss: impl Loss + 'static, x: [f32; 2], t: [f32; 2]) -> Self {
        let (input, target) = (spread(x[0], x[1]), spread(t[0], t[1]));
        Self { name, loss: Box::new(loss), input, target, var: None }
    }

    fn inputs(&self) -> Inputs<'_> {
        let tensor = |data| Tensor::new(data, &SHAPE);
        let inputs = Inputs::new(tensor(&self.input)).target(tensor(&self.target));
        match &self.var {
            Some(var) => inputs.var(tensor(var)),
            None => inputs,
        }
    }

    /// Bytes of the inputs.
    fn bytes(&self) -> u64 {
        4 * (self.input.len() + self.target.len() + self.var.as_ref().map_or(0, Vec::len)) as u64
    }
}

fn cases() -> [Case; 5] {
    let mut gaussian = Case::new("gaussian_nll", GaussianNll::new(), [-3.0, 3.0], [-2.0, 3.0]);
    gaussian.var = Some(spread(0.25, 3.0));
    [
        Case::new("bce", Bce::new(), [0.001, 0.999], [0.0, 1.0]),
        Case::new("bce_with_logits", BceWithLogits::new(), [-9.0, 9.0], [0.0, 1.0]),
        Case::new("kl_div", KlDiv::new(), [-6.0, 0.0], [0.0, 1.0]),
        gaussian,
        Case::new("poisson_nll", PoissonNll::new(), [-3.0, 3.0], [0.0, 9.0]),
    ]
}

/// Refuses to time a wrong answer.
fn assert_answer(gpu: &Gpu, case: &Case) {
    let wanted =
        reference::run(&*case.loss, &case.inputs(), Outputs::loss()).expect("a loss").loss[0];
    let got = gpu.run(&*case.loss, &case.inputs(), Outputs::loss()).expect("a loss").loss[0];
    let off = (f64::from(got) - wanted).abs() / wanted.abs();
    assert!(off < 4e-6, "{}: {got} for {wanted}", case.name);
}

fn pointwise(criterion: &mut Criterion) {
    let gpu = gpu();
    let timer = gpu.timer().expect("a timer");
    println!("{} ({:?})", gpu.info().name, gpu.info().backend);
    for case in cases() {
        assert_answer(&gpu, &case);
        for (name, outputs) in
            [("forward", Outputs::loss()), ("forward+gradient", Outputs::loss().with_grad())]
        {
            let written = if outputs.grad { 4 * case.input.len() as u64 } else { 0 };
            let bytes = case.bytes() + written;
            let bound = gpu.bind(&*case.loss, &case.inputs(), outputs).expect("bound tensors");
            let kernel = |times| timer.kernel(times, |pass| bound.record(pass)).expect("times");
            // What is read, and what is written while as much is read.
            let roof = Roof::measure(&gpu, case.bytes(), 9).expect("a roof");
            let copied = Roof::measure(&gpu, written.max(16), 9).expect("a roof");
            let least = match outputs.grad {
                true => {
                    (case.bytes() - written) as f64 / roof.read_rate() + copied.copy.as_secs_f64()
                }
                false => case.bytes() as f64 / roof.read_rate(),
            };
            let times = kernel(15);
            let median = times.median().as_secs_f64();
            println!(
                "{} {name}: {:.2} GB/s, {:.0} % of the roof's {:.2} GB/s ({:?})",
                case.name,
                bytes as f64 / median / 1e9,
                100.0 * least / median,
                bytes as f64 / least / 1e9,
                times.clock
            );
            let mut group = criterion.benchmark_group(name);
            group.sample_size(10).throughput(Throughput::Bytes(bytes));
            group.bench_function(BenchmarkId::new("kernel", case.name), |bencher| {
                bencher.iter_custom(|times| kernel(times as usize).sum());
            });
            group.finish();
        }
    }
}

criterion_group!(benches, pointwise);
criterion_main!(benches);
