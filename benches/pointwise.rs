//! Losses of single elements with everything resident, compared with the device's roof: its speed of reading as many
//! bytes as the inputs have, and with a gradient of reading these and writing the gradient. The answer of each loss is
//! asserted against the f64 reference before it is timed.
//!
//! `cargo bench --bench pointwise` measures the best adapter; `WGPU_LOSS_ADAPTER=llvmpipe` picks one, `-- --json`
//! answers programs.

use serde_json::{Value, json};
use wgpu_loss::gpu::{Roofline, Timer};
use wgpu_loss::{
    Bce, BceWithLogits, ElementType, Error, GaussianNll, Gpu, Inputs, KlDiv, Loss, Outputs,
    PoissonNll, Tensor, reference,
};

mod harness;

use harness::{adapter, answer, attempt, gpu, say, seconds};
use wgpu_loss_cli::bench::case::Stored;

/// Elements of a tensor: 64 MiB of f32, more than caches hold.
const SHAPE: [usize; 2] = [4096, 4096];
const TYPES: [ElementType; 2] = [ElementType::F32, ElementType::BF16];
/// Measurements of each.
const SAMPLES: usize = 15;

/// Runs the bench.
pub fn main() {
    let gpu = gpu();
    let timer = gpu.timer().expect("a timer");
    say(format!("{} ({:?})", gpu.info().name, gpu.info().backend));
    let (mut results, mut failed) = (Vec::new(), Vec::new());
    for element_type in TYPES {
        for case in cases(element_type) {
            if let Err(reason) = attempt(|| measure(&gpu, &timer, &case, &mut results)) {
                say(format!("{} {}: FAILED: {reason}", case.name, element_type.name()));
                failed.push(json!({ "loss": case.name, "reason": reason }));
            }
        }
    }
    answer("pointwise", adapter(gpu.info()), json!({ "results": results, "failed": failed }));
}

/// Numbers between two others, spread evenly and out of order.
fn spread(element_type: ElementType, [low, high]: [f32; 2]) -> Stored {
    let count = SHAPE.iter().product::<usize>();
    let part = |n: usize| (n.wrapping_mul(0x9e37_79b9) >> 8 & 0xffff) as f32 / 65536.0;
    let numbers = (0..count).map(|n| low + (high - low) * part(n));
    Stored::new(element_type, count, numbers).expect("memory for a tensor")
}

/// A loss and its operands.
struct Case {
    name: &'static str,
    loss: Box<dyn Loss>,
    input: Stored,
    target: Stored,
    var: Option<Stored>,
}

impl Case {
    fn inputs(&self) -> Inputs<'_> {
        let inputs = Inputs::new(Tensor::new(self.input.floats(), &SHAPE))
            .target(Tensor::new(self.target.floats(), &SHAPE));
        match &self.var {
            Some(var) => inputs.var(Tensor::new(var.floats(), &SHAPE)),
            None => inputs,
        }
    }

    /// Bytes of a tensor, and of all inputs.
    fn bytes(&self) -> [u64; 2] {
        let bytes = |stored: &Stored| stored.floats().bytes().len() as u64;
        let var = self.var.as_ref().map_or(0, bytes);
        [bytes(&self.input), bytes(&self.input) + bytes(&self.target) + var]
    }
}

fn cases(element_type: ElementType) -> impl Iterator<Item = Case> {
    type Made = (&'static str, Box<dyn Loss>, [f32; 2], [f32; 2], Option<[f32; 2]>);
    let all: [Made; 5] = [
        ("bce", Box::new(Bce::new()), [0.001, 0.999], [0.0, 1.0], None),
        ("bce_with_logits", Box::new(BceWithLogits::new()), [-9.0, 9.0], [0.0, 1.0], None),
        ("kl_div", Box::new(KlDiv::new()), [-6.0, 0.0], [0.0, 1.0], None),
        ("gaussian_nll", Box::new(GaussianNll::new()), [-3.0, 3.0], [-2.0, 3.0], Some([0.25, 3.0])),
        ("poisson_nll", Box::new(PoissonNll::new()), [-3.0, 3.0], [0.0, 9.0], None),
    ];
    // One after the other: each has some hundred megabytes.
    all.into_iter().map(move |(name, loss, input, target, var)| Case {
        name,
        loss,
        input: spread(element_type, input),
        target: spread(element_type, target),
        var: var.map(|var| spread(element_type, var)),
    })
}

/// Panics if an answer is wrong, before it is timed.
fn assert_answer(gpu: &Gpu, case: &Case) -> Result<(), Error> {
    let wanted = reference::run(&*case.loss, &case.inputs(), Outputs::loss())?.loss[0];
    let got = gpu.run(&*case.loss, &case.inputs(), Outputs::loss())?.loss[0];
    let off = (f64::from(got) - wanted).abs() / wanted.abs();
    assert!(off < 4e-6, "{}: {got} for {wanted}", case.name);
    Ok(())
}

/// A loss, and the loss with its gradient.
fn measure(
    gpu: &Gpu,
    timer: &Timer<'_>,
    case: &Case,
    results: &mut Vec<Value>,
) -> Result<(), Error> {
    assert_answer(gpu, case)?;
    let dtype = case.input.floats().element_type().name();
    for (pass, outputs) in [("fwd", Outputs::loss()), ("fwd+bwd", Outputs::loss().with_grad())] {
        let [tensor, inputs] = case.bytes();
        let written = if outputs.grad { tensor } else { 0 };
        let bound = gpu.bind(&*case.loss, &case.inputs(), outputs)?;
        // The bytes that are read, and those that are written meanwhile.
        let roof = Roofline::measure(gpu, inputs, 9)?;
        let copied = Roofline::measure(gpu, written.max(16), 9)?;
        let least = match outputs.grad {
            true => (inputs - written) as f64 / roof.read_rate() + copied.copy.as_secs_f64(),
            false => inputs as f64 / roof.read_rate(),
        };
        let times = timer.kernel(SAMPLES, |pass| bound.record(pass))?;
        let median = times.median().as_secs_f64();
        let (bytes, percent) = (inputs + written, 100.0 * least / median);
        say(format!(
            "{} {dtype} {pass}: {:.2} GB/s, {percent:.0} % of the roof's {:.2} GB/s ({:?})",
            case.name,
            bytes as f64 / median / 1e9,
            bytes as f64 / least / 1e9,
            times.clock
        ));
        results.push(json!({
            "loss": case.name, "dtype": dtype, "shape": SHAPE, "pass": pass, "bytes": bytes,
            "seconds": seconds(&times.sorted), "gb_per_s": bytes as f64 / median / 1e9,
            "percent_of_roof": percent,
        }));
    }
    Ok(())
}
