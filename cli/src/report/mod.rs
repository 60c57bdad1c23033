//! The results, the device, the times and the check: a few aligned lines for a person, or one JSON
//! object.

mod classes;
mod json;
mod numbers;
mod shards;
mod tokens;

use std::io::{self, Write};
use std::time::Duration;

use wgpu_loss::{ElementType, Outputs, Summary};

pub use self::classes::Classes;
use self::numbers::general;
pub use self::numbers::{Number, Wide, digits, short, to_json};
pub use self::shards::{ShardLine, Shards};
pub use self::tokens::Tokens;
use crate::adapter::Adapter;
use crate::check::Compared;
use crate::error::Failure;
use crate::inspect::Inspected;
use crate::position::position;
use crate::style::{LABEL, styled};
use crate::visible::visible;

/// The contents of a report.
pub struct Report<'a> {
    /// The subcommand.
    pub command: &'a str,
    /// The reduction; `None` for the softmaxes.
    pub reduction: Option<&'a str>,
    /// The input's shape; `None` for shards.
    pub shape: Option<&'a [usize]>,
    /// The input's element type in its file.
    pub dtype: &'a str,
    /// The target's type and kind.
    pub target: Option<String>,
    /// True if there are class weights.
    pub weighted: bool,
    /// The input's shape without the class axis.
    pub row_shape: &'a [usize],
    /// The devices; `None` for the CPU reference.
    pub adapters: Vec<Option<Adapter>>,
    /// The summary of the rows.
    pub summary: Summary,
    /// The losses: one, one per row, or none.
    pub losses: &'a [f32],
    /// Their shape.
    pub loss_shape: &'a [usize],
    /// The time of each step.
    pub seconds: Vec<(&'static str, Duration)>,
    /// The outputs compared, if `--check` was given.
    pub check: Option<&'a [Compared]>,
    /// The z-losses: one, one per row, or none.
    pub z_losses: &'a [f32],
    /// True if each row has a weight.
    pub row_weights: bool,
    /// The outputs requested in addition to the loss.
    pub outputs: Outputs,
    /// The results of each class, if they were requested.
    pub classes: Option<Classes>,
    /// The likelihood of tokens, if the loss is one.
    pub tokens: Option<Tokens>,
    /// The shards, if there are several.
    pub shards: Option<&'a Shards>,
    /// The standard error of the mean, if it is known.
    pub standard_error: Option<f64>,
    /// The views of the rows' losses.
    pub seen: &'a Inspected,
    /// The files that were written.
    pub saved: Vec<String>,
    /// The type of gradients and distributions in these files.
    pub output_type: ElementType,
}

