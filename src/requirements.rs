//! The features and limits that a host should request from its adapter for this library.

use wgpu::{Adapter, Features, Limits};

/// Returns the features of an adapter that make this library's kernels faster, to be added to those that a host
/// requests anyway. None of them is needed.
///
/// `SUBGROUP` lets lanes merge without workgroup memory. Drivers that run on the processor load 64-bit integers
/// (`SHADER_INT64`) and convert f16 (`SHADER_F16`) faster.
///
/// ```no_run
/// # async fn open(adapter: wgpu_loss::wgpu::Adapter) -> Result<(), Box<dyn std::error::Error>> {
/// use wgpu_loss::{Kernels, wanted_features, wanted_limits, wgpu};
///
/// let (device, queue) = adapter
///     .request_device(&wgpu::DeviceDescriptor {
///         required_features: wgpu::Features::TIMESTAMP_QUERY | wanted_features(&adapter),
///         required_limits: wanted_limits(&adapter),
///         ..Default::default()
///     })
///     .await?;
/// let kernels = Kernels::new(&device);
/// # Ok(())
/// # }
/// ```
pub fn wanted_features(adapter: &Adapter) -> Features {
    let mut wanted = Features::SUBGROUP;
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        wanted |= Features::SHADER_INT64 | Features::SHADER_F16;
    }
    adapter.features() & wanted
}

/// Returns WebGPU's default limits, raised to those of the adapter where this library uses more: the sizes of buffers
/// and bindings (larger ones are cut into fewer pieces), the number of storage buffers, the lanes of a workgroup and
/// its memory. Where the adapter has less than the defaults, its own limits are returned.
///
/// ```
/// use wgpu_loss::{wanted_limits, wgpu};
///
/// /// The limits of a device for this library and for what the host itself needs.
/// fn limits(adapter: &wgpu::Adapter) -> wgpu::Limits {
///     wgpu::Limits { max_bind_groups: 6, ..wanted_limits(adapter) }
/// }
/// ```
pub fn wanted_limits(adapter: &Adapter) -> Limits {
    let offered = adapter.limits();
    let least = Limits::default().or_worse_values_from(&offered);
    Limits {
        max_buffer_size: offered.max_buffer_size,
        max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
        max_storage_buffers_per_shader_stage: offered.max_storage_buffers_per_shader_stage,
        max_compute_workgroup_storage_size: offered.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: offered.max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x: offered.max_compute_workgroup_size_x,
        min_storage_buffer_offset_alignment: offered.min_storage_buffer_offset_alignment,
        min_uniform_buffer_offset_alignment: offered.min_uniform_buffer_offset_alignment,
        ..least
    }
}
