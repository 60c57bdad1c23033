//! A perceptron of two layers in one buffer, and the compute work that trains it.
//!
//! ```text
//! hidden = relu(images w1 + b1)        logits = hidden w2 + b2        loss: logits becomes its gradient
//! w2' = hidden^T logits                b2' = 1^T logits
//! hidden becomes its gradient = (logits w2^T where hidden > 0)
//! w1' = images^T hidden                b1' = 1^T hidden
//! velocity = momentum velocity + gradient        parameters -= rate velocity
//! ```

use wgpu_loss::wgpu::{self, util::DeviceExt};

use crate::arena::{Arena, Matrix};

const LANES: u32 = 64;
const RATE: f32 = 0.3;
const MOMENTUM: f32 = 0.9;
/// The seed of the first weights' random numbers.
const SEED: u64 = 7;

/// The layers' weights and biases, one after the other; or their gradients, or velocities.
#[derive(Clone, Copy)]
struct Parameters {
    w1: Matrix,
    b1: Matrix,
    w2: Matrix,
    b2: Matrix,
}

impl Parameters {
    fn new(arena: &mut Arena, [pixels, hidden, classes]: [u32; 3]) -> Self {
        Self {
            w1: arena.matrix(pixels, hidden),
            b1: arena.matrix(1, hidden),
            w2: arena.matrix(hidden, classes),
            b2: arena.matrix(1, classes),
        }
    }

    /// Returns the number of their floats, with those between them.
    fn count(&self) -> u32 {
        self.b2.start + self.b2.len() - self.w1.start
    }
}

/// The operation on a product's elements.
#[derive(Clone, Copy)]
enum Finish {
    Nothing,
    Bias(Matrix),
    ReluOfBiased(Matrix),
    ReluGradient,
}

impl Finish {
    /// Its number in `matmul.wgsl`, and the place of the bias.
    fn words(self) -> [u32; 2] {
        match self {
            Self::Nothing => [0, 0],
            Self::Bias(bias) => [1, bias.start],
            Self::ReluOfBiased(bias) => [2, bias.start],
            Self::ReluGradient => [3, 0],
        }
    }
}

/// A kernel over some invocations, ready to be recorded.
struct Step {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: u32,
}

impl Step {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.groups, 1, 1);
    }
}

/// The network, its data, and all intermediate matrices.
pub struct Network {
    /// The buffer of all matrices.
    pub arena: wgpu::Buffer,
    /// An i64 for each image, as two words.
    pub labels: Matrix,
    /// Written by the forward pass. The backward pass reads their gradient in the same place.
    pub logits: Matrix,
    forward: Vec<Step>,
    backward: Vec<Step>,
}

impl Network {
    /// Makes a network for images with values from 0 to 1, a label for each, and random weights.
    pub fn new(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        images: &[f32],
        labels: &[u8],
        sizes: [u32; 3],
    ) -> Self {
        let count = images.len() as u32 / sizes[0];
        let mut layout = Arena::default();
        let pixels = layout.matrix(count, sizes[0]);
        let labels_at = layout.matrix(count, 2);
        let one = layout.matrix(1, 1);
        let hidden = layout.matrix(count, sizes[1]);
        let logits = layout.matrix(count, sizes[2]);
        let [now, grad, velocity] = [(); 3].map(|()| Parameters::new(&mut layout, sizes));

        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let (label, size, mapped_at_creation) = (Some("arena"), layout.bytes(), false);
        // wgpu's buffers start as zeros: so do biases and velocities.
        let arena = device.create_buffer(&wgpu::BufferDescriptor {
            label,
            size,
            usage,
            mapped_at_creation,
        });
        let write = |at: Matrix, bytes: &[u8]| queue.write_buffer(&arena, at.offset(), bytes);
        write(pixels, bytemuck::cast_slice(images));
        write(labels_at, labels);
        write(one, bytemuck::bytes_of(&1f32));
        let mut random = SEED;
        for weights in [now.w1, now.w2] {
            write(weights, bytemuck::cast_slice(&random_weights(weights, &mut random)));
        }

        let make = Pipelines::new(device, &arena);
        let ones = one.repeated(count).transposed();
        let forward = vec![
            make.product(pixels, now.w1, hidden, Finish::ReluOfBiased(now.b1)),
            make.product(hidden, now.w2, logits, Finish::Bias(now.b2)),
        ];
        let backward = vec![
            make.product(hidden.transposed(), logits, grad.w2, Finish::Nothing),
            make.product(ones, logits, grad.b2, Finish::Nothing),
            make.product(logits, now.w2.transposed(), hidden, Finish::ReluGradient),
            make.product(pixels.transposed(), hidden, grad.w1, Finish::Nothing),
            make.product(ones, hidden, grad.b1, Finish::Nothing),
            make.descent(&now, &grad, &velocity),
        ];
        Self { arena, labels: labels_at, logits, forward, backward }
    }

    /// Records the steps from the images to the logits.
    pub fn forward(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.forward.iter().for_each(|step| step.record(pass));
    }

    /// Records the steps from the logits' gradient to the new parameters.
    pub fn backward(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.backward.iter().for_each(|step| step.record(pass));
    }
}

/// Evenly spread weights, small enough that a sum over a matrix's rows keeps its inputs' size.
fn random_weights(matrix: Matrix, random: &mut u64) -> Vec<f32> {
    let most = (6.0 / matrix.rows as f32).sqrt();
    let next = |_| {
        // A linear congruential generator (Knuth's MMIX), of which the upper bits are good.
        *random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let unit = (*random >> 40) as f32 / (1u64 << 24) as f32;
        most * (2.0 * unit - 1.0)
    };
    (0..matrix.len()).map(next).collect()
}

/// The two pipelines, and the buffer that they work on.
struct Pipelines<'a> {
    device: &'a wgpu::Device,
    arena: &'a wgpu::Buffer,
    multiply: wgpu::ComputePipeline,
    descend: wgpu::ComputePipeline,
}

impl<'a> Pipelines<'a> {
    fn new(device: &'a wgpu::Device, arena: &'a wgpu::Buffer) -> Self {
        let compile = |source| {
            let module = device.create_shader_module(source);
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: None,
                compilation_options: Default::default(),
                cache: None,
            })
        };
        Self {
            device,
            arena,
            multiply: compile(wgpu::include_wgsl!("matmul.wgsl")),
            descend: compile(wgpu::include_wgsl!("descend.wgsl")),
        }
    }

    /// Returns the step `out = finish(a b)`.
    fn product(&self, a: Matrix, b: Matrix, out: Matrix, finish: Finish) -> Step {
        let mut words = bytemuck::cast_slice(&[a, b, out]).to_vec();
        words.extend(finish.words());
        self.step(&self.multiply, &words, out.len())
    }

    /// Returns the step of all parameters along their gradients.
    fn descent(&self, now: &Parameters, grad: &Parameters, velocity: &Parameters) -> Step {
        let starts = [now, grad, velocity].map(|parameters| parameters.w1.start);
        let numbers = [now.count(), RATE.to_bits(), MOMENTUM.to_bits()];
        self.step(&self.descend, &[starts, numbers].concat(), now.count())
    }

    /// Returns a step with one invocation for each element; the kernel reads these words.
    fn step(&self, pipeline: &wgpu::ComputePipeline, words: &[u32], elements: u32) -> Step {
        let words = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(words),
            usage: wgpu::BufferUsages::STORAGE,
        });
        let buffers = [self.arena, &words].into_iter().zip(0..);
        let entries: Vec<_> = buffers
            .map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Step { pipeline: pipeline.clone(), bind_group, groups: elements.div_ceil(LANES) }
    }
}
