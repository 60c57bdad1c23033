//! The machine: versions, the variables that choose drivers, and the adapters with what they offer.

use std::collections::BTreeMap;

use serde::Serialize;
use wgpu_loss::plan::Tuning;
use wgpu_loss::wgpu::{self, Limits};
use wgpu_loss::{Gpu, wanted_features};

use crate::adapter::Adapter;
use crate::report::line;

/// The variables that change which driver is used, or how: wgpu's, the Vulkan loader's, Mesa's and our own.
const VARIABLES: [&str; 16] = [
    "WGPU_BACKEND",
    "WGPU_DX12_COMPILER",
    "WGPU_LOSS_CACHE",
    "VK_DRIVER_FILES",
    "VK_ICD_FILENAMES",
    "VK_ADD_DRIVER_FILES",
    "VK_LOADER_DRIVERS_SELECT",
    "VK_LOADER_DRIVERS_DISABLE",
    "VK_INSTANCE_LAYERS",
    "VK_LOADER_LAYERS_ENABLE",
    "MESA_VK_DEVICE_SELECT",
    "DRI_PRIME",
    "CUDA_VISIBLE_DEVICES",
    "LIBGL_ALWAYS_SOFTWARE",
    "GALLIVM_PERF",
    "MTL_HUD_ENABLED",
];

/// What a report of a fault should say about a machine.
#[derive(Debug, Serialize)]
pub struct Machine {
    wgpu_loss: &'static str,
    wgpu: &'static str,
    system: String,
    cores: usize,
    environment: BTreeMap<&'static str, String>,
    adapters: Vec<Described>,
}

/// An adapter with what it offers.
#[derive(Debug, Serialize)]
struct Described {
    #[serde(flatten)]
    adapter: Adapter,
    vendor: u32,
    device: u32,
    pci_bus: String,
    subgroups: [u32; 2],
    tuned: bool,
    /// Those that the library asks for.
    used: Vec<String>,
    features: Vec<String>,
    limits: BTreeMap<&'static str, u64>,
}

impl Machine {
    /// Looks at this machine.
    pub fn look() -> Self {
        let os = os_info::get();
        let set = |name| Some((name, std::env::var_os(name)?.to_string_lossy().into_owned()));
        Self {
            wgpu_loss: env!("CARGO_PKG_VERSION"),
            wgpu: WGPU,
            system: format!("{os}, {}", std::env::consts::ARCH),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            environment: VARIABLES.into_iter().filter_map(set).collect(),
            adapters: Gpu::wgpu_adapters().iter().map(Described::of).collect(),
        }
    }

    /// Returns the lines for a person, in colours.
    pub fn text(&self) -> String {
        let mut text = line("wgpu-loss", &format!("{}, with wgpu {}", self.wgpu_loss, self.wgpu));
        text += &line("system", &format!("{}, {} cores", self.system, self.cores));
        for (name, value) in &self.environment {
            text += &line("set", &format!("{name}={value}"));
        }
        for (index, described) in self.adapters.iter().enumerate() {
            text.push('\n');
            text += &described.text(index + 1);
        }
        text
    }
}

impl Described {
    fn of(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let names = |features: wgpu::Features| {
            features.iter_names().map(|(name, _)| name.to_string()).collect()
        };
        Self {
            adapter: Adapter::from(&info),
            vendor: info.vendor,
            device: info.device,
            pci_bus: info.device_pci_bus_id.clone(),
            subgroups: [info.subgroup_min_size, info.subgroup_max_size],
            tuned: Tuning::stored(&info).is_some(),
            used: names(wanted_features(adapter)),
            features: names(adapter.features()),
            limits: compute_limits(&adapter.limits()),
        }
    }

    fn text(&self, number: usize) -> String {
        let Adapter { name, backend, driver, kind, .. } = &self.adapter;
        let [least, most] = self.subgroups;
        let tuned = if self.tuned { "; tuned" } else { "" };
        let bus = match self.pci_bus.as_str() {
            "" => String::new(),
            bus => format!(", bus {bus}"),
        };
        let ids = format!("vendor {:#06x}, device {:#06x}{bus}", self.vendor, self.device);
        let mut text = line(&format!("adapter {number}"), name);
        text += &line("", &format!("{kind}, {backend}, {driver}"));
        text += &line("", &format!("{ids}; subgroups of {least} to {most} lanes{tuned}"));
        text += &line("used", &self.used.join(", "));
        text += &line("features", &self.features.join(", "));
        for (name, value) in &self.limits {
            text += &line("limit", &format!("{name} = {value}"));
        }
        text
    }
}

/// Returns the limits that kernels and buffers meet, by their names in wgpu.
fn compute_limits(limits: &Limits) -> BTreeMap<&'static str, u64> {
    // wgpu tells its limits by name through serde only, which it is built without.
    macro_rules! named {
        ($($limit:ident),* $(,)?) => {
            [$((stringify!($limit), u64::from(limits.$limit))),*]
        };
    }
    named![
        max_bind_groups,
        max_bindings_per_bind_group,
        max_storage_buffers_per_shader_stage,
        max_uniform_buffer_binding_size,
        max_storage_buffer_binding_size,
        max_buffer_size,
        min_uniform_buffer_offset_alignment,
        min_storage_buffer_offset_alignment,
        max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x,
        max_compute_workgroups_per_dimension,
    ]
    .into()
}

/// The version of wgpu that this program needs; a crate does not know the versions of others.
const WGPU: &str = "30.0";
