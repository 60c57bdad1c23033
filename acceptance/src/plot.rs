//! The picture of a report: bandwidth by number of classes, compared with others.

use std::path::Path;

use plotters::style::RGBColor;
use serde_json::Value;

use crate::grid;
use crate::results::{DTYPES, PASSES, Results, device_ms, is_right};
use crate::write;
use wgpu_loss_cli::bench::chart::{Chart, Curve, GRADIENT, LOSS};

/// The element type that is drawn.
const DTYPE: (&str, u64) = DTYPES[0];
/// The other contenders in the picture: name, label and colour.
const RIVALS: [(&str, &str, RGBColor); 5] = [
    ("torch-cuda", "PyTorch", RGBColor(220, 38, 38)),
    ("torch-compile", "torch.compile", RGBColor(22, 163, 74)),
    ("liger", "Liger-Kernel", RGBColor(124, 58, 237)),
    ("torch-cpu", "PyTorch, CPU", RGBColor(220, 38, 38)),
    ("torch-compile-cpu", "torch.compile, CPU", RGBColor(22, 163, 74)),
];

/// Draws the results of a folder: of the loss alone, or with its gradient.
pub fn save(results: &Results, forward: bool, file: &Path) -> Result<(), String> {
    let chart = chart(results, forward)?;
    let drawn = match file.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => chart.svg(),
        Some("png") => chart.png(),
        _ => Err(format!("{}: a picture is an .svg or .png file", file.display())),
    };
    write(file, drawn?)
}

fn chart(results: &Results, forward: bool) -> Result<Chart, String> {
    let pass = PASSES[if forward { 0 } else { 1 }];
    let (what, moved) = match forward {
        true => ("Cross-entropy", "One read of the logits"),
        false => ("Cross-entropy and its gradient", "Two reads and a write of the logits"),
    };
    let mut curves =
        vec![ours(results, pass.0).ok_or("there is nothing to draw: run bench-f32 first")?];
    curves.extend(RIVALS.into_iter().filter_map(|(name, title, color)| {
        let points = rival(results, name, pass);
        (!points.is_empty()).then(|| Curve { name: title.into(), color, points, roof: None })
    }));
    let notice = if results.gpu() { "" } else { " No GPU: a software driver." };
    Ok(Chart {
        title: format!("{what} on {}", results.name()),
        subtitle: format!(
            "{} logits, int64 labels, mean. {moved} over the device's time.{notice}",
            DTYPE.0
        ),
        curves,
    })
}

/// Returns our curve, with the middle one of the roofs that were measured with each shape.
fn ours(results: &Results, pass: &str) -> Option<Curve> {
    let rows = || results.grid(DTYPE.0).iter().filter(|m| m["pass"] == pass && of_rows(m));
    let rate = |m: &Value, key: &str| m[key].as_f64();
    let points = rows().filter_map(|m| Some((log_classes(m)?, rate(m, "gb_per_s")?)));
    let mut roofs: Vec<f64> = rows().filter_map(|m| rate(m, "roof_gb_per_s")).collect();
    roofs.sort_by(f64::total_cmp);
    let (color, roof) = match pass {
        "fwd" => (LOSS, "plain 16-byte reads"),
        _ => (GRADIENT, "plain 16-byte reads, then a copy"),
    };
    let roof = Some((roof.to_string(), *roofs.get(roofs.len() / 2)?));
    Some(Curve { name: "wgpu-loss".into(), color, points: in_order(points), roof })
}

/// Returns the bandwidths of a contender whose answers are right.
fn rival(results: &Results, name: &str, pass: (&str, &str)) -> Vec<(f64, f64)> {
    let (dtype, size) = DTYPE;
    let cells = results.contenders().filter(|cell| {
        cell["name"] == name && cell["dtype"] == dtype && cell["pass"] == pass.1 && of_rows(cell)
    });
    in_order(cells.filter(|cell| is_right(cell)).filter_map(|cell| {
        let bytes = grid::bytes(&grid::read(&cell["shape"]), size, pass.0 != "fwd") as f64;
        Some((log_classes(cell)?, bytes / 1e6 / device_ms(cell)?))
    }))
}

fn in_order(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut points: Vec<_> = points.collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Returns true if the logits are rows, and enough of them to fill a device.
fn of_rows(m: &Value) -> bool {
    let shape = grid::read(&m["shape"]);
    shape.len() == 2 && shape.iter().product::<u64>() >= SMALLEST
}

/// With fewer elements than this, the time is that of a launch, not that of memory.
const SMALLEST: u64 = 1 << 19;

fn log_classes(m: &Value) -> Option<f64> {
    grid::read(&m["shape"]).get(1).map(|&classes| (classes as f64).log2())
}
