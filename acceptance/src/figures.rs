//! Target figures for a GPU, compared with the measurements.

use serde_json::{Value, json};

use crate::grid::{self, LARGE_ROWS, ROWS, SHORT_AND_COLUMNS, Shape, named};
use crate::results::{DTYPES, PASSES, Results, device_ms, is_right};

/// Percent of the roof that a loss should reach, by shape.
const FORWARD: [(&[&[u64]], f64); 3] =
    [(&LARGE_ROWS, 85.0), (&ROWS, 70.0), (&SHORT_AND_COLUMNS, 60.0)];
/// Percent of the roof, of two reads and a write, for a loss with its gradient at each of these shapes.
const GRADIENT: f64 = 80.0;
/// Bytes per second of types of two bytes, as a share of f32's.
const HALVES: f64 = 0.8;
/// A stream's time, as a multiple of its slowest part's.
const STREAM: f64 = 1.25;

/// A figure.
pub struct Figure {
    pub what: String,
    pub wanted: String,
    /// The measurement, and true if it is good enough; `None` if it was not measured.
    pub measured: Option<(String, bool)>,
}

impl Figure {
    /// The verdict in a word.
    pub fn verdict(&self) -> &'static str {
        match &self.measured {
            Some((_, true)) => "met",
            Some((_, false)) => "**missed**",
            None => "not measured",
        }
    }

    pub fn json(&self) -> Value {
        let measured = self.measured.as_ref();
        json!({
            "what": self.what,
            "wanted": self.wanted,
            "measured": measured.map(|(text, _)| text),
            "met": measured.map(|(_, met)| met),
        })
    }
}

/// Returns all figures. Times of a software driver say nothing about a GPU, so with one none counts as measured.
pub fn all(results: &Results) -> Vec<Figure> {
    let mut figures = Vec::new();
    figures.extend(roofs(results));
    figures.extend(halves(results));
    figures.extend(contests(results));
    figures.push(stream(results));
    if !results.gpu() {
        figures.iter_mut().for_each(|figure| figure.measured = None);
    }
    figures
}

/// Requires at least a share of the roof.
fn roofs(results: &Results) -> Vec<Figure> {
    let figure = |shape: &[u64], pass: &str, least: f64| {
        let percent = results.cell("f32", shape, pass).and_then(|m| m["percent_of_roof"].as_f64());
        Figure {
            what: format!("{} {pass}, f32", named(shape)),
            wanted: format!("{least:.0} % of the roof"),
            measured: percent.map(|percent| (format!("{percent:.0} %"), percent >= least)),
        }
    };
    let mut figures = Vec::new();
    for (shapes, least) in FORWARD {
        figures.extend(shapes.iter().map(|shape| figure(shape, "fwd", least)));
    }
    figures.extend(grid::wanted().iter().map(|shape| figure(shape, "fwd+bwd", GRADIENT)));
    figures
}

/// Requires that types of two bytes are nearly as fast, by their bytes.
fn halves(results: &Results) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (dtype, _) in DTYPES.into_iter().filter(|(_, bytes)| *bytes == 2) {
        for (shape, (pass, _)) in grid::wanted().iter().flat_map(|s| PASSES.map(|pass| (s, pass))) {
            let rate =
                |dtype| results.cell(dtype, shape, pass).and_then(|m| m["gb_per_s"].as_f64());
            let part = rate(dtype).zip(rate("f32")).map(|(half, full)| half / full);
            figures.push(Figure {
                what: format!("{} {pass}, {dtype}", named(shape)),
                wanted: format!("{HALVES:.1} of f32's GB/s"),
                measured: part.map(|part| (format!("{part:.2}"), part >= HALVES)),
            });
        }
    }
    figures
}

/// Requires that we are ahead of all contenders with right answers, by the device's own times.
fn contests(results: &Results) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (dtype, _) in DTYPES {
        for (shape, (pass, name)) in
            grid::wanted().iter().flat_map(|s| PASSES.map(|pass| (s, pass)))
        {
            figures.push(Figure {
                what: format!("{} {pass}, {dtype}", named(shape)),
                wanted: "ahead of PyTorch eager, torch.compile and Liger".into(),
                measured: contest(results, dtype, shape, name),
            });
        }
    }
    figures
}

fn contest(results: &Results, dtype: &str, shape: &Shape, pass: &str) -> Option<(String, bool)> {
    let cells = results.contest(dtype, shape, pass);
    let ours = cells.iter().find(|cell| cell["name"] == "ours")?;
    let time = device_ms(ours)?;
    let rivals = cells.iter().filter(|cell| cell["name"] != "ours" && is_right(cell));
    let best = rivals.filter_map(|cell| Some((device_ms(cell)?, cell["name"].as_str()?)));
    let (rival, name) = best.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let text = format!("{time:.3} ms, {name} {rival:.3} ms: {:.2}x", rival / time);
    Some((text, time < rival && is_right(ours)))
}

fn stream(results: &Results) -> Figure {
    let overlap = results.result("stream").and_then(|stream| stream["overlap"].as_f64());
    Figure {
        what: "streaming a file".into(),
        wanted: format!("at most {STREAM} of the longest of reading, upload and kernels"),
        measured: overlap.map(|overlap| (format!("{overlap:.2}"), overlap <= STREAM)),
    }
}
