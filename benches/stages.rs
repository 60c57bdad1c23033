//! The time of each part of a loss: each dispatch alone, and the whole with a part left out of its kernels, compared
//! with the whole and the roof. Leaving parts out makes most losses wrong, and only their time is reported; the losses
//! of the whole, and of kernels that only omit wgpu's checks or subgroups, are asserted.
//!
//! `cargo bench --bench stages -- --shape 8192x32000 --dtype f16` measures one shape of one type on the best adapter;
//! `WGPU_LOSS_ADAPTER` picks one, `--json` answers programs, `--seconds` says when to begin no further shape (480).

use std::time::Duration;

use serde_json::{Value, json};
use wgpu_loss::gpu::{Clock, Roofline, Times};
use wgpu_loss::{Bound, ElementType, Error, Gpu, Kernels, Outputs};

mod harness;

use harness::tensors::Tensors;
use harness::variations::{Variation, variations};
use harness::{attempt, by_shape_and_type, say, seconds};

/// Measurements of each.
const SAMPLES: usize = 11;
/// Shapes that a GPU should be fast at, and smaller ones for a processor.
const SHAPES: [&[usize]; 5] =
    [&[8192, 32_000], &[4096, 151_936], &[65_536, 1000], &[1 << 24, 10], &[16, 21, 1024, 1024]];
const SHAPES_CPU: [&[usize]; 5] =
    [&[512, 32_000], &[128, 151_936], &[8192, 1000], &[1 << 20, 10], &[2, 21, 512, 512]];

/// Runs the bench.
pub fn main() {
    say(format!("medians of {SAMPLES}"));
    by_shape_and_type("stages", [&SHAPES, &SHAPES_CPU], stages);
}

/// Measures one shape and type.
fn stages(
    gpu: &Gpu,
    shape: &[usize],
    element_type: ElementType,
    results: &mut Vec<Value>,
) -> Result<(), Error> {
    let tensors = Tensors::new(gpu, shape, element_type)?;
    let roof = Roofline::measure(gpu, tensors.case.logits.floats().bytes().len() as u64, SAMPLES)?;
    for (pass, outputs) in [("fwd", Outputs::loss()), ("fwd+bwd", Outputs::loss().with_grad())] {
        let stages = Stages { gpu, tensors: &tensors, outputs, roof: &roof };
        let mut found = stages.measure()?;
        found["shape"] = shape.into();
        found["dtype"] = element_type.name().into();
        found["pass"] = pass.into();
        tell(&found);
        results.push(found);
    }
    Ok(())
}

/// One pass of one case.
struct Stages<'a> {
    gpu: &'a Gpu,
    tensors: &'a Tensors,
    outputs: Outputs,
    roof: &'a Roofline,
}

impl Stages<'_> {
    fn measure(&self) -> Result<Value, Error> {
        let (gpu, kernels) = (self.gpu, self.gpu.kernels());
        let bound = self.tensors.bound(kernels, kernels.profile(), self.outputs)?;
        self.tensors.check(gpu, &bound)?;
        let whole = gpu.timer()?.kernel(SAMPLES, |pass| bound.record(pass))?;
        let mut steps = Vec::new();
        for step in gpu.timer()?.dispatches(SAMPLES, &bound)? {
            let times = seconds(&step.times.sorted);
            steps.push(json!({ "name": step.name, "groups": step.groups, "seconds": times }));
        }
        let mut left_out = Vec::new();
        for variation in variations(kernels) {
            let what = variation.what;
            match attempt(|| self.without(&variation, &bound)) {
                Ok(None) => {}
                Ok(Some(times)) => {
                    let [compared, times] =
                        [0, 1].map(|which: usize| seconds(&times[which].sorted));
                    left_out.push(json!({ "what": what, "seconds": times, "whole": compared }));
                }
                Err(reason) => left_out.push(json!({ "what": what, "reason": reason })),
            }
        }
        let bytes = self.tensors.case.bytes(self.outputs.grad);
        let rate = bytes as f64 / whole.median().as_secs_f64();
        let roof_rate = match self.outputs.grad {
            true => self.roof.gradient_rate(),
            false => self.roof.read_rate(),
        };
        Ok(json!({
            "bytes": bytes,
            "clock": clock_name(whole.clock),
            "roof": {
                "read": self.roof.read.as_secs_f64(),
                "copy": self.roof.copy.as_secs_f64(),
                "gb_per_s": roof_rate / 1e9,
            },
            "whole": seconds(&whole.sorted),
            "gb_per_s": rate / 1e9,
            "of_roof": rate / roof_rate,
            "steps": steps,
            "left_out": left_out,
        }))
    }

    /// Measures the whole, and in turns with it the whole with a part left out; `None` if it has no such part.
    fn without(&self, variation: &Variation, all: &Bound) -> Result<Option<Vec<Times>>, Error> {
        let (whole, part) = (self.gpu.kernels(), &variation.kernels);
        let texts = |kernels: &Kernels| {
            let plan = self.tensors.plan(kernels.profile(), self.outputs)?;
            Ok(plan.specs().map(|spec| spec.wgsl()).collect::<Vec<_>>())
        };
        let (before, mut after) = (texts(whole)?, texts(part)?);
        after.iter_mut().for_each(|text| *text = (variation.edit)(std::mem::take(text)));
        if !variation.trusts && before == after {
            return Ok(None);
        }
        let bound = self.tensors.bound(part, part.profile(), self.outputs)?;
        if variation.is_right {
            self.tensors.check(self.gpu, &bound)?;
        }
        self.gpu.timer()?.in_turns(SAMPLES, &[all, &bound]).map(Some)
    }
}

fn clock_name(clock: Clock) -> &'static str {
    match clock {
        Clock::Timestamps => "timestamps",
        Clock::Wall => "wall",
    }
}

/// Prints a table for people.
fn tell(found: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let median = |value: &Value| value["median"].as_f64().unwrap_or(f64::NAN);
    let compared = |part: &Value, whole: &Value| {
        let time = Duration::from_secs_f64(median(part).max(0.0));
        format!("{time:>10.2?} {:>4.0} %", 100.0 * median(part) / median(whole))
    };
    let (shape, whole) = (&found["shape"], &found["whole"]);
    let [dtype, pass, clock] = ["dtype", "pass", "clock"].map(|key| text(&found[key]));
    let rate = found["gb_per_s"].as_f64().unwrap_or_default();
    say(format!("\n{shape} {dtype} {pass}, by {clock}, {rate:.1} GB/s"));
    let of_roof = 100.0 * found["of_roof"].as_f64().unwrap_or_default();
    say(format!("  {}  {of_roof:.0} % of the roof", compared(whole, whole)));
    for step in found["steps"].as_array().into_iter().flatten() {
        let name = format!("{} groups  {}", step["groups"], text(&step["name"]));
        say(format!("  {}  {name}", compared(&step["seconds"], whole)));
    }
    for left in found["left_out"].as_array().into_iter().flatten() {
        let what = text(&left["what"]);
        match left["reason"].as_str() {
            None => {
                say(format!("  {}  without {what}", compared(&left["seconds"], &left["whole"])))
            }
            Some(reason) => say(format!("  without {what}: FAILED: {reason}")),
        }
    }
}
