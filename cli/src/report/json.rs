//! The JSON object of a report.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Report;
use super::numbers::{Number, Numbers, Wide};
use crate::check::Compared;
use crate::files::Element;

impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let summary = &self.summary;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("command", self.command)?;
        if let Some(shape) = self.shape {
            map.serialize_entry("shape", shape)?;
        }
        map.serialize_entry("dtype", self.dtype)?;
        if let Some(reduction) = self.reduction {
            map.serialize_entry("target", &self.target)?;
            map.serialize_entry("reduction", reduction)?;
            map.serialize_entry("loss_shape", self.loss_shape)?;
            map.serialize_entry("loss", &Losses(self.losses, reduction))?;
            if !self.z_losses.is_empty() {
                map.serialize_entry("z_loss", &Losses(self.z_losses, reduction))?;
            }
        }
        if let Some(error) = self.standard_error {
            map.serialize_entry("standard_error", &Wide(error))?;
        }
        map.serialize_entry("rows", &summary.rows)?;
        if self.reduction.is_some() {
            map.serialize_entry("ignored", &summary.ignored())?;
            map.serialize_entry("weight", &Wide(summary.weight))?;
        }
        map.serialize_entry("nonfinite", &summary.nonfinite)?;
        if self.outputs.accuracy {
            let accuracy = summary.correct as f64 / summary.live as f64;
            map.serialize_entry("correct", &summary.correct)?;
            map.serialize_entry("accuracy", &Wide(accuracy))?;
        }
        if self.outputs.top_k > 0 {
            map.serialize_entry("k", &self.outputs.top_k)?;
            map.serialize_entry("top_k", &summary.top_k)?;
        }
        if let Some(classes) = &self.classes {
            map.serialize_entry("classes", classes)?;
        }
        if let Some(tokens) = &self.tokens {
            map.serialize_entry("tokens", tokens)?;
        }
        if let Some(shards) = self.shards {
            map.serialize_entry("shards", shards)?;
        }
        if let Some(histogram) = &self.seen.histogram {
            map.serialize_entry("histogram", histogram)?;
        }
        if let Some(heatmap) = &self.seen.heatmap {
            map.serialize_entry("heatmap", heatmap)?;
        }
        let device = |adapter: &Option<_>| if adapter.is_some() { "gpu" } else { "cpu" };
        let first = self.adapters.first().unwrap_or(&None);
        map.serialize_entry("device", device(first))?;
        map.serialize_entry("adapter", first)?;
        if self.adapters.len() > 1 {
            map.serialize_entry("adapters", &self.adapters)?;
        }
        map.serialize_entry("seconds", &Seconds(&self.seconds))?;
        map.serialize_entry("check", &self.check.map(Check))?;
        map.serialize_entry("saved", &self.saved)?;
        if !self.saved.is_empty() {
            map.serialize_entry("output_dtype", Element::from(self.output_type).name())?;
        }
        map.end()
    }
}

/// One loss, or one for each row.
struct Losses<'a>(&'a [f32], &'a str);

impl Serialize for Losses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Losses([loss], reduction) if *reduction != "none" => {
                Number(*loss).serialize(serializer)
            }
            Losses(losses, _) => Numbers(losses).serialize(serializer),
        }
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
            numbers: u64,
            unjudged: u64,
            nan: u64,
            passed: bool,
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("passed", &self.0.iter().all(Compared::passed))?;
        for compared in self.0 {
            let entry = Entry {
                largest_relative_difference: Wide(compared.largest),
                tolerance: compared.tolerance,
                numbers: compared.numbers,
                unjudged: compared.unjudged,
                nan: compared.nan,
                passed: compared.passed(),
            };
            map.serialize_entry(&compared.what.replace(['-', ' '], "_"), &entry)?;
        }
        map.end()
    }
}
