//! `wgpu-loss adapters`: the GPUs that wgpu finds.

use serde::Serialize;
use wgpu_loss::Gpu;
use wgpu_loss::plan::Tuning;
use wgpu_loss::wgpu::AdapterInfo;

use crate::adapter::Adapter;
use crate::error::Failure;
use crate::report;

/// An adapter in the list.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    adapter: Adapter,
    /// True if `wgpu-loss tune` has stored numbers for it.
    tuned: bool,
}

/// Lists the adapters, best first.
pub fn list(json: bool) -> Result<(), Failure> {
    let listed = |info: &AdapterInfo| Listed {
        adapter: Adapter::from(info),
        tuned: Tuning::stored(info).is_some(),
    };
    let adapters: Vec<Listed> = Gpu::adapters().iter().map(listed).collect();
    if json {
        report::print(&report::to_json(&serde_json::json!({ "adapters": adapters })))?;
    } else {
        report::print(&table(&adapters))?;
    }
    if adapters.is_empty() {
        // The library's error says what to install.
        let hint = Gpu::new().err().map_or("no GPU adapter".into(), |error| error.to_string());
        return Err(Failure::Failed(hint));
    }
    Ok(())
}

/// Returns one line per adapter in aligned columns.
fn table(adapters: &[Listed]) -> String {
    let rows: Vec<[&str; 5]> = adapters
        .iter()
        .map(|Listed { adapter, tuned }| {
            let Adapter { name, backend, driver, kind, .. } = adapter;
            [name.as_str(), kind, backend, driver, if *tuned { "tuned" } else { "" }]
        })
        .collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for [name, kind, backend, driver, tuned] in rows {
        let line = format!("{name:a$}  {kind:b$}  {backend:c$}  {driver:d$}  {tuned}");
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
        let listed = |name: &str, kind: &str, driver: &str, tuned| {
            let (name, kind, driver) = (name.into(), kind.into(), driver.into());
            let backend = "vulkan".into();
            let adapter = Adapter { name, backend, driver, kind, ..Adapter::default() };
            Listed { adapter, tuned }
        };
        let lines = |tuned| {
            table(&[
                listed("A long name", "discrete", "x 1", false),
                listed("B", "other", "", tuned),
            ])
        };
        let first = "A long name  discrete  vulkan  x 1\n";
        assert_eq!(lines(false), format!("{first}B            other     vulkan\n"));
        assert_eq!(lines(true), format!("{first}B            other     vulkan       tuned\n"));
        assert_eq!(table(&[]), "");
    }
}
