//! A training loop on the GPU: the application's next kernel reads loss and gradient where they are.

use external_host::{Host, close, noise, on_every_host, truth};
use wgpu_loss::loss::Shapes;
use wgpu_loss::{Bound, Buffers, CrossEntropy, LabelType, Outputs, Plan, TargetType};

const ROWS: usize = 12;
const CLASSES: usize = 7;
const STEPS: usize = 20;
const RATE: f32 = 2.0;

/// A step along the gradient, which has overwritten the logits, unless a label was refused; and a record of the loss.
const STEP: &str = "
    @group(0) @binding(0) var<storage> result: array<u32, 16>;
    @group(0) @binding(1) var<storage> gradient: array<f32>;
    @group(0) @binding(2) var<storage, read_write> weights: array<f32>;
    @group(0) @binding(3) var<storage, read_write> notes: array<f32>;

    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3u) {
        if id.x < arrayLength(&weights) && result[4] == 0u {
            weights[id.x] -= RATE * gradient[id.x];
        }
        if id.x == 0u {
            let step = u32(notes[0]);
            notes[1u + step] = bitcast<f32>(result[0]);
            notes[0] = f32(step + 1u);
        }
    }";

#[test]
fn twenty_steps_in_one_submission() {
    let labels: Vec<u8> = (0..ROWS).map(|row| (row * 3 % CLASSES) as u8).collect();
    let mut truth = Vec::new();
    let mut weights: Vec<f32> = noise(ROWS * CLASSES, 9);
    let mut exact: Vec<f64> = weights.iter().map(|&x| x.into()).collect();
    for _ in 0..STEPS {
        let step = truth::cross_entropy(&weights, &labels, &[1.0; CLASSES]);
        truth.push(step.loss);
        exact.iter_mut().zip(&step.grad).for_each(|(x, grad)| *x -= f64::from(RATE) * grad);
        weights = exact.iter().map(|&x| x as f32).collect();
    }
    on_every_host(|host| {
        let (notes, trained) = train(host, &labels);
        assert_eq!(notes[0], STEPS as f32);
        // Each step adds the error of a gradient to the weights.
        close("losses", &notes[1..], &truth, 1e-5);
        assert!(truth[STEPS - 1] < truth[0] / 3.0, "{truth:?}");
        let off = trained.iter().zip(&exact).map(|(x, y)| (f64::from(*x) - y).abs());
        assert!(off.fold(0.0, f64::max) < 1e-5);
    });
}

/// The notes and the weights after all steps.
fn train(host: &Host, labels: &[u8]) -> (Vec<f32>, Vec<f32>) {
    let filled = |bytes: &[u8]| {
        let buffer = host.buffer(bytes.len() as u64);
        host.queue.write_buffer(&buffer, 0, bytes);
        buffer
    };
    let weights = filled(bytemuck::cast_slice(&noise(ROWS * CLASSES, 9)));
    let logits = host.buffer(weights.size());
    let target = filled(labels);
    let notes = filled(bytemuck::cast_slice(&[0f32; 1 + STEPS]));

    let shapes = Shapes::new(&[ROWS, CLASSES]).target(TargetType::Labels(LabelType::U8), &[ROWS]);
    let outputs = Outputs::loss().with_grad();
    let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, host.kernels.profile()).unwrap();
    let buffers = Buffers::new(logits.as_entire_buffer_binding())
        .target(target.as_entire_buffer_binding())
        .grad_in_place();
    let bound = Bound::new(&host.kernels, plan, &buffers).unwrap();

    let (pipeline, bind_group) = own_step(host, bound.result(), [&logits, &weights, &notes]);
    let mut encoder = host.encoder();
    for _ in 0..STEPS {
        // The forward pass, such as it is.
        encoder.copy_buffer_to_buffer(&weights, 0, &logits, 0, weights.size());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        bound.record(&mut pass);
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(((ROWS * CLASSES) as u32).div_ceil(64), 1, 1);
    }
    host.queue.submit([encoder.finish()]);
    let read = |buffer: &wgpu::Buffer| {
        bytemuck::pod_collect_to_vec(&host.read(buffer.as_entire_buffer_binding()))
    };
    (read(&notes), read(&weights))
}

fn own_step(
    host: &Host,
    result: wgpu::BufferBinding<'_>,
    buffers: [&wgpu::Buffer; 3],
) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
    let text = STEP.replace("RATE", &format!("{RATE:?}"));
    let module = host.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = host.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("external host's step"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let mut ranges = vec![result];
    ranges.extend(buffers.map(wgpu::Buffer::as_entire_buffer_binding));
    let entry = |(binding, range)| {
        let resource = wgpu::BindingResource::Buffer(range);
        wgpu::BindGroupEntry { binding, resource }
    };
    let entries: Vec<_> = (0..).zip(ranges).map(entry).collect();
    let bind_group = host.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    (pipeline, bind_group)
}
