//! The shapes that candidates are measured on, their tensors, and the right answers.

use crate::error_scope::scoped;
use crate::gpu::Gpu;
use crate::gpu::buffers::{read, readable, storage};
use crate::gpu::uploader::upload;
use crate::loss::Shapes;
use crate::plan::{Profile, Tuning};
use crate::poll::{Wait, block_on};
use crate::{
    Bound, Buffers, CrossEntropy, Error, Inputs, LabelType, Outputs, Plan, TargetType, Tensor,
    reference,
};

/// The name of the search in errors.
pub(super) const DURING: &str = "tuning";

/// Classes of the few long rows: a large vocabulary.
const VOCABULARY: usize = 151_936;
/// Elements of the gradient that are compared, at each of three positions.
const COMPARED: usize = 4096;
/// The largest error of a loss, and of an element of a gradient: sums in another order differ by less.
const TOLERANCE: f32 = 1e-5;
const GRAD_TOLERANCE: f32 = 1e-4;

/// A shape with its labels, with or without gradient.
pub(super) struct Case {
    pub shape: Vec<usize>,
    pub outputs: Outputs,
    label_shape: Vec<usize>,
    labels: wgpu::Buffer,
    /// The results with the table's numbers, after a comparison with the reference.
    proof: Option<Proof>,
    /// The reference's loss.
    loss: f32,
}

/// A loss, and some elements of its gradient.
struct Proof {
    loss: f32,
    grad: Vec<f32>,
}

/// The tensors of all cases: each begins at the start of the buffers.
pub(super) struct Cases<'a> {
    gpu: &'a Gpu,
    logits: wgpu::Buffer,
    grad: wgpu::Buffer,
    readable: wgpu::Buffer,
    pub all: Vec<Case>,
}

/// Returns shapes of about `elements` elements each: resident rows and streaming rows, a few long ones, columns, short
/// rows.
pub(super) fn shapes(elements: usize) -> Vec<Vec<usize>> {
    // Multiples of eight classes, so that the widest loads can be used.
    let rows = |classes: usize| vec![(elements / classes / 8 * 8).max(1), classes];
    let vocabulary = VOCABULARY.min(elements);
    let side = ((elements / 84).isqrt() / 8 * 8).max(8);
    vec![
        rows(1000.min(elements)),
        rows(32_000.min(elements)),
        vec![(elements / vocabulary).min(4), vocabulary],
        vec![(elements / (21 * side * side)).max(1), 21, side, side],
        rows(10.min(elements)),
    ]
}

impl<'a> Cases<'a> {
    pub fn new(gpu: &'a Gpu, elements: usize) -> Result<Self, Error> {
        let shapes = shapes(elements);
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let most = shapes.iter().map(|shape| count(shape)).max().unwrap_or(0);
        let host: Vec<f32> = random(most).map(|x| 8.0 * x - 4.0).collect();
        let logits = storage(gpu, DURING, 4 * most as u64)?;
        upload(gpu, DURING, &logits, 0, bytemuck::cast_slice(&host))?;
        let grad = storage(gpu, DURING, 4 * most as u64)?;
        let readable = readable(gpu, DURING, 4 * (1 + 3 * COMPARED) as u64)?;
        let mut cases = Self { gpu, logits, grad, readable, all: Vec::new() };
        for shape in shapes {
            cases.add(&shape, &host[..count(&shape)])?;
        }
        Ok(cases)
    }

    /// Adds a case without and one with gradient.
    fn add(&mut self, shape: &[usize], logits: &[f32]) -> Result<(), Error> {
        let classes = shape[1];
        let mut label_shape = shape.to_vec();
        label_shape.remove(1);
        let label = |x: f32| ((x * classes as f32) as i64).min(classes as i64 - 1);
        let host: Vec<i64> = random(label_shape.iter().product()).map(label).collect();
        let labels = storage(self.gpu, DURING, 8 * host.len() as u64)?;
        upload(self.gpu, DURING, &labels, 0, bytemuck::cast_slice(&host))?;
        let inputs = Inputs::new(Tensor::new(logits, shape)).labels(&host, &label_shape);
        let truth = reference::run(&CrossEntropy::new(), &inputs, Outputs::loss())?;
        for outputs in [Outputs::loss(), Outputs::loss().with_grad()] {
            self.all.push(Case {
                shape: shape.to_vec(),
                outputs,
                label_shape: label_shape.clone(),
                labels: labels.clone(),
                proof: None,
                loss: truth.loss[0] as f32,
            });
        }
        Ok(())
    }

    /// Returns the device's profile.
    pub fn profile(&self) -> &Profile {
        self.gpu.kernels.profile()
    }

    /// Returns the plan of a case with these numbers.
    pub fn plan(&self, case: &Case, tuning: Tuning) -> Result<Plan, Error> {
        let profile = Profile { tuning, ..self.profile().clone() };
        let target = TargetType::Labels(LabelType::I64);
        let shapes = Shapes::new(&case.shape).target(target, &case.label_shape);
        Plan::new(&CrossEntropy::new(), &shapes, case.outputs, &profile)
    }

