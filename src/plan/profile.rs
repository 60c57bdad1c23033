//! The properties of a device that plans depend on.

use super::{Params, Tuning};
use crate::Error;
use crate::kernels::{VectorWidth, is_half};
use crate::tensor::{ElementType, TensorSlot};

/// The properties of a device that decide the layout of work on it.
///
/// A profile may describe a device that is not present: change the fields that differ.
///
/// ```
/// use wgpu_loss::Profile;
///
/// let mut profile = Profile::portable().with_device_type(wgpu_loss::wgpu::DeviceType::DiscreteGpu);
/// profile.subgroup_size = Some(32);
/// profile.limits.max_storage_buffer_binding_size = 1 << 30;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// The device's limits.
    pub limits: wgpu::Limits,
    /// The smallest subgroup the adapter may use, if the device has the subgroup feature.
    pub subgroup_size: Option<u32>,
    /// True if all its subgroups have that size.
    pub subgroups_alike: bool,
    /// True if shaders may use 64-bit integers. Only plans for software drivers use it.
    pub int64: bool,
    /// True if `unpack2x16float` is exact, also below 2^-14. [`Profile::of`] assumes it of drivers that run on the
    /// processor and have f16 numbers; [`Kernels::probed`](crate::Kernels::probed) finds out. Elsewhere f16 tensors are
    /// read as integers.
    pub f16: bool,
    /// True if `pack2x16float` rounds to the nearest f16, ties to even, also below 2^-14 and beyond the largest. It is not
    /// assumed of any driver, but found out likewise; f16 is rounded in integers elsewhere.
    pub f16_rounds: bool,
    /// The type of the device.
    pub device_type: wgpu::DeviceType,
    /// The tuning by which work is laid out on it.
    pub tuning: Tuning,
    /// True if a row's outputs have the same bits for any number of rows, position of the row among them, pieces,
    /// memory budget and offsets of the tensors in their buffers. Off by default: it is slower for some shapes.
    /// `docs/invariance.md` describes the results with it and without it, and its cost.
    pub batch_invariant: bool,
}

impl Profile {
    /// Returns the properties of a device.
    pub fn of(device: &wgpu::Device) -> Self {
        let info = device.adapter_info();
        // In a browser the kernels would also need `subgroup_id`, which is a language feature of its own that wgpu does
        // not report.
        let subgroups = cfg!(not(target_arch = "wasm32"))
            && device.features().contains(wgpu::Features::SUBGROUP);
        Self {
            limits: device.limits(),
            subgroup_size: subgroups.then_some(info.subgroup_min_size.max(1)),
            subgroups_alike: info.subgroup_min_size == info.subgroup_max_size,
            int64: device.features().contains(wgpu::Features::SHADER_INT64),
            // WGSL allows `unpack2x16float` to flush f16 below 2^-14, which class probabilities among many may be.
            // Drivers that run on the processor have a conversion that keeps them.
            f16: device.features().contains(wgpu::Features::SHADER_F16)
                && info.device_type == wgpu::DeviceType::Cpu,
            f16_rounds: false,
            device_type: info.device_type,
            tuning: Tuning::of(info.device_type),
            batch_invariant: false,
        }
    }

    /// Returns an error for properties that no device has and no plan can be laid out for. Every [`Plan`](super::Plan)
    /// checks them.
    ///
    /// # Errors
    /// [`Error::Limit`] for a limit below the needs of every kernel, [`Error::Option`] for a subgroup size that is no
    /// power of two.
    pub fn check(&self) -> Result<(), Error> {
        let limits = &self.limits;
        let least: [(&str, u64, u64); 5] = [
            ("max_bind_groups", 1, limits.max_bind_groups.into()),
            (
                "max_bindings_per_bind_group",
                TensorSlot::COUNT as u64,
                limits.max_bindings_per_bind_group.into(),
            ),
            (
                "max_uniform_buffers_per_shader_stage",
                1,
                limits.max_uniform_buffers_per_shader_stage.into(),
            ),
            (
                "max_uniform_buffer_binding_size",
                size_of::<Params>() as u64,
                limits.max_uniform_buffer_binding_size,
            ),
            (
                "max_compute_workgroups_per_dimension",
                1,
                limits.max_compute_workgroups_per_dimension.into(),
            ),
        ];
        for (limit, needed, allowed) in least {
            if allowed < needed {
                return Err(Error::Limit { what: "any kernel", limit, needed, allowed });
            }
        }
        match self.subgroup_size {
            Some(size) if !size.is_power_of_two() => Err(Error::Option {
                option: "subgroup_size",
                given: size.to_string(),
                wanted: "it must be a power of two",
            }),
            _ => Ok(()),
        }
    }

    /// Returns the profile of a device of WebGPU's default limits, without subgroups.
    pub fn portable() -> Self {
        Self {
            limits: wgpu::Limits::default(),
            subgroup_size: None,
            subgroups_alike: false,
            int64: false,
            f16: false,
            f16_rounds: false,
            device_type: wgpu::DeviceType::Other,
            tuning: Tuning::of(wgpu::DeviceType::Other),
            batch_invariant: false,
        }
    }

    /// Returns the same device as another type, with that type's tuning: its table replaces any other tuning.
    pub fn with_device_type(self, device_type: wgpu::DeviceType) -> Self {
        Self { device_type, tuning: Tuning::of(device_type), ..self }
    }

    /// Returns the same device with another tuning.
    pub fn with_tuning(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// Returns the same device, with [`Profile::batch_invariant`] on or off.
    pub fn with_batch_invariance(self, on: bool) -> Self {
        Self { batch_invariant: on, ..self }
    }

    /// Returns true if the "GPU" is a driver that runs on the CPU.
    pub(crate) fn is_software(&self) -> bool {
        self.device_type == wgpu::DeviceType::Cpu
    }

    /// Returns the widest load of elements of a type within the tuning that the device has.
    pub(crate) fn widest_load(&self, element_type: ElementType) -> VectorWidth {
        match self.tuning.load {
            VectorWidth::One => VectorWidth::One,
            // 16 bytes, on any device.
            _ if is_half(element_type) => VectorWidth::Eight,
            VectorWidth::Eight if !self.int64 => VectorWidth::Four,
            load => load,
        }
    }

    /// Returns true if such loads are 64-bit numbers.
    pub(crate) fn has_u64_loads(&self, load: VectorWidth) -> bool {
        load == VectorWidth::Eight && self.tuning.load == VectorWidth::Eight && self.int64
    }
}
