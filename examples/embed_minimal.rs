//! The smallest complete host: a device, buffers and a compute pass of its own, into which the
//! library records a cross-entropy and its gradient. Run it with
//! `cargo run --release --example embed_minimal`.

use wgpu_loss::loss::Shapes;
use wgpu_loss::wgpu::{self, util::DeviceExt};
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, Decoded, Kernels, LabelType, Outputs, Plan, TargetType,
};

/// Three rows of four classes, and a label for each; the middle row is left out.
const LOGITS: [f32; 12] =
    [3.5, -3.45, 0.23, 1.25, -2.14, 0.54, 2.67, -5.23, -1.34, 5.01, -1.54, -1.17];
const LABELS: [u32; 3] = [0, 255, 1];
const GRAD_BYTES: u64 = size_of::<[f32; 12]>() as u64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance, // of several, not a software driver
        ..Default::default()
    });
    let Ok(adapter) = pollster::block_on(adapter) else {
        eprintln!("no GPU adapter found: install your GPU's Vulkan driver, or a software one");
        eprintln!("(on Debian and Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1)");
        std::process::exit(1);
    };
    println!("adapter  {}", adapter.get_info().name);
    // No features, WebGPU's default limits: enough for every loss here.
    let (device, queue) =
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;

    // The host's tensors, and the buffers for results.
    let input = |label, contents| {
        let usage = wgpu::BufferUsages::STORAGE;
        let descriptor = wgpu::util::BufferInitDescriptor { label: Some(label), contents, usage };
        device.create_buffer_init(&descriptor)
    };
    let output = |label, size, usage| {
        let mapped_at_creation = false;
        let label = Some(label);
        device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
    };
    let copied = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let read = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
    let logits = input("logits", bytemuck::cast_slice(&LOGITS));
    let labels = input("labels", bytemuck::cast_slice(&LABELS));
    let grad = output("gradient", GRAD_BYTES, copied);
    let staging = output("staging", GRAD_BYTES, read);

    // Once: plan the loss over the shapes, bind the plan to the buffers.
    let kernels = Kernels::new(&device);
    let loss = CrossEntropy::new().ignore_index(255);
    let shapes = Shapes::new(&[3, 4]).target(TargetType::Labels(LabelType::U32), &[3]);
    let plan = Plan::new(&loss, &shapes, Outputs::loss().with_grad(), kernels.profile())?;
    let buffers = Buffers::new(logits.as_entire_buffer_binding())
        .target(labels.as_entire_buffer_binding())
        .grad(grad.as_entire_buffer_binding());
    let bound = Bound::new(&kernels, plan, &buffers)?;
    let reader = bound.reader()?;

    // Every step: record into a pass, among the host's own work. Submitting is the host's.
    let mut encoder = device.create_command_encoder(&Default::default());
    bound.record(&mut encoder.begin_compute_pass(&Default::default()));
    reader.record(&mut encoder);
    encoder.copy_buffer_to_buffer(&grad, 0, &staging, 0, GRAD_BYTES);
    queue.submit([encoder.finish()]);

    // At any later time: read the results.
    staging.map_async(wgpu::MapMode::Read, .., |_| {}); // the view below reports a failure
    let Decoded { loss, summary, .. } = reader.wait()?; // or `reader.read().await?`
    println!("loss     {loss} over {} of {} rows", summary.live, summary.rows);
    for row in bytemuck::cast_slice::<u8, [f32; 4]>(&staging.get_mapped_range(..)?) {
        println!("gradient {row:?}");
    }
    Ok(())
}
