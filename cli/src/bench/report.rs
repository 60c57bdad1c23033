//! The measurements as a table for a person, or as one JSON object.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use wgpu_loss::gpu::{Clock, Times};
use wgpu_loss::{ElementType, Gpu};

use super::measure::Measured;
use super::refused::{Refused, named};
use crate::adapter::Adapter;
use crate::args::BenchArgs;
use crate::files::Element;
use crate::report::{short, to_json};

const COLUMNS: [&str; 10] = [
    "shape",
    "pass",
    "kernel",
    "resident",
    "end to end",
    "first call",
    "GB/s",
    "roof",
    "of roof",
    "vs CPU",
];

/// The contents of a report.
pub struct Report<'a> {
    adapter: Adapter,
    cores: usize,
    element_type: ElementType,
    samples: usize,
    measured: &'a [Measured],
    refused: &'a [Refused],
    saved: Option<String>,
}

impl<'a> Report<'a> {
    /// Joins a device's measurements, the shapes that failed, and the picture that was saved.
    pub fn new(
        gpu: &Gpu,
        args: &BenchArgs,
        measured: &'a [Measured],
        refused: &'a [Refused],
        saved: Option<String>,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (element_type, samples) = (args.dtype, args.samples);
        Self { adapter: gpu.info().into(), cores, element_type, samples, measured, refused, saved }
    }

    /// Returns the clock of all kernel times; the wall clock, if only some were measured on the
    /// device.
    fn clock(&self) -> Clock {
        let wall = self.measured.iter().any(|m| m.kernel.clock == Clock::Wall);
        if wall { Clock::Wall } else { Clock::Timestamps }
    }

    /// Returns the lines for a person.
    pub fn text(&self) -> String {
        if self.measured.is_empty() {
            return String::new();
        }
        let Adapter { name, backend, driver, kind, .. } = &self.adapter;
        let clock = match self.clock() {
            Clock::Timestamps => "the device's timestamps",
            Clock::Wall => "the wall clock",
        };
        let mut text = format!(
            "device    {name} ({kind}, {backend}, {driver}), {} CPU cores\n\
             measured  cross-entropy of {} logits against int64 labels, mean; medians of {}, kernels \
             by {clock}\n\n",
            self.cores,
            self.element_type.name(),
            self.samples
        );
        let rows: Vec<[String; 10]> = self.measured.iter().map(row).collect();
        text += &aligned(&COLUMNS.map(String::from), &rows);
        if let Some(saved) = &self.saved {
            text += &format!("\nsaved     {saved}\n");
        }
        text
    }

    /// Returns the JSON object.
    pub fn json(&self) -> String {
        let refused = self.refused.iter().map(|r| json!({ "shape": r.shape, "error": r.error }));
        to_json(&json!({
            "command": "bench",
            "version": env!("CARGO_PKG_VERSION"),
            "machine": {
                "adapter": self.adapter,
                "clock": clock_name(self.clock()),
                "cpu_cores": self.cores,
            },
            "loss": "cross-entropy",
            "dtype": Element::from(self.element_type).name(),
            "target": "int64 labels",
            "reduction": "mean",
            "results": self.measured.iter().map(result).collect::<Vec<_>>(),
            "errors": refused.collect::<Vec<_>>(),
            "saved": self.saved,
        }))
    }
}

fn clock_name(clock: Clock) -> &'static str {
    match clock {
        Clock::Timestamps => "timestamps",
        Clock::Wall => "wall",
    }
}

/// Returns one line of the table.
fn row(m: &Measured) -> [String; 10] {
    [
        named(&m.shape),
        m.pass.name().into(),
        short(m.kernel.median()),
        short(m.resident.median()),
        short(m.end_to_end.median()),
        short(m.first_call()),
        gigabytes(m.rate()),
        gigabytes(m.roof_rate()),
        format!("{:.0} %", m.percent()),
        format!("{:.1}x", m.speedup()),
    ]
}

/// Formats GB/s with three digits.
fn gigabytes(rate: f64) -> String {
    match rate / 1e9 {
        rate @ 100.0.. => format!("{rate:.0}"),
        rate @ 10.0.. => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

/// Aligns names to the left and numbers to the right.
fn aligned(head: &[String; 10], rows: &[[String; 10]]) -> String {
    let all = || std::iter::once(head).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 10] = std::array::from_fn(width);
    let line = |row: &[String; 10]| {
        let cells =
            row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
                0 | 1 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
    };
    all().map(line).collect()
}

/// Returns one shape and pass in JSON.
fn result(m: &Measured) -> Value {
    let checked = m.checked.iter().map(|c| (c.what.replace(' ', "_"), c.largest.into()));
    json!({
        "shape": m.shape,
        "pass": m.pass.name(),
        "bytes": m.bytes,
        "loss": Shortest(m.loss),
        "largest_relative_difference": checked.collect::<serde_json::Map<_, _>>(),
        "clock": clock_name(m.kernel.clock),
        "seconds": {
            "kernel": times(&m.kernel),
            "resident": times(&m.resident),
            "end_to_end": times(&m.end_to_end),
            "reference": times(&m.reference),
            "compile": seconds(m.compile),
            "first_call": seconds(m.first_call()),
            "roof_read": seconds(m.roof.read),
            "roof_copy": seconds(m.roof.copy),
        },
        "gb_per_s": m.rate() / 1e9,
        "roof_gb_per_s": m.roof_rate() / 1e9,
        "percent_of_roof": m.percent(),
        "times_reference": m.speedup(),
    })
}

fn times(times: &Times) -> Value {
    json!({
        "median": seconds(times.median()),
        "least": seconds(times.least()),
        "most": seconds(times.most()),
        "samples": times.sorted.len(),
    })
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// An f32 that is printed with the shortest digits that identify it.
struct Shortest(f32);

impl Serialize for Shortest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f32(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_to_the_left_and_numbers_to_the_right() {
        let row = |cell: &str| std::array::from_fn(|_| cell.to_string());
        let text = aligned(&row("head"), &[row("1"), row("22222")]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("1      1          1      1"), "{text}");
        assert!(lines[0].ends_with("   head") && lines[1].ends_with("      1"), "{text}");
    }
}
