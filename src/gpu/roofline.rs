//! The roof: the time that a device takes to move bytes and do nothing else.

use std::time::Duration;

use bytemuck::{Pod, Zeroable};

use super::buffers::{read, readable, storage};
use super::uploader::Uploader;
use super::{Clock, Gpu};
use crate::Error;
use crate::error_scope::scoped;

const DURING: &str = "measuring the roof";
/// Bytes of a load.
const VECTOR: u64 = 16;
/// Loads of a lane that are in flight together; `LOADS` in `roofline.wgsl`.
const LOADS: u32 = 4;
/// The most groups on a GPU: a few for each that a large GPU can run at a time.
const GROUPS_GPU: u32 = 4096;
/// The most groups on a software driver. It runs one per core, but a loop should not be too long: llvmpipe ends loops
/// after 65,535 iterations.
const GROUPS_CPU: u32 = 256;
/// Words that are uploaded at a time.
const UPLOAD: u64 = 1 << 22;

/// The time that a device takes to move bytes by plain loads and stores of 16 bytes, several in flight in each lane.
/// Nothing that reads tensors from memory is expected to be faster.
///
/// It is a roof for tensors of the same size only: small ones may stay in a cache, and then do so in this measurement
/// too.
///
/// ```no_run
/// use wgpu_loss::{Gpu, gpu::Roofline};
///
/// let roof = Roofline::measure(&Gpu::new()?, 1 << 28, 9)?;
/// println!("{:.1} GB/s by {:?}", roof.read_rate() / 1e9, roof.clock);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Roofline {
    /// The number of bytes that were read, and written.
    pub bytes: u64,
    /// The median time of reading them.
    pub read: Duration,
    /// The median time of reading them and writing as many to another buffer.
    pub copy: Duration,
    /// The clock of both times.
    pub clock: Clock,
}

impl Roofline {
    /// Measures the roof for tensors of `bytes` bytes (rounded up to 16), from `samples` samples of each kind. Needs
    /// twice these bytes on the device. The read and written data are verified.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no buffer of that size; [`Error::Device`] if it fails, or has read or written
    /// wrong data.
    pub fn measure(gpu: &Gpu, bytes: u64, samples: usize) -> Result<Self, Error> {
        let mover = Mover::new(gpu, bytes.max(1).next_multiple_of(VECTOR))?;
        mover.verify()?;
        let timer = gpu.timer()?;
        let read = timer.kernel(samples, |pass| mover.record(pass, &mover.reads))?;
        let copy = timer.kernel(samples, |pass| mover.record(pass, &mover.copies))?;
        // If one of the two is by the wall clock, the roof counts as measured by it.
        let clock = if read.clock == copy.clock { read.clock } else { Clock::Wall };
        Ok(Self { bytes: mover.bytes, read: read.median(), copy: copy.median(), clock })
    }

    /// Returns the bytes read per second, if nothing is written.
    pub fn read_rate(&self) -> f64 {
        self.bytes as f64 / self.read.as_secs_f64()
    }

    /// Returns the bytes read and written per second, as many of each.
    pub fn copy_rate(&self) -> f64 {
        2.0 * self.bytes as f64 / self.copy.as_secs_f64()
    }

    /// Returns the bytes moved per second if a tensor is read, read again and written, as a loss with its gradient
    /// does.
    pub fn gradient_rate(&self) -> f64 {
        3.0 * self.bytes as f64 / (self.read + self.copy).as_secs_f64()
    }
}

/// The parameters of a dispatch; `Params` in `roofline.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Params {
    vectors: u32,
    tiles: u32,
    stretch: u32,
    step: u32,
    turns: u32,
    /// Pads the struct: uniforms fill whole vectors.
    pad: [u32; 3],
}

/// One dispatch.
struct Move {
    bind_group: wgpu::BindGroup,
    groups: u32,
}

/// One kernel, and its dispatches over pieces of the buffers.
struct Moves {
    pipeline: wgpu::ComputePipeline,
    pieces: Vec<Move>,
}

/// The buffers, and the kernels bound to them in both directions.
struct Mover<'a> {
    gpu: &'a Gpu,
    bytes: u64,
    sum: wgpu::Buffer,
    /// The expected sum.
    wanted: u32,
    reads: Moves,
    copies: Moves,
    /// Reads the copy.
    rereads: Moves,
}

