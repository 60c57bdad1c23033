//! The cost of cross-entropy's extras: the time of the kernels with them over the time without, measured in turns on
//! the same tensors. The answers are asserted against the f64 reference first.
//!
//! `cargo bench --bench extras` measures the best adapter; `WGPU_LOSS_ADAPTER=llvmpipe` picks one, `-- --json` answers
//! programs, and `-- --only TEXT` measures those whose line contains it.

use std::time::Duration;

use serde_json::{Value, json};
use wgpu_loss::gpu::Timer;
use wgpu_loss::{Bound, CrossEntropy, ElementType, Error, Gpu, Outputs, reference};

mod harness;

use harness::{adapter, answer, arguments, attempt, gpu, say};
use wgpu_loss_cli::bench::case::Case;

const SHAPES: [&[usize]; 5] =
    [&[4096, 1000], &[2048, 32_000], &[512, 151_936], &[1 << 20, 10], &[4, 21, 512, 512]];
/// Pairs of measurements: the result is the median of their quotients.
const PAIRS: usize = 15;

/// A loss with an optional output.
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
        extra("variance", &plain, Outputs::with_variance),
        extra("losses of classes", &plain, Outputs::with_class_losses),
        extra("softcap, scale", &plain.clone().softcap(30.0).logit_scale(0.5), |outputs| outputs),
    ]
}

/// Runs the bench.
pub fn main() {
    let gpu = gpu();
    say(format!("{} ({:?}): time with / time without", gpu.info().name, gpu.info().backend));
    let (mut results, mut failed) = (Vec::new(), Vec::new());
    for shape in SHAPES {
        if let Err(reason) = attempt(|| measure(&gpu, shape, &mut results)) {
            say(format!("{shape:?}: FAILED: {reason}"));
            failed.push(json!({ "shape": shape, "reason": reason }));
        }
    }
    answer("extras", adapter(gpu.info()), json!({ "results": results, "failed": failed }));
}

/// All extras of a shape.
fn measure(gpu: &Gpu, shape: &[usize], results: &mut Vec<Value>) -> Result<(), Error> {
    let timer = gpu.timer()?;
    let only = arguments("--only");
    let case = Case::new(shape, ElementType::F32).expect("memory for the tensors");
    for (pass, outputs) in [("fwd", Outputs::loss()), ("fwd+bwd", Outputs::loss().with_grad())] {
        let plain = bind(gpu, &case, &CrossEntropy::new(), outputs)?;
        for Extra { name, loss, with } in extras() {
            let label = format!("{shape:?} {pass}, {name}");
            if only.iter().any(|only| !label.contains(only)) {
                continue;
            }
            assert_answer(gpu, &case, &loss, with(Outputs::loss()))?;
            let bound = bind(gpu, &case, &loss, with(outputs))?;
            let (quotient, time) = quotient(&timer, &bound, &plain)?;
            say(format!("{quotient:.3}  {label}  ({:.2} ms)", time.as_secs_f64() * 1e3));
            results.push(json!({
                "shape": shape, "pass": pass, "extra": name, "quotient": quotient,
                "seconds": time.as_secs_f64(),
            }));
        }
    }
    Ok(())
}

fn bind(gpu: &Gpu, case: &Case, loss: &CrossEntropy, outputs: Outputs) -> Result<Bound, Error> {
    gpu.bind(loss, &case.inputs(), outputs)
}

/// The median of the quotients of neighbouring times, and the least time with the extras.
fn quotient(timer: &Timer<'_>, with: &Bound, without: &Bound) -> Result<(f64, Duration), Error> {
    let time = |bound: &Bound| Ok(timer.kernel(3, |pass| bound.record(pass))?.median());
    let mut least = Duration::MAX;
    let mut quotients = Vec::new();
    for _ in 0..PAIRS {
        let (with, without): (Duration, Duration) = (time(with)?, time(without)?);
        least = least.min(with);
        quotients.push(with.as_secs_f64() / without.as_secs_f64());
    }
    quotients.sort_by(f64::total_cmp);
    Ok((quotients[PAIRS / 2], least))
}

/// Panics if an answer is wrong, before it is timed.
fn assert_answer(
    gpu: &Gpu,
    case: &Case,
    loss: &CrossEntropy,
    outputs: Outputs,
) -> Result<(), Error> {
    let wanted = reference::run(loss, &case.inputs(), outputs)?;
    let got = gpu.run(loss, &case.inputs(), outputs)?;
    let off = (f64::from(got.loss[0]) / wanted.loss[0] - 1.0).abs();
    assert!(off < 2e-6, "{:?}: {} for {}", case.shape, got.loss[0], wanted.loss[0]);
    assert_eq!(got.rows.argmax, wanted.rows.argmax);
    assert_eq!(got.rows.rank, wanted.rows.rank);
    assert_eq!(got.summary.correct, wanted.summary.correct);
    Ok(())
}