    pub fn bind(&self, case: &Case, plan: Plan) -> Result<Bound, Error> {
        let mut buffers = Buffers::new(self.logits.as_entire_buffer_binding())
            .target(case.labels.as_entire_buffer_binding());
        if case.outputs.grad {
            buffers = buffers.grad(self.grad.as_entire_buffer_binding());
        }
        Bound::new(&self.gpu.kernels, plan, &buffers)
    }

    /// Stores the results with the table's numbers, and returns an error for a device on which they are wrong.
    pub fn set_proofs(&mut self, table: Tuning) -> Result<(), Error> {
        for index in 0..self.all.len() {
            let case = &self.all[index];
            let proof = self.run(case, &self.bind(case, self.plan(case, table)?)?)?;
            if !near(proof.loss, case.loss, TOLERANCE, 0.0) {
                let reason = format!("a loss is {}, but should be {}", proof.loss, case.loss);
                return Err(Error::Device { during: DURING, reason });
            }
            self.all[index].proof = Some(proof);
        }
        Ok(())
    }

    /// Returns true if bound work gives a case's right results.
    pub fn is_right(&self, case: &Case, bound: &Bound) -> Result<bool, Error> {
        let Some(wanted) = &case.proof else { return Ok(false) };
        let got = self.run(case, bound)?;
        let most = wanted.grad.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let mut pairs = got.grad.iter().zip(&wanted.grad);
        Ok(near(got.loss, wanted.loss, TOLERANCE, 0.0)
            && pairs.all(|(&x, &y)| near(x, y, GRAD_TOLERANCE, 1e-6 * most)))
    }

    /// Runs bound work once, over a gradient of zeros.
    fn run(&self, case: &Case, bound: &Bound) -> Result<Proof, Error> {
        let elements: usize = case.shape.iter().product();
        let count = elements.min(COMPARED);
        let places = [0, (elements - count) / 2, elements - count];
        let bytes = |words: usize| 4 * words as u64;
        let commands = scoped(&self.gpu.device, DURING, || {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            encoder.clear_buffer(&self.grad, 0, None);
            bound.record(&mut encoder.begin_compute_pass(&Default::default()));
            encoder.copy_buffer_to_buffer(bound.result().buffer, 0, &self.readable, 0, 4);
            for (i, place) in places.into_iter().enumerate() {
                let to = bytes(1 + i * COMPARED);
                encoder.copy_buffer_to_buffer(
                    &self.grad,
                    bytes(place),
                    &self.readable,
                    to,
                    bytes(count),
                );
            }
            encoder.finish()
        })?;
        block_on(self.gpu.submitted([commands], Wait::Here, DURING))?;
        let words: Vec<f32> = read(self.gpu, DURING, &self.readable)?;
        let grad = words[1..].chunks(COMPARED).flat_map(|place| &place[..count]).copied();
        let grad = if case.outputs.grad { grad.collect() } else { Vec::new() };
        Ok(Proof { loss: words[0], grad })
    }
}

/// Returns true if two numbers agree. NaN agrees with nothing: the right results have none.
fn near(x: f32, y: f32, relative: f32, absolute: f32) -> bool {
    (x - y).abs() <= relative * y.abs() + absolute
}

/// Returns numbers in [0, 1) that look random: the same ones every time.
fn random(count: usize) -> impl Iterator<Item = f32> {
    let number = |index: usize| {
        let mut word = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (word >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reduction, gpu::TuningChoice};

    /// The check of a candidate detects a wrong loss and a missing gradient.
    #[test]
    fn wrong_answers_are_noticed() {
        let options = crate::GpuOptions::new().tuning(TuningChoice::Table);
        let gpu = Gpu::with_options(&options).expect("a GPU adapter");
        let table = gpu.kernels.profile().tuning;
        let mut cases = Cases::new(&gpu, 1 << 12).expect("cases");
        cases.set_proofs(table).expect("right answers");
        for case in &cases.all {
            let right = cases.bind(case, cases.plan(case, table).expect("a plan"));
            assert_eq!(cases.is_right(case, &right.expect("a binding")), Ok(true));

            let target = TargetType::Labels(LabelType::I64);
            let shapes = Shapes::new(&case.shape).target(target, &case.label_shape);
            let sum = CrossEntropy::new().reduction(Reduction::Sum);
            let plan = Plan::new(&sum, &shapes, case.outputs, gpu.kernels.profile());
            let wrong = cases.bind(case, plan.expect("a plan")).expect("a binding");
            assert_eq!(cases.is_right(case, &wrong), Ok(case.label_shape == [1]));
        }
        for pair in cases.all.chunks(2) {
            let plan = cases.plan(&pair[0], table).expect("a plan");
            let forward = cases.bind(&pair[0], plan).expect("a binding");
            assert_eq!(cases.is_right(&pair[1], &forward), Ok(false));
        }
    }
}
