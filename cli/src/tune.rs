//! `wgpu-loss tune`: measures by which numbers work is laid out best on a device, and stores them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use wgpu_loss::gpu::{Clock, Field, Gain, Progress, ShapeTimes, TuneOptions, Tuned, TuningChoice};
use wgpu_loss::plan::Tuning;
use wgpu_loss::{Error, Gpu, GpuOptions};

use crate::adapter::Adapter;
use crate::args::TuneArgs;
use crate::error::{Failure, say};
use crate::report::{print, short, to_json};

/// Tunes a device, or deletes its stored numbers.
pub fn run(args: &TuneArgs) -> Result<(), Failure> {
    let options = GpuOptions::new()
        .adapter(args.adapter.as_deref().unwrap_or_default())
        .tuning(TuningChoice::Table);
    let gpu = Gpu::with_options(&options).map_err(failed)?;
    if args.reset {
        return reset(&gpu, args.json);
    }
    let tuned = search(&gpu, args)?;
    let (stored, failure) = match args.dry_run {
        true => (None, None),
        false => match tuned.tuning.store(gpu.info()) {
            Ok(path) => (Some(path), None),
            Err(error) => (None, Some(failed(error))),
        },
    };
    // The numbers, which took minutes to find, are printed even if they cannot be stored.
    let report = Report { adapter: gpu.info().into(), tuned: &tuned, stored };
    print(&if args.json { report.json() } else { report.text() })?;
    failure.map_or(Ok(()), Err)
}

fn reset(gpu: &Gpu, json: bool) -> Result<(), Failure> {
    let forgotten = Tuning::forget(gpu.info()).map_err(failed)?;
    let adapter = Adapter::from(gpu.info());
    if json {
        return print(&to_json(
            &json!({ "command": "tune", "adapter": adapter, "forgotten": forgotten }),
        ));
    }
    print(&match forgotten {
        true => format!("forgotten  what was kept for {}\n", adapter.name),
        false => format!("nothing was kept for {}\n", adapter.name),
    })
}

fn search(gpu: &Gpu, args: &TuneArgs) -> Result<Tuned, Failure> {
    let limit = Duration::from_secs((args.minutes as u64).saturating_mul(60));
    let mut options = TuneOptions::new().samples(args.samples).limit(limit);
    if let Some(elements) = args.elements {
        options = options.elements(elements);
    }
    if !args.only.is_empty() {
        let wanted = Field::ALL.into_iter().filter(|field| args.only.contains(field));
        options = options.fields(Vec::from_iter(wanted));
    }
    let name = gpu.info().name.trim().to_string();
    say(&format!("tuning {name}: {} min at most, leave the machine alone meanwhile", args.minutes));
    // Drawn on stderr, and only if that is a terminal.
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{pos}/{len} {wide_bar} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let tuned = gpu.tune(&options, |progress: &Progress| {
        bar.set_length(progress.of as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(format!("{} {}", progress.field.name(), progress.value));
    });
    bar.finish_and_clear();
    tuned.map_err(failed)
}

/// The contents of a report.
struct Report<'a> {
    adapter: Adapter,
    tuned: &'a Tuned,
    /// The file; `None` if nothing was stored.
    stored: Option<PathBuf>,
}

