//! wgpu-loss with everything resident: record, submit, wait. The gradient has a buffer of its own.

use peers::{Answer, Fallible, Job, Pass, dot};
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, Gpu, LabelType, Outputs, Plan, RESULT_BYTES,
    TargetType, wgpu,
};

fn main() -> Fallible<()> {
    let job = Job::from_args()?;
    let gpu = Gpu::with_adapter(job.adapter.as_deref().unwrap_or_default())?;
    let info = gpu.info();
    let device = format!("{} ({}, {} {})", info.name, info.backend, info.driver, info.driver_info);

    let data = job.logits()?;
    let logits = upload(&gpu, bytemuck::cast_slice(&data));
    let labels = upload(&gpu, bytemuck::cast_slice(&job.labels()?));
    let grad = empty(&gpu, logits.size());
    for pass in Pass::ALL {
        let mut buffers = Buffers::new(logits.as_entire_buffer_binding())
            .target(labels.as_entire_buffer_binding());
        if pass == Pass::Backward {
            buffers = buffers.grad(grad.as_entire_buffer_binding());
        }
        let bound = bind(&gpu, &job, pass, &buffers)?;
        let times = job.time(|| Ok(once(&gpu, &bound)?))?;

        let result = read(&gpu, bound.result().buffer, RESULT_BYTES)?;
        let loss = bound.decode(bytemuck::cast_slice(&result))?.loss;
        let grad_dot = match pass {
            Pass::Forward => None,
            Pass::Backward => {
                Some(dot(bytemuck::cast_slice(&read(&gpu, &grad, grad.size())?), &data))
            }
        };
        job.report(&device, "", pass, Answer { loss: loss.into(), grad_dot }, &times);
    }
    Ok(())
}

fn bind(gpu: &Gpu, job: &Job, pass: Pass, buffers: &Buffers<'_>) -> Fallible<Bound> {
    let label_shape = job.label_shape();
    let shapes = Shapes::new(&job.shape).target(TargetType::Labels(LabelType::I64), &label_shape);
    let outputs = match pass {
        Pass::Forward => Outputs::loss(),
        Pass::Backward => Outputs::loss().with_grad(),
    };
    let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, gpu.kernels().profile())?;
    Ok(Bound::new(gpu.kernels(), plan, buffers)?)
}

/// Everything from recording to the end of the work.
fn once(gpu: &Gpu, bound: &Bound) -> Result<(), wgpu::PollError> {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    bound.record(&mut encoder.begin_compute_pass(&Default::default()));
    gpu.queue().submit([encoder.finish()]);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).map(|_| ())
}

fn empty(gpu: &Gpu, size: u64) -> wgpu::Buffer {
    let usage =
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    gpu.device().create_buffer(&descriptor)
}

fn upload(gpu: &Gpu, bytes: &[u8]) -> wgpu::Buffer {
    let buffer = empty(gpu, bytes.len() as u64);
    gpu.queue().write_buffer(&buffer, 0, bytes);
    buffer
}

fn read(gpu: &Gpu, buffer: &wgpu::Buffer, size: u64) -> Fallible<Vec<u8>> {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    let staging = gpu.device().create_buffer(&descriptor);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
    gpu.queue().submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| ());
    gpu.device().poll(wgpu::PollType::wait_indefinitely())?;
    Ok(staging.get_mapped_range(..)?.to_vec())
}
