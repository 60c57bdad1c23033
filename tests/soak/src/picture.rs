//! Samples as an SVG: a panel for each quantity, over one axis of time.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use wgpu_loss_cli::picture::{self, FAINT, FONT, GRID, INK, said};

use crate::sample::{HELD, Sample, rates};
use crate::verdict::{Growth, judge};

const WIDTH: u32 = 960;
const TITLE: u32 = 108;
const PANEL: u32 = 116;
const BELOW: u32 = 44;
/// Points of a curve at most: of a longer run, the largest of so many neighbours.
const POINTS: usize = 480;

const CURVE: RGBColor = RGBColor(37, 99, 235);
const MEDIAN: RGBColor = RGBColor(217, 119, 6);
const WARM_UP: RGBColor = RGBColor(243, 244, 246);

/// A quantity over time.
struct Panel {
    name: &'static str,
    points: Vec<(f64, f64)>,
    /// Those at starts of rounds.
    settled: Vec<(f64, f64)>,
    growth: Option<Growth>,
}

/// Returns the bytes of an SVG.
pub fn svg(title: &str, subtitle: &str, samples: &[Sample]) -> Result<Vec<u8>, String> {
    picture::register()?;
    let panels = panels(samples);
    let end = samples.last().map_or(1.0, |last| last.seconds).max(1.0);
    let mut text = String::new();
    let size = (WIDTH, TITLE + PANEL * panels.len() as u32 + BELOW);
    paint(SVGBackend::with_string(&mut text, size), title, subtitle, &panels, end).map_err(said)?;
    Ok(text.into_bytes())
}

fn panels(samples: &[Sample]) -> Vec<Panel> {
    let growths = judge(samples).unwrap_or_default();
    let held = HELD.into_iter().enumerate().filter_map(|(index, name)| {
        let point = |sample: &Sample| Some((sample.seconds, sample.held?[index]));
        let points: Vec<_> = samples.iter().filter_map(point).collect();
        let settled = samples.iter().filter(|sample| sample.settled).filter_map(point).collect();
        let growth = growths.get(index).cloned();
        (!points.is_empty()).then_some(Panel { name, points, settled, growth })
    });
    let other =
        |name, points: Vec<(f64, f64)>| Panel { name, points, settled: Vec::new(), growth: None };
    let pipelines = samples.iter().map(|s| (s.seconds, s.pipelines as f64)).collect();
    // Of whole rounds, and of the one that the run ends in: those of a few steps say nothing.
    let whole = |number: usize| samples.get(number + 1).is_none_or(|next| next.settled);
    let rates = samples.iter().zip(rates(samples)).enumerate();
    let rates = rates.filter(|(number, _)| whole(*number));
    let rates = rates.map(|(_, (sample, rate))| (sample.seconds, rate)).collect();
    held.chain([other("pipelines", pipelines), other("steps a second", rates)]).collect()
}

type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

fn paint<DB: DrawingBackend>(
    backend: DB,
    title: &str,
    subtitle: &str,
    panels: &[Panel],
    end: f64,
) -> Drawn<DB> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: u32, color: &RGBColor| (FONT, size).into_font().color(color);
    area.draw_text(title, &text(24, &INK), (24, 16))?;
    area.draw_text(subtitle, &text(14, &FAINT), (24, 50))?;
    legend(&area)?;
    let (_, mut rest) = area.split_vertically(TITLE);
    for (number, panel) in panels.iter().enumerate() {
        let last = number + 1 == panels.len();
        let (own, next) = rest.split_vertically(if last { PANEL + BELOW } else { PANEL });
        plane(&own, panel, end, last)?;
        rest = next;
    }
    area.present()
}

/// Says what the colours mean.
fn legend<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>) -> Drawn<DB> {
    let y = 84;
    let label = TextStyle::from((FONT, 13).into_font()).color(&FAINT);
    area.draw(&PathElement::new([(24, y), (48, y)], CURVE.stroke_width(2)))?;
    area.draw_text("within rounds", &label, (56, y - 5))?;
    area.draw(&Circle::new((194, y), 3, MEDIAN.filled()))?;
    area.draw_text("at their starts: new devices, no pipelines", &label, (206, y - 5))?;
    area.draw(&PathElement::new([(504, y), (528, y)], MEDIAN.stroke_width(2)))?;
    area.draw_text("median of a quarter's starts", &label, (536, y - 5))?;
    area.draw(&Rectangle::new([(750, y - 6), (774, y + 6)], WARM_UP.filled()))?;
    area.draw_text("warm-up", &label, (782, y - 5))
}

/// Draws one panel; the last has the axis of time.
fn plane<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    panel: &Panel,
    end: f64,
    last: bool,
) -> Drawn<DB> {
    let most = panel.points.iter().fold(0.0, |most: f64, point| most.max(point.1));
    let top = (1.15 * most).max(1.0);
    // Seconds, minutes or hours.
    let (unit, name) = match end {
        end if end < 180.0 => (1.0, "seconds"),
        end if end < 3.0 * 3600.0 => (60.0, "minutes"),
        _ => (3600.0, "hours"),
    };
    let end = end / unit;
    let label = TextStyle::from((FONT, 13).into_font()).color(&INK);
    area.draw_text(panel.name, &TextStyle::from((FONT, 14).into_font()).color(&INK), (24, 4))?;
    if let Some(Growth { before, after, allowed, .. }) = panel.growth {
        let says = format!("from {before:.0} to {after:.0}; +{allowed:.0} allowed");
        let style = TextStyle::from((FONT, 13).into_font()).color(&MEDIAN);
        let style = style.pos(Pos::new(HPos::Right, VPos::Top));
        area.draw_text(&says, &style, (WIDTH as i32 - 24, 4))?;
    }
    let mut plane = ChartBuilder::on(area)
        .margin_top(26)
        .margin_right(24)
        .x_label_area_size(if last { BELOW } else { 6 })
        .y_label_area_size(76)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    if let Some(growth) = &panel.growth {
        let corners = [(0.0, 0.0), (growth.quarters[0].0 / unit, top)];
        plane.draw_series([Rectangle::new(corners, WARM_UP.filled())])?;
    }
    plane
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(FAINT)
        .label_style(label.clone())
        .axis_desc_style(label)
        .x_desc(if last { name } else { "" })
        .x_labels(if last { 11 } else { 0 })
        .y_labels(4)
        .y_label_formatter(&|&y| short(y))
        .x_label_formatter(&|&x| short(x))
        .draw()?;
    let points = thinned(&panel.points).map(|(x, y)| (x / unit, y));
    plane.draw_series(LineSeries::new(points, CURVE.stroke_width(2)))?;
    let dots = thinned(&panel.settled).map(|(x, y)| Circle::new((x / unit, y), 2, MEDIAN.filled()));
    plane.draw_series(dots)?;
    if let Some(Growth { before, after, quarters, .. }) = panel.growth {
        for ((from, to), y) in quarters.into_iter().zip([before, after]) {
            let ends = [(from / unit, y), (to / unit, y)];
            plane.draw_series(LineSeries::new(ends, MEDIAN.stroke_width(2)))?;
        }
    }
    Ok(())
}

/// Returns a number with a digit after its point, if that is not 0.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), Into::into)
}

/// Returns the largest of so many neighbouring points that few are left.
fn thinned(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    let together = points.len().div_ceil(POINTS).max(1);
    points.chunks(together).map(|some| {
        let largest = some.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
        (some[0].0, largest)
    })
}
