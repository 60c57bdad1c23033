//! What a plan has to know of a device.

/// The facts about a device that decide how work is laid out on it.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The device's limits.
    pub limits: wgpu::Limits,
    /// The smallest subgroup the adapter may use, where the device has the subgroup feature.
    pub subgroup_size: Option<u32>,
    /// What kind of machine it is.
    pub device_type: wgpu::DeviceType,
}

impl Profile {
    /// The facts about a device.
    pub fn of(device: &wgpu::Device) -> Self {
        let info = device.adapter_info();
        let subgroups = device.features().contains(wgpu::Features::SUBGROUP);
        Self {
            limits: device.limits(),
            subgroup_size: subgroups.then_some(info.subgroup_min_size.max(1)),
            device_type: info.device_type,
        }
    }

    /// A device of WebGPU's default limits, without subgroups.
    pub fn portable() -> Self {
        Self {
            limits: wgpu::Limits::default(),
            subgroup_size: None,
            device_type: wgpu::DeviceType::Other,
        }
    }

    /// Whether the "GPU" is a driver that runs on the CPU.
    pub(crate) fn is_software(&self) -> bool {
        self.device_type == wgpu::DeviceType::Cpu
    }
}
