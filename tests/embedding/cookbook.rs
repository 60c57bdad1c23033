//! The shader of docs/embedding.md, which rustdoc does not compile, on a device after real losses.

use support::data::{Data, Target};
use support::embedded::{buffer, read_words};
use support::gpus::{TestGpu, gpus};
use support::labels::OwnedLabels;
use wgpu_loss::{Bound, Buffers, CrossEntropy, LabelType, Outputs, wgpu};

const TEXT: &str = include_str!("../../docs/embedding.md");
/// The weight of the last step in a running mean.
const SHARE: f64 = 0.01;

/// Returns the document's only shader.
fn shader() -> &'static str {
    let (_, rest) = TEXT.split_once("```wgsl\n").expect("a shader");
    let (shader, rest) = rest.split_once("```").expect("its end");
    assert!(!rest.contains("```wgsl"), "which of them?");
    shader
}

/// Computes a loss and runs the document's kernel after it, in one pass. Returns its mean, and the steps that it left
/// out.
fn follow(gpu: &TestGpu, data: &Data) -> (f64, u32) {
    let device = gpu.device();
    let source = wgpu::ShaderSource::Wgsl(shader().into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("follow"),
        compilation_options: Default::default(),
        cache: None,
    });

    let Target::Labels(OwnedLabels::I32(labels)) = &data.target else { panic!("i32 labels") };
    let input = buffer(gpu, bytemuck::cast_slice(&data.input));
    let target = buffer(gpu, bytemuck::cast_slice(labels));
    let plan = data.plan(&CrossEntropy::new(), Outputs::loss(), gpu.kernels().profile());
    let buffers =
        Buffers::new(input.as_entire_buffer_binding()).target(target.as_entire_buffer_binding());
    let bound = Bound::new(gpu.kernels(), plan, &buffers).unwrap();

    let [mean, left_out] = [(); 2].map(|()| buffer(gpu, &[0]));
    let entries = [
        wgpu::BindingResource::Buffer(bound.result()),
        mean.as_entire_binding(),
        left_out.as_entire_binding(),
    ];
    let bind = |(binding, resource)| wgpu::BindGroupEntry { binding, resource };
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &(0..).zip(entries).map(bind).collect::<Vec<_>>(),
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        bound.record(&mut pass);
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
    gpu.queue().submit([encoder.finish()]);
    (f32::from_bits(read_words(gpu, &mean)[0]).into(), read_words(gpu, &left_out)[0])
}

#[test]
fn the_next_kernel_reads_the_loss() {
    let gpu = gpus().last().unwrap();
    let good = Data::random(&[20, 7], 1).labels_as(LabelType::I32);
    let truth = good.truth(&CrossEntropy::new(), Outputs::loss()).loss[0];
    let (mean, left_out) = follow(gpu, &good);
    assert_eq!(left_out, 0);
    assert!((mean / (SHARE * truth) - 1.0).abs() < 1e-5, "{mean} of {truth}");

    let mut bad = good.clone();
    let Target::Labels(OwnedLabels::I32(labels)) = &mut bad.target else { panic!("i32 labels") };
    labels[3] = 7;
    assert_eq!(follow(gpu, &bad), (0.0, 1));
    let mut nan = good;
    nan.input[40] = f32::NAN;
    assert_eq!(follow(gpu, &nan), (0.0, 1));
}
