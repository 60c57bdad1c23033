//! The one kernel that is this crate's own: a gradient times a number.

use wgpu_loss::wgpu::{self, util::DeviceExt};

/// Enough groups to fill a GPU, and few enough to take little time if there is nothing to do.
const GROUPS: u32 = 1024;
/// Lanes of a group, as the shader has it.
const LANES: u64 = 256;

/// The pipeline, made once for each device.
#[derive(Debug)]
pub(crate) struct Scale {
    device: wgpu::Device,
    pipeline: wgpu::ComputePipeline,
}

impl Scale {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        let module = device.create_shader_module(wgpu::include_wgsl!("scale.wgsl"));
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("wgpu-loss-burn scale"),
            layout: None,
            module: &module,
            entry_point: Some("scale"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self { device: device.clone(), pipeline }
    }

    /// Records `grad *= upstream`, in as many bindings as the device's limits need.
    pub(crate) fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        grad: &wgpu::BufferBinding<'_>,
        upstream: &wgpu::BufferBinding<'_>,
    ) {
        let limits = self.device.limits();
        let step = limits.max_storage_buffer_binding_size / 256 * 256;
        let bytes = grad.size.map_or(0, |size| size.get());
        pass.set_pipeline(&self.pipeline);
        for start in (0..bytes).step_by(step as usize) {
            let piece = step.min(bytes - start);
            let words = piece / 4;
            let length = [words as u32, 0, 0, 0];
            let length = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("wgpu-loss-burn length"),
                contents: bytemuck::cast_slice(&length),
                usage: wgpu::BufferUsages::UNIFORM,
            });
            let piece = wgpu::BufferBinding {
                buffer: grad.buffer,
                offset: grad.offset + start,
                size: wgpu::BufferSize::new(piece),
            };
            let resources = [
                wgpu::BindingResource::Buffer(piece),
                wgpu::BindingResource::Buffer(upstream.clone()),
                length.as_entire_binding(),
            ];
            let entries: Vec<_> = (0..)
                .zip(resources)
                .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                .collect();
            let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgpu-loss-burn scale"),
                layout: &self.pipeline.get_bind_group_layout(0),
                entries: &entries,
            });
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(words.div_ceil(LANES).min(GROUPS.into()) as u32, 1, 1);
        }
    }
}
