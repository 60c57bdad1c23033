//! What was computed, where, how long it took and whether it is right: a few aligned lines for a
//! person, or one JSON object.

use std::io::{self, Write};
use std::time::Duration;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use wgpu_loss::{ElementType, Summary};

use crate::adapters::Adapter;
use crate::check::Compared;
use crate::error::{Failure, position};
use crate::files::Element;

/// Everything there is to tell.
pub struct Report<'a> {
    /// The subcommand.
    pub command: &'static str,
    /// The reduction; `None` for the softmaxes.
    pub reduction: Option<&'static str>,
    /// The input's shape.
    pub shape: &'a [usize],
    /// The input's element type in its file.
    pub dtype: &'static str,
    /// The target's type and kind.
    pub target: Option<String>,
    /// Whether there are class weights.
    pub weighted: bool,
    /// The input's shape without the class axis.
    pub row_shape: &'a [usize],
    /// The adapter; `None` for the CPU twin.
    pub adapter: Option<Adapter>,
    /// What was seen in the rows.
    pub summary: Summary,
    /// The losses: one, one per row, or none.
    pub losses: &'a [f32],
    /// Their shape.
    pub loss_shape: &'a [usize],
    /// Where the time went.
    pub seconds: Vec<(&'static str, Duration)>,
    /// The outputs compared, where `--check` was given.
    pub check: Option<&'a [Compared]>,
    /// The files that were written.
    pub saved: Vec<String>,
    /// The type of gradients and distributions in them.
    pub output_type: ElementType,
}

impl Report<'_> {
    /// The lines for a person.
    pub fn text(&self) -> String {
        let mut lines: Vec<(&str, String)> = vec![("computed", self.what())];
        lines.push(("device", self.device()));
        let summary = &self.summary;
        if self.reduction.is_some() {
            lines.push(("loss", self.loss()));
        }
        let mut rows = summary.rows.to_string();
        if self.reduction.is_some() {
            rows += &match summary.ignored() {
                0 => ", none ignored".to_string(),
                ignored => format!(", {ignored} ignored"),
            };
        }
        if self.weighted {
            rows += &format!(", weight {}", general(summary.weight));
        }
        lines.push(("rows", rows));
        if let Some(first) = summary.first_nonfinite {
            let first = position(first, self.row_shape);
            lines.push(("NaN", format!("{} rows, the first at {first}", summary.nonfinite)));
        }
        let times = self.seconds.iter().map(|&(what, time)| format!("{what} {}", short(time)));
        lines.push(("time", times.collect::<Vec<_>>().join(", ")));
        if let Some(check) = self.check {
            let verdicts: Vec<String> = check.iter().map(Compared::verdict).collect();
            lines.push(("check", verdicts.join(", ")));
        }
        if !self.saved.is_empty() {
            let raw = match self.output_type {
                ElementType::BF16 => " (bfloat16 as its bits in uint16: --dtype bf16 reads it)",
                _ => "",
            };
            lines.push(("saved", self.saved.join(", ") + raw));
        }
        lines.iter().map(|(label, text)| format!("{label:<10}{text}\n")).collect()
    }

    fn what(&self) -> String {
        let reduction = match self.reduction {
            Some("none") => ", not reduced".into(),
            Some(reduction) => format!(", {reduction}"),
            None => String::new(),
        };
        let target = self.target.as_ref().map(|target| format!(" against {target}"));
        let weighted = if self.weighted { ", weighted" } else { "" };
        let Self { command, shape, dtype, .. } = self;
        let target = target.unwrap_or_default();
        format!("{command} of {shape:?} {dtype}{target}{weighted}{reduction}")
    }

    fn device(&self) -> String {
        match &self.adapter {
            None => "CPU (f64 reference)".into(),
            Some(Adapter { name, backend, driver, kind }) => {
                format!("{name} ({kind}, {backend}, {driver})")
            }
        }
    }

    fn loss(&self) -> String {
        let loss = self.losses;
        if self.reduction != Some("none") {
            let loss = loss.first().map(|&loss| general(loss.into()));
            return loss.unwrap_or_default();
        }
        let shape = self.loss_shape;
        if loss.is_empty() {
            return format!("{shape:?}");
        }
        let numbers = || loss.iter().map(|&x| f64::from(x));
        // `min` and `max` pass over NaN; where there is nothing else they have to be NaN.
        let least = numbers().fold(f64::NAN, f64::min);
        let most = numbers().fold(f64::NAN, f64::max);
        let mean = numbers().sum::<f64>() / loss.len() as f64;
        let [least, mean, most] = [least, mean, most].map(general);
        format!("{shape:?}, least {least}, mean {mean}, most {most}")
    }

    /// The JSON object.
    pub fn json(&self) -> String {
        to_json(self)
    }
}

impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let summary = &self.summary;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("command", self.command)?;
        map.serialize_entry("shape", self.shape)?;
        map.serialize_entry("dtype", self.dtype)?;
        if let Some(reduction) = self.reduction {
            map.serialize_entry("target", &self.target)?;
            map.serialize_entry("reduction", reduction)?;
            map.serialize_entry("loss_shape", self.loss_shape)?;
            match self.losses {
                [loss] if reduction != "none" => map.serialize_entry("loss", &Number(*loss))?,
                losses => map.serialize_entry("loss", &Numbers(losses))?,
            }
        }
        map.serialize_entry("rows", &summary.rows)?;
        if self.reduction.is_some() {
            map.serialize_entry("ignored", &summary.ignored())?;
            map.serialize_entry("weight", &Wide(summary.weight))?;
        }
        map.serialize_entry("nonfinite", &summary.nonfinite)?;
        map.serialize_entry("device", if self.adapter.is_some() { "gpu" } else { "cpu" })?;
        map.serialize_entry("adapter", &self.adapter)?;
        map.serialize_entry("seconds", &Seconds(&self.seconds))?;
        map.serialize_entry("check", &self.check.map(Check))?;
        map.serialize_entry("saved", &self.saved)?;
        if !self.saved.is_empty() {
            map.serialize_entry("output_dtype", Element::from(self.output_type).name())?;
        }
        map.end()
    }
}

/// An f32 with the digits of an f32. JSON has no NaN and no infinity: they are strings.
struct Number(f32);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_finite() {
            true => serializer.serialize_f32(self.0),
            false => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

/// The same for an f64.
struct Wide(f64);

impl Serialize for Wide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_finite() {
            true => serializer.serialize_f64(self.0),
            false => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

struct Numbers<'a>(&'a [f32]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for &number in self.0 {
            seq.serialize_element(&Number(number))?;
        }
        seq.end()
    }
}

struct Seconds<'a>(&'a [(&'static str, Duration)]);

impl Serialize for Seconds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = |&(what, time): &(&str, Duration)| (what.replace(' ', "_"), time.as_secs_f64());
        serializer.collect_map(self.0.iter().map(named))
    }
}

struct Check<'a>(&'a [Compared]);

impl Serialize for Check<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry {
            largest_relative_difference: Wide,
            tolerance: f64,
            passed: bool,
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("passed", &self.0.iter().all(Compared::passed))?;
        for compared in self.0 {
            let entry = Entry {
                largest_relative_difference: Wide(compared.largest),
                tolerance: compared.tolerance,
                passed: compared.passed(),
            };
            map.serialize_entry(&compared.what.replace(['-', ' '], "_"), &entry)?;
        }
        map.end()
    }
}

/// One line of JSON.
pub fn to_json(value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(text) => text + "\n",
        // Only maps with odd keys and failing serializers fail, and there are none here.
        Err(error) => format!("{{\"error\":{:?}}}\n", error.to_string()),
    }
}

/// Prints on stdout. Whoever closed the pipe has seen enough.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::of("stdout", error))
        }
        _ => Ok(()),
    }
}

/// Nine significant digits, as C's `%.9g`: enough to tell any two f32 apart.
fn general(x: f64) -> String {
    if !x.is_finite() {
        return x.to_string();
    }
    let scientific = format!("{x:.8e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => digits.to_string(),
    };
    if (-5..9).contains(&exponent) {
        let decimals = (8 - exponent) as usize;
        trimmed(&format!("{x:.decimals$}"))
    } else {
        format!("{}e{exponent}", trimmed(digits))
    }
}

/// A duration in the unit that suits it.
pub fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        1.0.. => format!("{seconds:.2} s"),
        1e-3.. => format!("{:.2} ms", seconds * 1e3),
        1e-4.. => format!("{:.0} µs", seconds * 1e6),
        _ => format!("{:.1} µs", seconds * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_of_an_f32() {
        for (x, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.13484926521778107, "0.134849265"),
            (123456789.0, "123456789"),
            (1234567890.0, "1.23456789e9"),
            (1e-12, "1e-12"),
            (0.00001, "0.00001"),
            (1e300, "1e300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(general(x), text);
        }
        assert_eq!(to_json(&Numbers(&[0.1, f32::NAN, -f32::INFINITY])), "[0.1,\"NaN\",\"-inf\"]\n");
    }

    #[test]
    fn times_have_units() {
        assert_eq!(short(Duration::from_micros(12)), "12.0 µs");
        assert_eq!(short(Duration::from_micros(123)), "123 µs");
        assert_eq!(short(Duration::from_micros(1234)), "1.23 ms");
        assert_eq!(short(Duration::from_millis(2346)), "2.35 s");
    }
}
