//! The loss curve: loss and accuracy by step, side by side.

use plotters::coord::Shift;
use plotters::prelude::*;
use support::examples::Result;
use wgpu_loss::Decoded;
use wgpu_loss_cli::picture::{self, FAINT, FONT, GRID, INK};

/// Width and height of the picture, in dots.
const SIZE: (u32, u32) = (960, 400);
/// The picture is drawn this many times as large, and smoothed.
const FINER: u32 = 3;

/// Draws the curve, as the bytes of a PNG file.
pub fn draw(steps: &[Decoded]) -> Result<Vec<u8>> {
    picture::register()?;
    let (width, height) = (SIZE.0 * FINER, SIZE.1 * FINER);
    let mut fine = vec![0; (3 * width * height) as usize];
    let backend = BitMapBackend::with_buffer(&mut fine, (width, height));
    paint(backend, steps).map_err(picture::said)?;
    let dots = picture::smoothed(&fine, width as usize, FINER as usize);
    Ok(picture::png(&dots, SIZE.0, SIZE.1)?)
}

type Drawn<DB> = std::result::Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

fn paint<DB: DrawingBackend>(backend: DB, steps: &[Decoded]) -> Drawn<DB> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(SIZE.0 * FINER / 2);
    let losses: Vec<f64> = steps.iter().map(|step| f64::from(step.loss).log10()).collect();
    let least = losses.iter().copied().fold(0.0, f64::min);
    let most = losses.iter().copied().fold(least, f64::max);
    let loss = Panel {
        title: "mean loss, on a log scale",
        from: least - 0.1,
        to: most + 0.1,
        color: RGBColor(37, 99, 235),
        tick: |y| format!("{:.2}", 10f64.powf(*y)),
    };
    loss.paint(&left, &losses)?;
    let percents: Vec<f64> = steps.iter().map(crate::percent).collect();
    let accuracy = Panel {
        title: "images classified right, %",
        from: 0.0,
        to: 102.0,
        color: RGBColor(217, 119, 6),
        tick: |y| format!("{y:.0}"),
    };
    accuracy.paint(&right, &percents)?;
    area.present()
}

/// A curve over the steps.
struct Panel {
    title: &'static str,
    from: f64,
    to: f64,
    color: RGBColor,
    tick: fn(&f64) -> String,
}

impl Panel {
    fn paint<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        values: &[f64],
    ) -> Drawn<DB> {
        let size = |dots: u32| dots * FINER;
        let label = TextStyle::from((FONT, size(15)).into_font()).color(&INK);
        let corner = (size(24) as i32, size(14) as i32);
        area.draw_text(
            self.title,
            &TextStyle::from((FONT, size(18)).into_font()).color(&INK),
            corner,
        )?;
        let mut plane = ChartBuilder::on(area)
            .margin_top(size(46))
            .margin_right(size(20))
            .margin_bottom(size(8))
            .x_label_area_size(size(46))
            .y_label_area_size(size(58))
            .build_cartesian_2d(0.0..values.len() as f64, self.from..self.to)?;
        plane
            .configure_mesh()
            .bold_line_style(GRID.stroke_width(FINER))
            .light_line_style(TRANSPARENT)
            .axis_style(FAINT.stroke_width(FINER))
            .set_all_tick_mark_size(size(4))
            .label_style(label.clone())
            .axis_desc_style(label)
            .x_desc("step")
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&self.tick)
            .draw()?;
        let points = values.iter().enumerate().map(|(step, &value)| (step as f64, value));
        plane.draw_series(LineSeries::new(points, self.color.stroke_width(size(2))))?;
        Ok(())
    }
}
