//! A call on the page's buffers, recorded any number of times.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use wgpu_loss::{
    Bound, Buffers, CLASS_BYTES, Gpu, Kernels, LargeOutput, Outputs, Plan, RESULT_BYTES, Reduction,
    class_losses, wgpu,
};

use crate::door::Door;
use crate::errors::{argument, error, set};
use crate::operand::{Described, Slot, shapes};
use crate::question::Question;
use crate::results;

/// The output that a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Room {
    Loss,
    Grad,
    LogProbs,
    Probs,
    TargetGrad,
    VarGrad,
    Rows,
    Classes,
    Result,
}

/// An output of a call on buffers.
#[derive(Serialize)]
struct Place {
    name: Room,
    bytes: f64,
    shape: Vec<usize>,
    r#type: &'static str,
    /// The words of a row, of `rows`.
    fields: Vec<&'static str>,
}

/// A planned call: its outputs are known, its buffers are not.
#[wasm_bindgen]
pub struct Prepared {
    device: wgpu::Device,
    kernels: Kernels,
    door: Door,
    plan: Arc<Plan>,
    places: Vec<Place>,
}

/// What a range holds: a tensor of the call, or an output.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Of(Slot),
    To(Room),
}

#[wasm_bindgen]
extern "C" {
    /// A tensor's range in a buffer of the page, as the package names it.
    pub type Range;

    #[wasm_bindgen(method, getter)]
    fn name(this: &Range) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn buffer(this: &Range) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn offset(this: &Range) -> f64;
    #[wasm_bindgen(method, getter)]
    fn bytes(this: &Range) -> f64;
}

impl Prepared {
    pub fn new(
        gpu: &Gpu,
        door: &Door,
        question: Question,
        described: &[Described],
    ) -> Result<Self, JsValue> {
        let kernels = gpu.kernels().clone();
        let shapes = shapes(described)?;
        let plan = Plan::new(&*question.loss, &shapes, question.outputs, kernels.profile());
        let plan = plan.map_err(error)?;
        let places = places(&plan, question.distribution, described);
        let door = JsValue::from(door).unchecked_into();
        Ok(Self { device: gpu.device().clone(), kernels, door, plan: Arc::new(plan), places })
    }
}

#[wasm_bindgen]
impl Prepared {
    /// Returns name, bytes, shape and type of each output.
    pub fn places(&self) -> Result<JsValue, JsValue> {
        serde_wasm_bindgen::to_value(&self.places).map_err(|error| argument(&error.to_string()))
    }

    /// Binds the call to the ranges of its tensors; of the gradient there is none where it overwrites the input.
    pub fn bind(&self, ranges: Vec<Range>) -> Result<Step, JsValue> {
        let named = |range: &Range| {
            serde_wasm_bindgen::from_value(range.name()).map_err(|e| argument(&e.to_string()))
        };
        let handles = self.handles(&ranges);
        let mut bindings = ranges.iter().zip(&handles).map(|(range, buffer)| {
            let size = wgpu::BufferSize::new(range.bytes() as u64);
            wgpu::BufferBinding { buffer, offset: range.offset() as u64, size }
        });
        let input = bindings.next().ok_or_else(|| argument("there is no input"))?;
        let mut buffers = Buffers::new(input);
        let mut grad_in_place = self.plan.problem().outputs.grad;
        for (range, binding) in ranges.iter().skip(1).zip(bindings) {
            let name: Name = named(range)?;
            grad_in_place &= !matches!(name, Name::To(Room::Grad));
            buffers = put(buffers, name, binding);
        }
        if grad_in_place {
            buffers = buffers.grad_in_place();
        }
        let bound = Bound::new(&self.kernels, self.plan.clone(), &buffers).map_err(error)?;
        let door = JsValue::from(&self.door).unchecked_into();
        Ok(Step { device: self.device.clone(), door, bound })
    }
}

impl Prepared {
    /// Returns wgpu's handle of each range's buffer: the same of the same buffer, by which the library knows an arena.
    fn handles(&self, ranges: &[Range]) -> Vec<wgpu::Buffer> {
        let mut known: Vec<(JsValue, wgpu::Buffer)> = Vec::new();
        let handle = |range: &Range| {
            let buffer = range.buffer();
            if let Some((_, handle)) = known.iter().find(|(other, _)| *other == buffer) {
                return handle.clone();
            }
            let handle = self.door.buffer(&self.device, &buffer);
            known.push((buffer, handle.clone()));
            handle
        };
        ranges.iter().map(handle).collect()
    }
}

