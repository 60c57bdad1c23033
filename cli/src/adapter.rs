//! An adapter in reports.

use serde::{Deserialize, Serialize};
use wgpu_loss::gpu::Share;
use wgpu_loss::wgpu::AdapterInfo;

/// An adapter's properties in reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// The rows that it has computed, if it is one of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Its failure, if others have gone on without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Adapter {
    /// Returns it with its part of the work of several.
    pub fn with_share(self, share: Share) -> Self {
        let failure = share.failure.map(|error| error.to_string());
        Self { rows: Some(share.rows), failure, ..self }
    }

    /// Returns the name of both together.
    pub fn and(self, other: Self) -> Self {
        let both = |a: String, b: String| if a == b { a } else { format!("{a} + {b}") };
        Self {
            name: format!("{} + {}", self.name, other.name),
            backend: both(self.backend, other.backend),
            driver: both(self.driver, other.driver),
            kind: both(self.kind, other.kind),
            ..Self::default()
        }
    }
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
            ..Self::default()
        }
    }
}
