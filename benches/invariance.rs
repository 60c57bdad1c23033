//! The cost of batch invariance: the time of the kernels with the option over the time without, measured in turns on
//! the same tensors.
//!
//! `cargo bench --bench invariance` measures the best adapter; `WGPU_LOSS_ADAPTER=llvmpipe` picks one, `-- --json`
//! answers programs, and `-- --only TEXT` measures those whose line contains it.

use std::time::Duration;

use serde_json::{Value, json};
use wgpu_loss::gpu::Timer;
use wgpu_loss::{Bound, CrossEntropy, ElementType, Error, Gpu, Outputs};

mod harness;

use harness::{adapter, answer, arguments, attempt, gpu, options, say};
use wgpu_loss_cli::bench::case::Case;

/// Rows of whole loads, rows that start inside loads, few and many, long and short, and images.
const SHAPES: [&[usize]; 10] = [
    &[1 << 20, 10],
    &[8192, 1000],
    &[8192, 1001],
    &[512, 32_000],
    &[256, 50_257],
    &[128, 128_256],
    &[1, 128_256],
    &[16, 1001],
    &[4, 21, 512, 512],
    &[4, 150, 64, 64],
];
/// Pairs of measurements: the result is the median of their quotients.
const PAIRS: usize = 9;

/// Runs the bench.
pub fn main() {
    let gpu = gpu();
    let fixed = Gpu::with_options(&options().batch_invariant()).expect("the same adapter");
    say(format!("{} ({:?}): time with / time without", gpu.info().name, gpu.info().backend));
    let (mut results, mut failed) = (Vec::new(), Vec::new());
    for shape in SHAPES {
        for element_type in [ElementType::F32, ElementType::BF16] {
            if let Err(reason) =
                attempt(|| measure(&gpu, &fixed, shape, element_type, &mut results))
            {
                say(format!("{shape:?} {}: FAILED: {reason}", element_type.name()));
                failed.push(json!({ "shape": shape, "reason": reason }));
            }
        }
    }
    answer("invariance", adapter(gpu.info()), json!({ "results": results, "failed": failed }));
}

fn measure(
    gpu: &Gpu,
    fixed: &Gpu,
    shape: &[usize],
    element_type: ElementType,
    results: &mut Vec<Value>,
) -> Result<(), Error> {
    let timers = [fixed.timer()?, gpu.timer()?];
    let only = arguments("--only");
    let (loss, typed) = (CrossEntropy::new(), element_type.name());
    for (pass, outputs) in [("fwd", Outputs::loss()), ("fwd+bwd", Outputs::loss().with_grad())] {
        let label = format!("{shape:?} {typed} {pass}");
        if only.iter().any(|only| !label.contains(only)) {
            continue;
        }
        let case = Case::new(shape, element_type).expect("memory for the tensors");
        let with = fixed.bind(&loss, &case.inputs(), outputs)?;
        let without = gpu.bind(&loss, &case.inputs(), outputs)?;
        // If both plans are the same work there is nothing to measure.
        if with.plan().to_string() == without.plan().to_string() {
            say(format!("the same  {label}"));
            results.push(json!({ "shape": shape, "type": typed, "pass": pass, "quotient": 1.0 }));
            continue;
        }
        let (quotient, time) = quotient(&timers, [&with, &without])?;
        say(format!("{quotient:.3}  {label}  ({:.2} ms)", time.as_secs_f64() * 1e3));
        results.push(json!({
            "shape": shape, "type": typed, "pass": pass, "quotient": quotient,
            "seconds": time.as_secs_f64(),
        }));
    }
    Ok(())
}

/// The median of the quotients of neighbouring times, and the least time with the option.
fn quotient(timers: &[Timer<'_>; 2], works: [&Bound; 2]) -> Result<(f64, Duration), Error> {
    let mut quotients = Vec::new();
    let mut least = Duration::MAX;
    for _ in 0..PAIRS {
        let time = |of: usize| Ok(timers[of].kernel(3, |pass| works[of].record(pass))?.median());
        let (with, without): (Duration, Duration) = (time(0)?, time(1)?);
        least = least.min(with);
        quotients.push(with.as_secs_f64() / without.as_secs_f64());
    }
    quotients.sort_by(f64::total_cmp);
    Ok((quotients[PAIRS / 2], least))
}