/// Sets the range of a tensor.
fn put<'a>(buffers: Buffers<'a>, name: Name, range: wgpu::BufferBinding<'a>) -> Buffers<'a> {
    match name {
        Name::Of(Slot::Input) => buffers,
        Name::Of(Slot::Labels | Slot::Probabilities | Slot::Target) => buffers.target(range),
        Name::Of(Slot::Weight) => buffers.weight(range),
        Name::Of(Slot::ElementWeight) => buffers.element_weight(range),
        Name::Of(Slot::PosWeight) => buffers.pos_weight(range),
        Name::Of(Slot::Var) => buffers.var(range),
        Name::Of(Slot::RowWeights) => buffers.row_weights(range),
        Name::Of(Slot::Upstream) => buffers.upstream(range),
        Name::To(Room::Loss) => buffers.loss(range),
        Name::To(Room::Grad) => buffers.grad(range),
        Name::To(Room::LogProbs | Room::Probs) => buffers.distribution(range),
        Name::To(Room::TargetGrad) => buffers.target_grad(range),
        Name::To(Room::VarGrad) => buffers.var_grad(range),
        Name::To(Room::Rows) => buffers.records(range),
        Name::To(Room::Classes) => buffers.classes(range),
        Name::To(Room::Result) => buffers.result(range),
    }
}

/// Returns the outputs of a plan.
fn places(plan: &Plan, distribution: Option<&str>, described: &[Described]) -> Vec<Place> {
    let problem = plan.problem();
    let Outputs { grad, target_grad, var_grad, class_losses, .. } = problem.outputs;
    let of = |name, what, shape: &[usize]| {
        let float = problem.float_type_of(what);
        let bytes = float.map_or(4, |float| float.bytes());
        let elements = shape.iter().map(|&extent| extent as f64).product::<f64>();
        Place {
            name,
            bytes: f64::from(bytes) * elements,
            shape: shape.to_vec(),
            r#type: float.map_or("u32", |float| float.name()),
            fields: Vec::new(),
        }
    };
    let shape_of = |slot| described.iter().find(|of| of.slot == slot).map(|of| &of.shape[..]);
    let (input, record) = (&problem.input_shape[..], problem.record());
    let fields: Vec<_> = record.iter().map(|&what| field(what)).collect();
    let row = [&problem.row_shape[..], &[record.len()]].concat();
    let places = [
        (problem.reduction == Reduction::None)
            .then(|| of(Room::Loss, LargeOutput::RowLoss, problem.loss_shape())),
        grad.then(|| of(Room::Grad, LargeOutput::Grad, input)),
        distribution.map(|name| {
            let room = if name == "probs" { Room::Probs } else { Room::LogProbs };
            of(room, LargeOutput::Distribution, input)
        }),
        shape_of(Slot::Target)
            .filter(|_| target_grad)
            .map(|shape| of(Room::TargetGrad, LargeOutput::TargetGrad, shape)),
        shape_of(Slot::Var)
            .filter(|_| var_grad)
            .map(|shape| of(Room::VarGrad, LargeOutput::VarGrad, shape)),
        (!record.is_empty()).then(|| Place { fields, ..of(Room::Rows, LargeOutput::Argmax, &row) }),
        class_losses.then(|| {
            let words = [problem.view.classes, CLASS_BYTES as usize / 4];
            of(Room::Classes, LargeOutput::Argmax, &words)
        }),
        Some(of(Room::Result, LargeOutput::Argmax, &[RESULT_BYTES as usize / 4])),
    ];
    places.into_iter().flatten().collect()
}

/// Returns JavaScript's name of an output of rows.
fn field(output: LargeOutput) -> &'static str {
    match output {
        LargeOutput::Lse => "lse",
        LargeOutput::Argmax => "argmax",
        LargeOutput::Rank => "rank",
        LargeOutput::Entropy => "entropy",
        LargeOutput::Variance => "variance",
        LargeOutput::RowWeights => "rowWeights",
        LargeOutput::ZLoss => "zLoss",
        other => other.name(),
    }
}

/// A call that is bound to buffers.
#[wasm_bindgen]
pub struct Step {
    device: wgpu::Device,
    door: Door,
    bound: Bound,
}

#[wasm_bindgen]
impl Step {
    /// Records the call into a compute pass of the page.
    pub fn record(&self, pass: &JsValue) {
        self.bound.record(&mut self.door.pass(&self.device, pass));
    }

    /// Returns what the result's bytes say, and the sums of classes. Bad labels and values are errors.
    pub fn decode(&self, result: &[u8], classes: Option<Vec<u8>>) -> Result<JsValue, JsValue> {
        let decoded = self.bound.decode(result).map_err(error)?;
        let problem = self.bound.plan().problem();
        decoded.summary.check(problem).map_err(error)?;
        let made: JsValue = js_sys::Object::new().into();
        if self.bound.is_reduced() {
            set(&made, "loss", decoded.loss.into());
            if problem.z_loss != 0.0 {
                set(&made, "zLoss", decoded.z_loss.into());
            }
        }
        if let Some(bytes) = classes {
            set(&made, "classLosses", results::class_losses(&class_losses(&bytes).map_err(error)?));
        }
        set(&made, "summary", results::summary(&decoded.summary, problem.outputs));
        Ok(made)
    }
}