impl<'a> Mover<'a> {
    fn new(gpu: &'a Gpu, bytes: u64) -> Result<Self, Error> {
        let what = "the roof's buffer";
        let [source, copied] = [storage(gpu, what, bytes)?, storage(gpu, what, bytes)?];
        let sum = storage(gpu, what, 4)?;
        let wanted = fill(gpu, &source)?;
        scoped(&gpu.device, DURING, || Self {
            reads: Moves::new(gpu, "read_words", &source, &sum, false),
            copies: Moves::new(gpu, "copy_words", &source, &copied, true),
            rereads: Moves::new(gpu, "read_words", &copied, &sum, false),
            gpu,
            bytes,
            sum,
            wanted,
        })
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>, moves: &Moves) {
        pass.set_pipeline(&moves.pipeline);
        for piece in &moves.pieces {
            pass.set_bind_group(0, &piece.bind_group, &[]);
            pass.dispatch_workgroups(piece.groups, 1, 1);
        }
    }

    /// Returns an error unless every word was read, and copied.
    fn verify(&self) -> Result<(), Error> {
        let read = self.sum_after(&[&self.reads])?;
        let copied = self.sum_after(&[&self.copies, &self.rereads])?;
        if (read, copied) == (self.wanted, self.wanted) {
            return Ok(());
        }
        let wanted = self.wanted;
        let reason = format!(
            "words that add up to {wanted:#x} added up to {read:#x}, and to {copied:#x} when copied"
        );
        Err(Error::Device { during: DURING, reason })
    }

    fn sum_after(&self, all: &[&Moves]) -> Result<u32, Error> {
        let Gpu { device, queue, .. } = self.gpu;
        let result = readable(self.gpu, DURING, 4)?;
        scoped(device, DURING, || {
            let mut encoder = device.create_command_encoder(&Default::default());
            encoder.clear_buffer(&self.sum, 0, None);
            for moves in all {
                self.record(&mut encoder.begin_compute_pass(&Default::default()), moves);
            }
            encoder.copy_buffer_to_buffer(&self.sum, 0, &result, 0, 4);
            queue.submit([encoder.finish()]);
        })?;
        Ok(read::<u32>(self.gpu, DURING, &result)?[0])
    }
}

impl Moves {
    /// Binds a kernel to all of `source`, piece by piece, and either to the same pieces of `other` or to all of it.
    fn new(
        gpu: &Gpu,
        entry: &str,
        source: &wgpu::Buffer,
        other: &wgpu::Buffer,
        copies: bool,
    ) -> Self {
        let workgroup = workgroup(gpu);
        let pipeline = pipeline(gpu, entry, workgroup);
        let layout = pipeline.get_bind_group_layout(0);
        let limits = gpu.device.limits();
        // Every piece starts at an offset that a binding may have.
        let alignment = u64::from(limits.min_storage_buffer_offset_alignment).max(VECTOR);
        let longest = limits.max_storage_buffer_binding_size / alignment * alignment;
        let pieces = (0..source.size()).step_by(longest as usize).map(|offset| {
            let size = longest.min(source.size() - offset);
            let (params, groups) = lay_out(gpu, (size / VECTOR) as u32, workgroup);
            let params = uniform(gpu, &params);
            let part = |buffer| {
                let size = wgpu::BufferSize::new(size);
                wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
            };
            let second = if copies { (3, part(other)) } else { (2, other.as_entire_binding()) };
            let resources = [(0, params.as_entire_binding()), (1, part(source)), second];
            let entries =
                resources.map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource });
            let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgpu-loss roof"),
                layout: &layout,
                entries: &entries,
            });
            Move { bind_group, groups }
        });
        Self { pieces: pieces.collect(), pipeline }
    }
}

/// Returns the share of the tiles for each group, and the number of groups. A GPU runs its groups at the same time, on
/// neighbouring tiles; a core runs one after another, each along a contiguous range, which suits the prefetcher.
fn lay_out(gpu: &Gpu, vectors: u32, workgroup: u32) -> (Params, u32) {
    let profile = gpu.kernels.profile();
    let tiles = vectors / (workgroup * LOADS);
    let most = if profile.is_software() { GROUPS_CPU } else { GROUPS_GPU };
    let groups = tiles.max(1).min(most).min(profile.limits.max_compute_workgroups_per_dimension);
    let turns = tiles.div_ceil(groups);
    let (stretch, step) = if profile.is_software() { (turns, 1) } else { (1, groups) };
    (Params { vectors, tiles, stretch, step, turns, pad: [0; 3] }, groups)
}

