//! The picture: bandwidth by number of classes, under the device's roof.

use wgpu_loss::gpu::Clock;
use wgpu_loss::wgpu::AdapterInfo;

use super::chart::{Chart, Curve, GRADIENT, LOSS, grouped};
use super::measure::{Measured, Pass};
use crate::files::Picture;

/// Draws the measurements, as the bytes of a file.
pub fn draw(
    measured: &[Measured],
    adapter: &AdapterInfo,
    format: Picture,
) -> Result<Vec<u8>, String> {
    let passes = [Pass::Fwd, Pass::FwdBwd].into_iter();
    let elements = measured.iter().map(|m| m.shape.iter().product::<usize>()).max().unwrap_or(0);
    let wall = measured.iter().any(|m| m.kernel.clock == Clock::Wall);
    let clock = if wall { "the wall clock" } else { "the device's timestamps" };
    let dtype = measured.first().map_or("", |m| m.element_type.name());
    let chart = Chart {
        title: format!("Cross-entropy on {}", adapter.name.trim()),
        subtitle: format!(
            "{} {dtype} logits, int64 labels, mean. Bytes that have to move over kernel time by {clock}.",
            grouped(elements)
        ),
        curves: passes.filter_map(|pass| curve(pass, measured)).collect(),
    };
    let drawn = match format {
        Picture::Svg => chart.svg(),
        Picture::Png => chart.png(),
    };
    drawn.map_err(|error| format!("the picture cannot be drawn: {error}"))
}

/// Returns the bandwidths that a pass reaches, and as its roof the middle one of those measured
/// with each shape.
fn curve(pass: Pass, measured: &[Measured]) -> Option<Curve> {
    let mine = || measured.iter().filter(|m| m.pass == pass);
    let points = mine().map(|m| ((m.shape[1] as f64).log2(), m.rate() / 1e9)).collect();
    let mut roofs: Vec<f64> = mine().map(|m| m.roof_rate() / 1e9).collect();
    roofs.sort_by(f64::total_cmp);
    let rate = *roofs.get(roofs.len() / 2)?;
    let (name, color, roof) = match pass {
        Pass::Fwd => ("loss", LOSS, "plain 16-byte reads"),
        Pass::FwdBwd => ("loss and gradient", GRADIENT, "plain 16-byte reads, then a copy"),
    };
    Some(Curve { name: name.into(), color, points, roof: Some((roof.into(), rate)) })
}
