//! An adapter in reports.

use serde::{Deserialize, Serialize};
use wgpu_loss::wgpu::AdapterInfo;

/// An adapter's properties in reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// The API through which it is used.
    pub backend: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// Its kind: a discrete or integrated GPU, software.
    #[serde(rename = "type")]
    pub kind: String,
}

impl From<&AdapterInfo> for Adapter {
    fn from(info: &AdapterInfo) -> Self {
        use wgpu_loss::wgpu::DeviceType;
        Self {
            name: info.name.trim().to_string(),
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver.trim(), info.driver_info.trim()).trim().into(),
            kind: match info.device_type {
                DeviceType::DiscreteGpu => "discrete",
                DeviceType::IntegratedGpu => "integrated",
                DeviceType::VirtualGpu => "virtual",
                DeviceType::Cpu => "software",
                DeviceType::Other => "other",
            }
            .into(),
        }
    }
}
