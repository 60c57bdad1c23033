//! `wgpu-loss adapters`: the GPUs there are.

use serde::Serialize;
use wgpu_loss::Gpu;
use wgpu_loss::wgpu::AdapterInfo;

use crate::error::Failure;
use crate::report;

/// What is told of an adapter.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// The API it is reached through.
    pub backend: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// What it is: a discrete or integrated GPU, software.
    #[serde(rename = "type")]
    pub kind: &'static str,
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
            },
        }
    }
}

/// Lists them, best first.
pub fn list(json: bool) -> Result<(), Failure> {
    let adapters: Vec<Adapter> = Gpu::adapters().iter().map(Adapter::from).collect();
    if json {
        report::print(&report::to_json(&serde_json::json!({ "adapters": adapters })))?;
    } else {
        report::print(&table(&adapters))?;
    }
    if adapters.is_empty() {
        // The library knows what to install; its error says so.
        let hint = Gpu::new().err().map_or("no GPU adapter".into(), |error| error.to_string());
        return Err(Failure::Failed(hint));
    }
    Ok(())
}

/// One line per adapter in aligned columns.
fn table(adapters: &[Adapter]) -> String {
    let rows: Vec<[&str; 4]> =
        adapters.iter().map(|a| [&a.name, a.kind, &a.backend, a.driver.as_str()]).collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [name, kind, backend, driver] in rows {
        let [a, b, c] = widths;
        let line = format!("{name:a$}  {kind:b$}  {backend:c$}  {driver}");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let adapter = |name: &str, kind, driver: &str| Adapter {
            name: name.into(),
            backend: "vulkan".into(),
            driver: driver.into(),
            kind,
        };
        let text = table(&[adapter("A long name", "discrete", "x 1"), adapter("B", "other", "")]);
        assert_eq!(text, "A long name  discrete  vulkan  x 1\nB            other     vulkan\n");
        assert_eq!(table(&[]), "");
    }
}
