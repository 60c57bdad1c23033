//! wgpu-loss with everything resident: record, submit, wait; and the kernels alone, by the GPU's
//! timestamps. The gradient has a buffer of its own.

use peers::{Answer, Fallible, Job, Pass, dot};
use wgpu_loss::gpu::Clock;
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, Gpu, LabelType, Outputs, Plan, RESULT_BYTES, TargetType, wgpu,
};

/// Bytes that go to the device or come from it at a time.
const PIECE: usize = 256 << 20;

fn main() -> Fallible<()> {
    let job = Job::from_stdin()?;
    let gpu = Gpu::with_adapter(job.adapter.as_deref().unwrap_or_default())?;
    let info = gpu.info();
    let device = format!("{} ({}, {} {})", info.name, info.backend, info.driver, info.driver_info);

    let data = job.logits_bytes()?;
    let logits = upload(&gpu, &data);
    let labels = upload(&gpu, bytemuck::cast_slice(&job.labels()?));
    let grad = empty(&gpu, logits.size());
    for pass in Pass::ALL {
        let mut buffers = Buffers::new(logits.as_entire_buffer_binding())
            .target(labels.as_entire_buffer_binding());
        if pass == Pass::Backward {
            buffers = buffers.grad(grad.as_entire_buffer_binding());
        }
        let bound = bind(&gpu, &job, pass, &buffers)?;
        let mut times = job.time(|| Ok(once(&gpu, &bound)?))?;
        let kernel = gpu.timer()?.kernel(times.wall.len(), |pass| bound.record(pass))?;
        let note = match kernel.clock {
            Clock::Timestamps => "",
            Clock::Wall => "no timestamps of the GPU that make sense",
        };
        if kernel.clock == Clock::Timestamps {
            times.device = kernel.sorted;
        }

        let result = read(&gpu, bound.result().buffer, RESULT_BYTES)?;
        let loss = bound.decode(bytemuck::cast_slice(&result))?.loss;
        let grad_dot = match pass {
            Pass::Forward => None,
            Pass::Backward => {
                let grad = read(&gpu, &grad, grad.size())?;
                let (grad, logits) = (&grad[..data.len()], &data[..]);
                Some(dot(&job.dtype.widen(grad), &job.dtype.widen(logits)))
            }
        };
        job.report(&device, note, pass, Answer { loss: loss.into(), grad_dot }, &times);
    }
    Ok(())
}

fn bind(gpu: &Gpu, job: &Job, pass: Pass, buffers: &Buffers<'_>) -> Fallible<Bound> {
    let label_shape = job.label_shape();
    let shapes = Shapes::new(&job.shape)
        .input_type(job.dtype.element_type())
        .target(TargetType::Labels(LabelType::I64), &label_shape);
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

/// Bytes in a buffer, filled up to whole words: an odd number of elements of two bytes ends in one.
fn upload(gpu: &Gpu, bytes: &[u8]) -> wgpu::Buffer {
    let buffer = empty(gpu, bytes.len().next_multiple_of(4) as u64);
    for (piece, start) in bytes.chunks(PIECE).zip((0..).step_by(PIECE)) {
        let mut words = piece.to_vec();
        words.resize(piece.len().next_multiple_of(4), 0);
        gpu.queue().write_buffer(&buffer, start, &words);
        gpu.queue().submit([]);
    }
    buffer
}

fn read(gpu: &Gpu, buffer: &wgpu::Buffer, size: u64) -> Fallible<Vec<u8>> {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: size.min(PIECE as u64),
        usage,
        mapped_at_creation: false,
    });
    let mut bytes = Vec::with_capacity(size as usize);
    for start in (0..size).step_by(PIECE) {
        let length = staging.size().min(size - start);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, start, &staging, 0, length);
        gpu.queue().submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, ..length, |_| ());
        gpu.device().poll(wgpu::PollType::wait_indefinitely())?;
        bytes.extend_from_slice(&staging.get_mapped_range(..length)?);
        staging.unmap();
    }
    Ok(bytes)
}