impl Report<'_> {
    /// Returns the lines for a person.
    fn text(&self) -> String {
        let Adapter { name, backend, driver, kind, .. } = &self.adapter;
        let tuned = self.tuned;
        let clock = match tuned.clock {
            Clock::Timestamps => "the device's timestamps",
            Clock::Wall => "the wall clock",
        };
        let mut text = format!(
            "device    {name} ({kind}, {backend}, {driver})\n\
             measured  {} candidates over shapes of about {} elements, by {clock}\n",
            tuned.tried, tuned.elements
        );
        if tuned.dropped > 0 {
            text += &format!("dropped   {} of them: wrong, or not compiled\n", tuned.dropped);
        }
        if !tuned.complete {
            text += "stopped   when the time was up: not all candidates were tried\n";
        }
        if tuned.tuning == tuned.table {
            text += "result    nothing is 3 % faster than the table\n";
        }
        let gains: Vec<[String; 4]> = tuned.gains.iter().map(|gain| self.gain(gain)).collect();
        text += "\n";
        text += &aligned(["number", "table", "winner", "gain"], &gains);
        let shapes: Vec<[String; 5]> = tuned.shapes.iter().map(shape).collect();
        text += "\n";
        text += &aligned(["shape", "pass", "table", "tuned", "gain"], &shapes);
        text += &match &self.stored {
            Some(path) => format!("\nstored    {}\n", path.display()),
            None => "\nnothing was stored\n".into(),
        };
        text
    }

    fn gain(&self, gain: &Gain) -> [String; 4] {
        let value = |tuning| gain.field.value(tuning);
        let (table, winner) = (value(&self.tuned.table), value(&self.tuned.tuning));
        let won = if winner == table { String::new() } else { percent(gain.times) };
        [gain.field.name().into(), table, winner, won]
    }

    /// Returns the JSON object.
    fn json(&self) -> String {
        let tuned = self.tuned;
        let clock = match tuned.clock {
            Clock::Timestamps => "timestamps",
            Clock::Wall => "wall",
        };
        to_json(&json!({
            "command": "tune",
            "version": env!("CARGO_PKG_VERSION"),
            "adapter": self.adapter,
            "clock": clock,
            "elements": tuned.elements,
            "tried": tuned.tried,
            "dropped": tuned.dropped,
            "complete": tuned.complete,
            "table": tuned.table,
            "tuning": tuned.tuning,
            "gains": tuned.gains.iter().map(gain_json).collect::<serde_json::Map<_, _>>(),
            "shapes": tuned.shapes.iter().map(shape_json).collect::<Vec<_>>(),
            "stored": self.stored.as_deref().map(Path::display).map(|path| path.to_string()),
        }))
    }
}

fn gain_json(gain: &Gain) -> (String, Value) {
    (gain.field.name().into(), gain.times.into())
}

fn shape_json(times: &ShapeTimes) -> Value {
    json!({
        "shape": times.shape,
        "pass": pass(times),
        "seconds": { "table": times.table.as_secs_f64(), "tuned": times.tuned.as_secs_f64() },
    })
}

fn shape(times: &ShapeTimes) -> [String; 5] {
    let shape: Vec<String> = times.shape.iter().map(usize::to_string).collect();
    let gain = times.table.as_secs_f64() / times.tuned.as_secs_f64();
    [
        shape.join("x"),
        pass(times).into(),
        short(times.table),
        short(times.tuned),
        if times.table == times.tuned { String::new() } else { percent(gain) },
    ]
}

fn pass(times: &ShapeTimes) -> &'static str {
    if times.grad { "fwd+bwd" } else { "fwd" }
}

/// Formats a speedup as a change in percent.
fn percent(times: f64) -> String {
    format!("{:+.0} %", 100.0 * (times - 1.0))
}

/// Aligns names to the left and numbers to the right.
fn aligned<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(String::from);
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let line = |row: &[String; N]| {
        let cells = row.iter().enumerate().map(|(column, cell)| match width(column) {
            width if column == 0 => format!("{cell:width$}"),
            width => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
    };
    all().map(line).collect()
}

fn failed(error: Error) -> Failure {
    Failure::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_percentages() {
        assert_eq!([1.0, 1.126, 0.95].map(percent), ["+0 %", "+13 %", "-5 %"]);
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(String::from);
        let text = aligned(["a", "b", "c"], &[row(["long", "1", ""]), row(["x", "22", "y"])]);
        assert_eq!(text, "a      b  c\nlong   1\nx     22  y\n");
    }
}
