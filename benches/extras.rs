//! What cross-entropy's extras cost: the time of the kernels with them over the time without, measured in
//! turns on the same tensors. The answers are asserted against the f64 reference first.
//!
//! `cargo bench --bench extras` measures the best adapter; `WGPU_LOSS_ADAPTER=llvmpipe` picks one.

use std::time::Duration;

use wgpu_loss::gpu::Timer;
use wgpu_loss::{Bound, CrossEntropy, ElementType, Gpu, Outputs, reference};

// The program measures the same data.
#[path = "../cli/src/bench/case.rs"]
#[allow(dead_code)]
mod case;

use case::Case;

const SHAPES: [&[usize]; 5] =
    [&[4096, 1000], &[2048, 32_000], &[512, 151_936], &[1 << 20, 10], &[4, 21, 512, 512]];
/// Pairs of measurements: the median of their quotients is what counts.
const PAIRS: usize = 15;

/// A loss with something beside it.
struct Extra {
    name: &'static str,
    loss: CrossEntropy,
    with: fn(Outputs) -> Outputs,
}

fn extras() -> Vec<Extra> {
    let (plain, z_loss) = (CrossEntropy::new(), CrossEntropy::new().z_loss(1e-4));
    let extra = |name, loss: &CrossEntropy, with| Extra { name, loss: loss.clone(), with };
    vec![
        extra("z-loss, lse, argmax", &z_loss, |outputs| outputs.with_lse().with_argmax()),
        extra("accuracy", &plain, Outputs::with_accuracy),
        extra("rank", &plain, Outputs::with_rank),
        extra("entropy", &plain, Outputs::with_entropy),
        extra("losses of classes", &plain, Outputs::with_class_losses),
        extra("softcap, scale", &plain.clone().softcap(30.0).logit_scale(0.5), |outputs| outputs),
    ]
}

fn main() {
    let adapter = std::env::var("WGPU_LOSS_ADAPTER").unwrap_or_default();
    let gpu = Gpu::with_adapter(&adapter).expect("a GPU adapter");
    let timer = gpu.timer().expect("a timer");
    println!("{} ({:?}): time with / time without", gpu.info().name, gpu.info().backend);
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for shape in SHAPES {
        let case = Case::new(shape, ElementType::F32).expect("memory for the tensors");
        for (pass, outputs) in
            [("forward", Outputs::loss()), ("forward+gradient", Outputs::loss().with_grad())]
        {
            let plain = bind(&gpu, &case, &CrossEntropy::new(), outputs);
            for Extra { name, loss, with } in extras() {
                let label = format!("{shape:?} {pass}, {name}");
                if only.as_ref().is_some_and(|only| !label.contains(only)) {
                    continue;
                }
                assert_answer(&gpu, &case, &loss, with(Outputs::loss()));
                let bound = bind(&gpu, &case, &loss, with(outputs));
                let (quotient, time) = quotient(&timer, &bound, &plain);
                println!("{quotient:.3}  {label}  ({:.2} ms)", time.as_secs_f64() * 1e3);
            }
        }
    }
}

fn bind(gpu: &Gpu, case: &Case, loss: &CrossEntropy, outputs: Outputs) -> Bound {
    gpu.bind(loss, &case.inputs(), outputs).expect("bound tensors")
}

/// The median of the quotients of neighbouring times, and the time with the extras.
fn quotient(timer: &Timer<'_>, with: &Bound, without: &Bound) -> (f64, Duration) {
    let time = |bound: &Bound| timer.kernel(3, |pass| bound.record(pass)).expect("times").median();
    let mut times = Duration::MAX;
    let mut quotients: Vec<f64> = (0..PAIRS)
        .map(|_| {
            let (with, without) = (time(with), time(without));
            times = times.min(with);
            with.as_secs_f64() / without.as_secs_f64()
        })
        .collect();
    quotients.sort_by(f64::total_cmp);
    (quotients[PAIRS / 2], times)
}

/// Refuses to time a wrong answer.
fn assert_answer(gpu: &Gpu, case: &Case, loss: &CrossEntropy, outputs: Outputs) {
    let wanted = reference::run(loss, &case.inputs(), outputs).expect("a loss");
    let got = gpu.run(loss, &case.inputs(), outputs).expect("a loss");
    let off = (f64::from(got.loss[0]) / wanted.loss[0] - 1.0).abs();
    assert!(off < 2e-6, "{:?}: {} for {}", case.shape, got.loss[0], wanted.loss[0]);
    assert_eq!(got.rows.argmax, wanted.rows.argmax);
    assert_eq!(got.rows.rank, wanted.rows.rank);
    assert_eq!(got.summary.correct, wanted.summary.correct);
}
