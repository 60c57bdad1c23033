//! The picture: bandwidth by number of classes, under the device's roof.

use plotters::coord::Shift;
use plotters::prelude::*;
use wgpu_loss::gpu::Clock;
use wgpu_loss::wgpu::AdapterInfo;

use super::measure::{Measured, Pass};
use crate::files::Picture;
use crate::picture::{self, FAINT, FONT, GRID, INK, said};

/// Width and height of an SVG.
const SIZE: (u32, u32) = (960, 560);
/// A PNG has this many dots for each of them,
const DOTS: u32 = 2;
/// and is drawn finer than that by as much again, since plotters does not smooth its lines.
const FINER: u32 = 2;
/// The height of the title, the line under it, and the legend.
const HEAD: u32 = 144;

/// What a pass reaches.
struct Curve {
    pass: Pass,
    /// Log2 of the classes, and GB/s.
    points: Vec<(f64, f64)>,
    /// GB/s, the middle of those that were measured with each point.
    roof: f64,
}

impl Curve {
    fn of(pass: Pass, measured: &[Measured]) -> Option<Self> {
        let mine = || measured.iter().filter(|m| m.pass == pass);
        let points: Vec<_> = mine().map(|m| ((m.shape[1] as f64).log2(), m.rate() / 1e9)).collect();
        let mut roofs: Vec<f64> = mine().map(|m| m.roof_rate() / 1e9).collect();
        roofs.sort_by(f64::total_cmp);
        let roof = *roofs.get(roofs.len() / 2)?;
        Some(Self { pass, points, roof })
    }

    fn color(&self) -> RGBColor {
        match self.pass {
            Pass::Fwd => RGBColor(37, 99, 235),
            Pass::FwdBwd => RGBColor(217, 119, 6),
        }
    }

    /// What the curve is, and its roof.
    fn names(&self) -> [String; 2] {
        let roof = |what| format!("its roof, {what}: {:.1} GB/s", self.roof);
        match self.pass {
            Pass::Fwd => ["loss".into(), roof("plain 16-byte reads")],
            Pass::FwdBwd => ["loss and gradient".into(), roof("plain 16-byte reads, then a copy")],
        }
    }
}

/// What the picture shows.
struct Chart {
    title: String,
    subtitle: String,
    curves: Vec<Curve>,
}

/// Draws what was measured, as the bytes of a file.
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
        curves: passes.filter_map(|pass| Curve::of(pass, measured)).collect(),
    };
    picture::register()?;
    let drawn = match format {
        Picture::Svg => svg(&chart),
        Picture::Png => png(&chart),
    };
    drawn.map_err(|error| format!("the picture cannot be drawn: {error}"))
}

fn svg(chart: &Chart) -> Result<Vec<u8>, String> {
    let mut text = String::new();
    paint(SVGBackend::with_string(&mut text, SIZE), chart, 1).map_err(said)?;
    Ok(text.into_bytes())
}

fn png(chart: &Chart) -> Result<Vec<u8>, String> {
    let scale = DOTS * FINER;
    let (width, height) = (SIZE.0 * scale, SIZE.1 * scale);
    let mut fine = vec![0; (3 * width * height) as usize];
    paint(BitMapBackend::with_buffer(&mut fine, (width, height)), chart, scale).map_err(said)?;

    let dots = picture::smoothed(&fine, width as usize, FINER as usize);
    picture::png(&dots, width / FINER, height / FINER)
}

type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// Draws everything, `scale` times as large as [`SIZE`].
fn paint<DB: DrawingBackend>(backend: DB, chart: &Chart, scale: u32) -> Drawn<DB> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let (head, body) = area.split_vertically(HEAD * scale);
    let text = |size: u32, color: &RGBColor| (FONT, size * scale).into_font().color(color);
    let at = |x: u32, y: u32| ((x * scale) as i32, (y * scale) as i32);
    head.draw_text(&chart.title, &text(26, &INK), at(24, 18))?;
    head.draw_text(&chart.subtitle, &text(16, &FAINT), at(24, 54))?;
    for (line, curve) in chart.curves.iter().enumerate() {
        let y = 92 + 24 * line as u32;
        let color = curve.color();
        let [name, roof] = curve.names();
        head.draw(&PathElement::new([at(24, y), at(54, y)], color.stroke_width(3 * scale)))?;
        head.draw(&Circle::new(at(39, y), 4 * scale, color.filled()))?;
        head.draw_text(&name, &text(16, &INK), at(64, y - 4))?;
        for dash in [248, 259, 270] {
            let ends = [at(dash, y), at(dash + 7, y)];
            head.draw(&PathElement::new(ends, color.stroke_width(2 * scale)))?;
        }
        head.draw_text(&roof, &text(16, &INK), at(287, y - 4))?;
    }
    plane(&body, &chart.curves, scale)?;
    area.present()
}

/// The axes and the curves.
fn plane<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    curves: &[Curve],
    scale: u32,
) -> Drawn<DB> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let (left, right) = points().fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), point| {
        (low.min(point.0), high.max(point.0))
    });
    let (left, right) = (left - 0.4, right + 0.4);
    let heights = points().map(|point| point.1).chain(curves.iter().map(|curve| curve.roof));
    let top = 1.1 * heights.fold(0.0, f64::max);

    let label = TextStyle::from((FONT, 16 * scale).into_font()).color(&INK);
    let corner = ((24 * scale) as i32, 0);
    area.draw_text("GB/s", &label, corner)?;
    let mut plane = ChartBuilder::on(area)
        .margin_top(26 * scale)
        .margin_right(24 * scale)
        .margin_bottom(12 * scale)
        .x_label_area_size(56 * scale)
        .y_label_area_size(66 * scale)
        .build_cartesian_2d(left..right, 0.0..top)?;
    plane
        .configure_mesh()
        .bold_line_style(GRID.stroke_width(scale))
        .light_line_style(TRANSPARENT)
        .axis_style(FAINT.stroke_width(scale))
        .set_all_tick_mark_size(5 * scale)
        .label_style(label.clone())
        .axis_desc_style(label)
        .x_desc("classes, on a log scale")
        .x_labels(10)
        .y_labels(8)
        .y_label_formatter(&|y| if top < 10.0 { format!("{y:.1}") } else { format!("{y:.0}") })
        .x_label_formatter(&|x| grouped(x.exp2().round() as usize))
        .draw()?;
    for curve in curves {
        let color = curve.color();
        let roof = [(left, curve.roof), (right, curve.roof)];
        let dashes = color.stroke_width(2 * scale);
        plane.draw_series(DashedLineSeries::new(roof, 7 * scale, 5 * scale, dashes))?;
        let line = color.stroke_width(3 * scale);
        plane.draw_series(LineSeries::new(curve.points.iter().copied(), line))?;
        let dots = curve.points.iter().map(|&p| Circle::new(p, 4 * scale, color.filled()));
        plane.draw_series(dots)?;
    }
    Ok(())
}

/// A whole number with a comma before every three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let numbers = [0, 7, 100, 1024, 65_536, 33_554_432];
        let texts = ["0", "7", "100", "1,024", "65,536", "33,554,432"];
        assert_eq!(numbers.map(grouped), texts);
    }
}