/// Returns the size of a workgroup. A software driver runs the subgroups of a group one after the other, each from the
/// group's first tile to its last: with several, a group would pass over its memory several times.
fn workgroup(gpu: &Gpu) -> u32 {
    let profile = gpu.kernels.profile();
    let wanted = if profile.is_software() { profile.subgroup_size.unwrap_or(8) } else { 256 };
    let limits = &profile.limits;
    wanted
        .min(limits.max_compute_invocations_per_workgroup)
        .min(limits.max_compute_workgroup_size_x)
}

fn pipeline(gpu: &Gpu, entry: &str, workgroup: u32) -> wgpu::ComputePipeline {
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("wgpu-loss roof"),
        source: wgpu::ShaderSource::Wgsl(shader_text(workgroup).into()),
    });
    gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("wgpu-loss roof"),
        layout: None,
        module: &module,
        entry_point: Some(entry),
        compilation_options: Default::default(),
        cache: None,
    })
}

fn shader_text(workgroup: u32) -> String {
    format!("const WORKGROUP = {workgroup}u;\n{}", include_str!("../../shaders/roofline.wgsl"))
}

fn uniform(gpu: &Gpu, params: &Params) -> wgpu::Buffer {
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgpu-loss roof"),
        size: size_of::<Params>() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue.write_buffer(&buffer, 0, bytemuck::bytes_of(params));
    buffer
}

/// Fills a buffer with words that differ, and returns their sum. (Devices that compress read memory faster if all of
/// its words are equal.)
fn fill(gpu: &Gpu, buffer: &wgpu::Buffer) -> Result<u32, Error> {
    let words = buffer.size() / 4;
    let mut uploader = Uploader::new(gpu, DURING);
    let mut sum = 0u32;
    for start in (0..words).step_by(UPLOAD as usize) {
        let chunk: Vec<u32> = (start..words.min(start + UPLOAD)).map(word).collect();
        sum = chunk.iter().fold(sum, |sum, &word| sum.wrapping_add(word));
        uploader.upload(buffer, 4 * start, bytemuck::cast_slice(&chunk))?;
    }
    uploader.finish()?;
    Ok(sum)
}

/// Returns the word at an index: it looks random, and differs from its neighbours'.
fn word(index: u64) -> u32 {
    (index as u32).wrapping_mul(0x9e37_79b1) ^ (index as u32 >> 13)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GpuOptions;

    /// Measuring verifies what was read and copied.
    fn measured(gpu: &Gpu, bytes: u64) -> Roofline {
        let roof = Roofline::measure(gpu, bytes, 1).expect("a roof");
        assert_eq!(roof.bytes, bytes.max(1).next_multiple_of(16));
        assert!(roof.read_rate() > 0.0 && roof.copy_rate() > 0.0 && roof.gradient_rate() > 0.0);
        roof
    }

    #[test]
    fn the_text_translates() {
        use naga::back::{hlsl, msl};
        let module = naga::front::wgsl::parse_str(&shader_text(256)).expect("WGSL");
        let (flags, capabilities) = (naga::valid::ValidationFlags::all(), Default::default());
        let mut validator = naga::valid::Validator::new(flags, capabilities);
        let info = validator.validate(&module).expect("a valid module");
        let metal = msl::write_string(&module, &info, &Default::default(), &Default::default());
        assert!(metal.is_ok_and(|(text, _)| text.matches("kernel void").count() == 2));
        let mut direct = String::new();
        let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let pipeline = hlsl::PipelineOptions::default();
        let written =
            hlsl::Writer::new(&mut direct, &options, &pipeline).write(&module, &info, None);
        assert!(written.is_ok() && direct.matches("numthreads").count() == 2, "{written:?}");
    }

    #[test]
    fn every_size_is_read_and_copied() {
        let gpu = Gpu::new().expect("a GPU adapter");
        for bytes in [0, 16, 1000, 1 << 14, (1 << 20) + 16] {
            measured(&gpu, bytes);
        }
    }

    #[test]
    fn without_timestamps_and_in_pieces() {
        let options = GpuOptions::new().default_limits();
        let gpu = Gpu::with_options(&options).expect("a GPU adapter");
        // Two bindings of 128 MiB, the second of them short.
        assert_eq!(measured(&gpu, (128 << 20) + 48).clock, Clock::Wall);
    }
}
