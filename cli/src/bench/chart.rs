//! A chart of bandwidths by number of classes, written as an SVG or a PNG.
//!
//! The acceptance run includes this file too, so of the program it imports `picture` alone.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::picture::{self, FAINT, FONT, GRID, INK, said};

/// Width and height of an SVG.
const SIZE: (u32, u32) = (960, 560);
/// Dots of a PNG for each unit of `SIZE`.
const DOTS: u32 = 2;
/// Factor by which a PNG is drawn finer than that and then averaged, since plotters does not smooth
/// its lines.
const FINER: u32 = 2;
/// The height of the title and the line under it.
const TITLE: u32 = 80;
/// The height of a line of the legend, and of the margin below the legend.
const LINE: u32 = 24;
const BELOW: u32 = 16;

/// The blue of the library's own curves; the orange is next.
pub const LOSS: RGBColor = RGBColor(37, 99, 235);
pub const GRADIENT: RGBColor = RGBColor(217, 119, 6);

/// A curve of reached bandwidths.
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Colour of its line, its dots and its roof.
    pub color: RGBColor,
    /// Log2 of the classes, and GB/s.
    pub points: Vec<(f64, f64)>,
    /// The roof: its name, and GB/s. Nothing should be faster.
    pub roof: Option<(String, f64)>,
}

/// A chart's texts and curves.
pub struct Chart {
    pub title: String,
    pub subtitle: String,
    pub curves: Vec<Curve>,
}

type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

impl Chart {
    /// Returns the bytes of an SVG.
    pub fn svg(&self) -> Result<Vec<u8>, String> {
        picture::register()?;
        let mut text = String::new();
        self.paint(SVGBackend::with_string(&mut text, SIZE), 1).map_err(said)?;
        Ok(text.into_bytes())
    }

    /// Returns the bytes of a PNG.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        picture::register()?;
        let scale = DOTS * FINER;
        let (width, height) = (SIZE.0 * scale, SIZE.1 * scale);
        let mut fine = vec![0; (3 * width * height) as usize];
        self.paint(BitMapBackend::with_buffer(&mut fine, (width, height)), scale).map_err(said)?;

        let dots = picture::smoothed(&fine, width as usize, FINER as usize);
        picture::png(&dots, width / FINER, height / FINER)
    }

    /// Draws everything, `scale` times as large as [`SIZE`].
    fn paint<DB: DrawingBackend>(&self, backend: DB, scale: u32) -> Drawn<DB> {
        let area = backend.into_drawing_area();
        area.fill(&WHITE)?;
        let head = TITLE + LINE * self.curves.len() as u32 + BELOW;
        let (head, body) = area.split_vertically(head * scale);
        let text = |size: u32, color: &RGBColor| (FONT, size * scale).into_font().color(color);
        let at = |x: u32, y: u32| ((x * scale) as i32, (y * scale) as i32);
        head.draw_text(&self.title, &text(26, &INK), at(24, 18))?;
        head.draw_text(&self.subtitle, &text(16, &FAINT), at(24, 54))?;
        for (line, curve) in self.curves.iter().enumerate() {
            let y = TITLE + LINE / 2 + LINE * line as u32;
            let color = curve.color;
            head.draw(&PathElement::new([at(24, y), at(54, y)], color.stroke_width(3 * scale)))?;
            head.draw(&Circle::new(at(39, y), 4 * scale, color.filled()))?;
            head.draw_text(&curve.name, &text(16, &INK), at(64, y - 4))?;
            let Some((roof, rate)) = &curve.roof else { continue };
            for dash in [248, 259, 270] {
                let ends = [at(dash, y), at(dash + 7, y)];
                head.draw(&PathElement::new(ends, color.stroke_width(2 * scale)))?;
            }
            let roof = format!("its roof, {roof}: {rate:.1} GB/s");
            head.draw_text(&roof, &text(16, &INK), at(287, y - 4))?;
        }
        plane(&body, &self.curves, scale)?;
        area.present()
    }
}

/// Draws the axes and the curves.
fn plane<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    curves: &[Curve],
    scale: u32,
) -> Drawn<DB> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let roofs = || curves.iter().filter_map(|curve| curve.roof.as_ref());
    let (left, right) = points().fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), point| {
        (low.min(point.0), high.max(point.0))
    });
    let (left, right) = (left - 0.4, right + 0.4);
    let heights = points().map(|point| point.1).chain(roofs().map(|roof| roof.1));
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
        let color = curve.color;
        if let Some((_, rate)) = curve.roof {
            let dashes = color.stroke_width(2 * scale);
            let ends = [(left, rate), (right, rate)];
            plane.draw_series(DashedLineSeries::new(ends, 7 * scale, 5 * scale, dashes))?;
        }
        let line = color.stroke_width(3 * scale);
        plane.draw_series(LineSeries::new(curve.points.iter().copied(), line))?;
        let dots = curve.points.iter().map(|&p| Circle::new(p, 4 * scale, color.filled()));
        plane.draw_series(dots)?;
    }
    Ok(())
}

/// Formats a whole number with a comma before every three digits.
pub fn grouped(number: usize) -> String {
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