impl Report<'_> {
    /// Returns the lines for a person, in colours.
    pub fn text(&self) -> String {
        let mut lines: Vec<(&str, String)> = vec![("computed", self.what())];
        lines.push(("device", self.device()));
        let summary = &self.summary;
        if self.reduction.is_some() {
            lines.push(("loss", self.loss(self.losses)));
        }
        if let Some(error) = self.standard_error {
            lines.push(("error", format!("{} (standard error of the mean)", digits(error, 3))));
        }
        if !self.z_losses.is_empty() {
            lines.push(("z-loss", self.loss(self.z_losses)));
        }
        let mut rows = summary.rows.to_string();
        if self.reduction.is_some() {
            rows += &match summary.ignored() {
                0 => ", none ignored".to_string(),
                ignored => format!(", {ignored} ignored"),
            };
        }
        if self.weighted || self.row_weights {
            rows += &format!(", weight {}", general(summary.weight));
        }
        lines.push(("rows", rows));
        if let Some(first) = summary.first_nonfinite {
            let first = position(first, self.row_shape);
            lines.push(("NaN", format!("{} rows, the first at {first}", summary.nonfinite)));
        }
        if let Some(right) = self.right() {
            lines.push(("right", right));
        }
        if let Some(classes) = &self.classes {
            lines.extend(classes.lines());
        }
        if let Some(tokens) = &self.tokens {
            lines.push(("tokens", tokens.line()));
        }
        if let Some(histogram) = &self.seen.histogram {
            lines.extend(histogram.lines());
        }
        if let Some(heatmap) = &self.seen.heatmap {
            lines.push(("heatmap", heatmap.text()));
        }
        if let Some(shards) = self.shards {
            lines.extend(shards.lines());
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
        // A name may hold a newline.
        lines.iter().map(|(label, text)| line(label, text)).collect()
    }

    fn what(&self) -> String {
        let reduction = match self.reduction {
            Some("none") => ", not reduced".into(),
            Some(reduction) => format!(", {reduction}"),
            None => String::new(),
        };
        let target = self.target.as_ref().map(|target| format!(" against {target}"));
        let weighted = match (self.weighted, self.row_weights) {
            (false, false) => "",
            (true, false) => ", weighted",
            (false, true) => ", rows weighted",
            (true, true) => ", classes and rows weighted",
        };
        let Self { command, dtype, .. } = self;
        let target = target.unwrap_or_default();
        let of = match (self.shape, self.shards) {
            (Some(shape), _) => format!("{shape:?}"),
            (None, shards) => match shards.map_or(0, Shards::len) {
                1 => "1 shard".into(),
                count => format!("{count} shards"),
            },
        };
        format!("{command} of {of} {dtype}{target}{weighted}{reduction}")
    }

    fn device(&self) -> String {
        let named = |adapter: &Option<Adapter>| match adapter {
            None => "CPU (f64 reference)".into(),
            Some(Adapter { name, backend, driver, kind, rows, failure }) => {
                let rows = rows.map_or(String::new(), |rows| format!(": {rows} rows"));
                let failure = failure.as_ref().map(|failure| format!(", then {failure}"));
                format!("{name} ({kind}, {backend}, {driver}){rows}{}", failure.unwrap_or_default())
            }
        };
        self.adapters.iter().map(named).collect::<Vec<_>>().join("; ")
    }

    /// Returns the number of rows that are predicted right, and their share.
    fn right(&self) -> Option<String> {
        let Summary { live, correct, top_k, .. } = self.summary;
        let counted = |count: u64| format!("{count} ({:.1} %)", 100.0 * count as f64 / live as f64);
        let k = self.outputs.top_k;
        let right = self.outputs.accuracy.then(|| counted(correct));
        let top = (k > 0).then(|| format!("{} among the first {k}", counted(top_k)));
        (live > 0 && (right.is_some() || top.is_some()))
            .then(|| right.into_iter().chain(top).collect::<Vec<_>>().join(", "))
    }

    fn loss(&self, loss: &[f32]) -> String {
        if self.reduction != Some("none") {
            let loss = loss.first().map(|&loss| general(loss.into()));
            return loss.unwrap_or_default();
        }
        let shape = self.loss_shape;
        if loss.is_empty() {
            return format!("{shape:?}");
        }
        let numbers = || loss.iter().map(|&x| f64::from(x));
        // `min` and `max` skip NaN; if there is nothing else the result has to be NaN.
        let least = numbers().fold(f64::NAN, f64::min);
        let most = numbers().fold(f64::NAN, f64::max);
        let mean = numbers().sum::<f64>() / loss.len() as f64;
        let [least, mean, most] = [least, mean, most].map(general);
        format!("{shape:?}, least {least}, mean {mean}, most {most}")
    }

    /// Returns the JSON object.
    pub fn json(&self) -> String {
        to_json(self)
    }
}

/// Returns a line for a person: a label and what stands under it, with characters that a terminal interprets as escapes.
pub fn line(label: &str, text: &str) -> String {
    format!("{}{}\n", styled(LABEL, &format!("{label:<10}")), visible(text))
}

/// Prints lines on stdout, with characters that a terminal interprets as escapes.
pub fn print(text: &str) -> Result<(), Failure> {
    let text: String = text
        .split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(line) => visible(line) + "\n",
            None => visible(line),
        })
        .collect();
    print_bytes(text.as_bytes())
}

/// Prints lines in colours on stdout, which nothing but those of [`style`](crate::style) may be in.
pub fn print_styled(text: &str) -> Result<(), Failure> {
    write_to(&mut anstream::stdout().lock(), text.as_bytes())
}

/// Prints bytes on stdout as they are.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    write_to(&mut io::stdout().lock(), bytes)
}

/// A closed pipe is no error: its reader needs no more.
fn write_to(stdout: &mut impl Write, bytes: &[u8]) -> Result<(), Failure> {
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::of("stdout", error))
        }
        _ => Ok(()),
    }
}
