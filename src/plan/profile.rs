//! What a plan has to know of a device.

use super::{Params, Tuning};
use crate::Error;
use crate::kernels::{Load, is_half};
use crate::tensor::{ElementType, Slot};

/// The facts about a device that decide how work is laid out on it.
///
/// Plans can be made for devices that are not there: change what differs.
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
    /// The smallest subgroup the adapter may use, where the device has the subgroup feature.
    pub subgroup_size: Option<u32>,
    /// Whether all its subgroups have that size.
    pub subgroups_alike: bool,
    /// Whether shaders may use 64-bit integers. Only plans for software drivers look at it.
    pub int64: bool,
    /// Whether the device has f16 numbers and its conversion from them is exact, those below 2^-14 included.
    /// [`Profile::of`] believes it of drivers that run on the processor. f16 tensors are read by integers elsewhere.
    pub f16: bool,
    /// What kind of machine it is.
    pub device_type: wgpu::DeviceType,
    /// How work is laid out on it.
    pub tuning: Tuning,
    /// Whether what is computed of a row has the same bits whatever the number of rows, the row's place among
    /// them, the pieces, the memory budget and the tensors' places in their buffers are. Off by default: it is
    /// slower for some shapes. `docs/invariance.md` says what holds with it and without it, and what it costs.
    pub batch_invariant: bool,
}

impl Profile {
    /// The facts about a device.
    pub fn of(device: &wgpu::Device) -> Self {
        let info = device.adapter_info();
        // In a browser the kernels would also need `subgroup_id`, which is a language feature of its own and which
        // nothing of wgpu tells about.
        let subgroups = cfg!(not(target_arch = "wasm32"))
            && device.features().contains(wgpu::Features::SUBGROUP);
        Self {
            limits: device.limits(),
            subgroup_size: subgroups.then_some(info.subgroup_min_size.max(1)),
            subgroups_alike: info.subgroup_min_size == info.subgroup_max_size,
            int64: device.features().contains(wgpu::Features::SHADER_INT64),
            // WGSL lets `unpack2x16float` flush f16 below 2^-14, as class probabilities among many are. Drivers that
            // run on the processor use its conversion, which keeps them.
            f16: device.features().contains(wgpu::Features::SHADER_F16)
                && info.device_type == wgpu::DeviceType::Cpu,
            device_type: info.device_type,
            tuning: Tuning::of(info.device_type),
            batch_invariant: false,
        }
    }

    /// Refuses what no device is like and no plan can be laid out for. Every [`Plan`](super::Plan) asks.
    ///
    /// # Errors
    /// [`Error::Limit`] for a limit below what any kernel takes, [`Error::Option`] for a subgroup size that is no power
    /// of two.
    pub fn check(&self) -> Result<(), Error> {
        let limits = &self.limits;
        let least: [(&str, u64, u64); 5] = [
            ("max_bind_groups", 1, limits.max_bind_groups.into()),
            (
                "max_bindings_per_bind_group",
                Slot::COUNT as u64,
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

    /// A device of WebGPU's default limits, without subgroups.
    pub fn portable() -> Self {
        Self {
            limits: wgpu::Limits::default(),
            subgroup_size: None,
            subgroups_alike: false,
            int64: false,
            f16: false,
            device_type: wgpu::DeviceType::Other,
            tuning: Tuning::of(wgpu::DeviceType::Other),
            batch_invariant: false,
        }
    }

    /// The same device as another kind of machine, laid out as that kind is: its table takes the place of any tuning.
    pub fn with_device_type(self, device_type: wgpu::DeviceType) -> Self {
        Self { device_type, tuning: Tuning::of(device_type), ..self }
    }

    /// The same device, laid out by other numbers.
    pub fn with_tuning(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// The same device, with [`Profile::batch_invariant`] on or off.
    pub fn with_batch_invariance(self, on: bool) -> Self {
        Self { batch_invariant: on, ..self }
    }

    /// Whether the "GPU" is a driver that runs on the CPU.
    pub(crate) fn is_software(&self) -> bool {
        self.device_type == wgpu::DeviceType::Cpu
    }

    /// The widest load of elements of a type that the tuning asks for and the device has.
    pub(crate) fn widest_load(&self, element_type: ElementType) -> Load {
        match self.tuning.load {
            Load::One => Load::One,
            // 16 bytes, whatever the device.
            _ if is_half(element_type) => Load::Eight,
            Load::Eight if !self.int64 => Load::Four,
            load => load,
        }
    }

    /// Whether such loads are 64-bit numbers.
    pub(crate) fn has_longs(&self, load: Load) -> bool {
        load == Load::Eight && self.tuning.load == Load::Eight && self.int64
    }
}
